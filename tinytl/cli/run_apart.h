// Work whose memory ends with it.
#pragma once

#include <functional>
#include <string>

namespace tinytl::cli {

// Runs `work` in a process of its own and returns its text, so that what it allocates is never part
// of this process. An InputError or CLI::ValidationError of the work is thrown here again. Where
// the system makes no process, the work runs in this one. Must be called while there is one thread.
std::string run_apart(const std::function<std::string()>& work);

}  // namespace tinytl::cli
