// A profile as a file: a trace for Perfetto and chrome://tracing, or the whole text.
#pragma once

#include <filesystem>

#include "tinytl/cli/profile.h"

namespace tinytl::cli {

// The step of the last ten whose nodes took the median time, as Chrome's trace format has it: one
// complete event ("X", microseconds) for each node and micro-batch, one after the other as they
// ran, on one track a phase; without the time between nodes and between micro-batches.
nlohmann::ordered_json profile_trace(const Profile& profile);

// The trace where the name ends in .json, else the table of all nodes. Throws InputError.
void write_profile(const std::filesystem::path& path, const Profile& profile);

}  // namespace tinytl::cli
