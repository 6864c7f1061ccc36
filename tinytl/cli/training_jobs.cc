#include "tinytl/cli/training_jobs.h"

#include <fmt/core.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <map>

#include "tinytl/cli/child_process.h"

namespace tinytl::cli {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr const char* kPrefix = "running-";  // then the process id of the study and the job

struct RunningJob {
  size_t job = 0;
  fs::path folder;
  Clock::time_point start;
};

// What a study that was killed left behind.
void remove_stale_folders(const fs::path& folder) {
  std::error_code failed;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kPrefix)) continue;
    const long pid = std::strtol(name.c_str() + std::string(kPrefix).size(), nullptr, 10);
    const bool is_alive = pid > 0 && (kill(static_cast<pid_t>(pid), 0) == 0 || errno != ESRCH);
    if (!is_alive) fs::remove_all(entry.path(), failed);
  }
}

// The last line that says something.
std::string last_line(const fs::path& file) {
  std::ifstream in(file);
  std::string last;
  for (std::string line; std::getline(in, line);) {
    if (line.find_first_not_of(" \t\r") != std::string::npos) last = line;
  }
  return last;
}

JobEnd end_of(const RunningJob& running, int exit_code) {
  JobEnd end;
  end.job = running.job;
  end.seconds = std::chrono::duration<double>(Clock::now() - running.start).count();
  if (exit_code != 0) {
    const std::string line = last_line(running.folder / "error.txt");
    const std::string how =
        exit_code > 128 && exit_code != 130
            ? fmt::format("killed by signal {}; out of memory?", exit_code - 128)
            : fmt::format("exit code {}", exit_code);
    end.defect = line.empty() ? how : fmt::format("{} ({})", line, how);
    return end;
  }
  std::ifstream in(running.folder / "report.json");
  end.report = Json::parse(in, nullptr, /*allow_exceptions=*/false);
  if (end.report.is_discarded()) end.defect = "ended without a report";
  return end;
}

class Jobs {
 public:
  Jobs(const std::vector<std::vector<std::string>>& jobs, const JobOptions& options)
      : jobs_(jobs), options_(options) {}

  ~Jobs() {  // leaves nothing behind, even where on_end threw
    std::error_code failed;
    for (const auto& [pid, running] : running_) kill(-pid, SIGKILL);
    for (size_t left = running_.size(); left > 0; --left) wait_for_child();
    for (const auto& [pid, running] : running_) fs::remove_all(running.folder, failed);
  }
  Jobs(const Jobs&) = delete;
  Jobs& operator=(const Jobs&) = delete;

  void start_more() {
    while (!was_interrupted() && next_ < jobs_.size() && running_.size() < options_.at_once) {
      start(next_++);
    }
  }

  bool has_running() const { return !running_.empty(); }

  // Empty where Ctrl-C stopped the job.
  std::optional<JobEnd> wait_for_one() {
    const std::optional<ChildEnd> ended = wait_for_child();
    TT_ASSERT(ended.has_value());
    const auto found = running_.find(ended->pid);
    TT_ASSERT(found != running_.end());
    const RunningJob running = found->second;
    running_.erase(found);
    JobEnd end = end_of(running, ended->exit_code);
    std::error_code failed;
    fs::remove_all(running.folder, failed);
    if (was_interrupted() && !end.defect.empty()) return std::nullopt;
    return end;
  }

 private:
  void start(size_t job) {
    const fs::path folder = options_.folder / fmt::format("{}{}-{}", kPrefix, getpid(), job);
    fs::create_directories(folder);
    std::vector<std::string> words{options_.program};
    words.insert(words.end(), jobs_[job].begin(), jobs_[job].end());
    std::vector<std::string> own{"--report", (folder / "report.json").string()};
    if (options_.trains) {
      own.insert(own.end(), {"--keep", "last", "--save", (folder / "learnt.safetensors").string()});
    }
    words.insert(words.end(), own.begin(), own.end());
    const pid_t pid = start_child(words, folder / "output.txt", folder / "error.txt");
    running_[pid] = {job, folder, Clock::now()};
  }

  const std::vector<std::vector<std::string>>& jobs_;
  const JobOptions& options_;
  size_t next_ = 0;
  std::map<pid_t, RunningJob> running_;
};

}  // namespace

void run_jobs(const std::vector<std::vector<std::string>>& jobs, const JobOptions& options,
              const std::function<void(const JobEnd&)>& on_end) {
  remove_stale_folders(options.folder);
  Jobs all(jobs, options);
  for (;;) {
    all.start_more();
    if (!all.has_running()) return;
    if (const std::optional<JobEnd> end = all.wait_for_one()) on_end(*end);
  }
}

}  // namespace tinytl::cli
