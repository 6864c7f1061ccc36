#include "tinytl/cli/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "engine/graph/error.h"

namespace tinytl::cli {
namespace {

// What the signal handler may touch: process ids, 0 where a place is free.
constexpr size_t kMostChildren = 64;
std::array<std::atomic<pid_t>, kMostChildren> children{};
std::atomic<int> interrupts{0};

void pass_on(int) {
  const int signal = ++interrupts == 1 ? SIGINT : SIGKILL;
  for (const std::atomic<pid_t>& child : children) {
    if (const pid_t pid = child; pid > 0) kill(-pid, signal);
  }
}

// Holds SIGINT and SIGTERM back while a child is started, so that none slips by unregistered.
class SignalsHeldBack {
 public:
  SignalsHeldBack() {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, &before_);
  }
  ~SignalsHeldBack() { release(); }
  SignalsHeldBack(const SignalsHeldBack&) = delete;
  SignalsHeldBack& operator=(const SignalsHeldBack&) = delete;
  void release() const { sigprocmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

void redirect(const char* file, int descriptor) {
  const int opened = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (opened < 0) _exit(127);
  dup2(opened, descriptor);
  close(opened);
}

[[noreturn]] void become(std::vector<char*>& words, const char* out, const char* error,
                         const SignalsHeldBack& held_back) {
  setpgid(0, 0);
#ifdef __linux__
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // a killed study leaves no runs behind
#endif
  signal(SIGINT, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
  held_back.release();
  redirect(out, STDOUT_FILENO);
  redirect(error, STDERR_FILENO);
  execvp(words[0], words.data());
  std::fprintf(stderr, "%s: cannot be started: %s\n", words[0], std::strerror(errno));
  std::fflush(stderr);
  _exit(127);
}

}  // namespace

pid_t start_child(const std::vector<std::string>& words, const std::filesystem::path& out,
                  const std::filesystem::path& error) {
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  size_t place = 0;
  while (place < kMostChildren && children[place] != 0) ++place;
  TT_ASSERT(place < kMostChildren);
  std::fflush(nullptr);  // or the child would print it too
  const SignalsHeldBack held_back;
  const pid_t pid = fork();
  if (pid == 0) become(arguments, out.c_str(), error.c_str(), held_back);
  if (pid < 0) {
    throw InputError(words[0] + ": cannot be started: " + std::strerror(errno));
  }
  setpgid(pid, pid);  // whichever of the two comes first
  children[place] = pid;
  return pid;
}

std::optional<ChildEnd> wait_for_child() {
  for (;;) {
    int status = 0;
    const pid_t pid = waitpid(-1, &status, 0);
    if (pid < 0 && errno != EINTR) return std::nullopt;
    for (std::atomic<pid_t>& child : children) {
      if (pid <= 0 || child != pid) continue;
      child = 0;
      return ChildEnd{pid, WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status)};
    }
  }
}

void catch_interrupts_for_children() {
  struct sigaction action {};
  action.sa_handler = pass_on;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool was_interrupted() { return interrupts > 0; }

std::string sibling_command(const std::string& name, const char* argv0) {
  std::error_code failed;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", failed);
  for (const std::filesystem::path& of : {self, std::filesystem::path(argv0)}) {
    if (!of.has_parent_path()) continue;
    const std::filesystem::path candidate = of.parent_path() / name;
    if (std::filesystem::exists(candidate, failed)) return candidate.string();
  }
  return name;
}

}  // namespace tinytl::cli
