// Other commands, run beside this one; Ctrl-C stops them before it stops this.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace tinytl::cli {

struct ChildEnd {
  pid_t pid = -1;
  int exit_code = 0;  // 128 + signal where one ended it
};

// Starts `words[0]` (a path, or a name to be looked for in PATH), what it prints into `out` and
// `error`. It is in a process group of its own: a terminal's Ctrl-C does not reach it, this
// process passes it on. Where the program cannot be started, the child ends with 127 and one line
// in `error`. At most 64 at once. Throws InputError where the system makes no process.
pid_t start_child(const std::vector<std::string>& words, const std::filesystem::path& out,
                  const std::filesystem::path& error);

// Waits for any child that start_child started; empty where none is left.
std::optional<ChildEnd> wait_for_child();

// From here on SIGINT and SIGTERM are passed on to the children as SIGINT, the second time as
// SIGKILL, and end this process no longer.
void catch_interrupts_for_children();
bool was_interrupted();

// A command of this project: beside the running one, else in the folder of `argv0`, else its bare
// name.
std::string sibling_command(const std::string& name, const char* argv0);

}  // namespace tinytl::cli
