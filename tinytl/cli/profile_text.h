// A profile as text: the table of nodes, and sums by phase and by operator.
#pragma once

#include "tinytl/cli/profile.h"

namespace tinytl::cli {

// At most `most` nodes, the slowest first; with `most` 0 all. The last line of each table is the
// whole step, so that the times add up to it. Lines of 134 characters at most.
std::string profile_text(const Profile& profile, size_t most = 0);

// "123.4 GFLOP/s", or "12.3 GB/s" for work that computes nothing to speak of; "-" for none.
std::string rate_text(const NodeTotals& totals);

}  // namespace tinytl::cli
