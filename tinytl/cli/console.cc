#include "tinytl/cli/console.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace tinytl::cli {
namespace {

constexpr int kNameWidth = 18;

// The largest values alive at the step that needs most: the answer to "why not less?".
std::string describe_bound(const Program& program) {
  const int step = program.plan.lower_bound_step;
  if (program.schedule.order.empty()) return "nothing runs";
  const Node& node = program.graph.node(program.schedule.order[static_cast<size_t>(step)]);
  std::vector<std::pair<size_t, std::string>> alive;
  for (size_t b = 0; b < program.buffers.lifetimes.size(); ++b) {
    const Lifetime& life = program.buffers.lifetimes[b];
    if (life.first > step || life.last < step) continue;
    const auto& values = program.buffers.values[b];
    alive.emplace_back(life.bytes,
                       values.empty() ? "scratch" : program.graph.value(values.back()).name);
  }
  std::ranges::sort(alive, std::greater<>());
  std::string text = fmt::format("set by {} of {} with {} tensors alive, among them", node.op->name,
                                 node.name, alive.size());
  for (size_t i = 0; i < std::min<size_t>(3, alive.size()); ++i) {
    text += fmt::format("{} {} {}", i > 0 ? "," : "", alive[i].second, bytes_text(alive[i].first));
  }
  return text;
}

}  // namespace

std::string count_text(int64_t n) {
  std::string text = std::to_string(n);
  for (size_t i = text.size(); i > 3;) {
    i -= 3;
    text.insert(i, ",");
  }
  return text;
}

std::string bytes_text(size_t bytes) {
  const auto b = static_cast<double>(bytes);
  if (b >= 1e6) return fmt::format("{:.2f} MB", b / 1e6);
  if (b >= 1e3) return fmt::format("{:.1f} kB", b / 1e3);
  return fmt::format("{} B", bytes);
}

std::string percent_text(double fraction) { return fmt::format("{:.1f} %", 100 * fraction); }

std::string duration_text(double seconds) {
  const auto s = static_cast<int64_t>(std::lround(std::max(0.0, seconds)));
  if (s >= 3600) return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
  return fmt::format("{}:{:02}", s / 60, s % 60);
}

void print_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> width;
  for (const auto& row : rows) {
    width.resize(std::max(width.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) width[i] = std::max(width[i], row[i].size());
  }
  for (const auto& row : rows) {
    std::string line = " ";
    for (size_t i = 0; i < row.size(); ++i) {
      line += i == 0 ? fmt::format(" {:<{}}", row[i], width[i])
                     : fmt::format("   {:>{}}", row[i], width[i]);
    }
    fmt::print("{}\n", line);
  }
}

void print_line(const std::string& name, const std::string& value) {
  fmt::print("  {:<{}}{}\n", name, kNameWidth, value);
}

std::string lite_text(const std::vector<LiteModule>& modules) {
  if (modules.empty()) return "none";
  std::map<int64_t, int, std::greater<>> of_kernel;
  for (const LiteModule& module : modules) ++of_kernel[module.kernel];
  std::string kernels;
  for (const auto& [kernel, count] : of_kernel) {
    kernels += fmt::format("{}{} x {}", kernels.empty() ? "" : ", ", kernel, count);
  }
  return fmt::format("{} modules, kernels {}", modules.size(), kernels);
}

void print_levers(const Setup& setup) {
  if (setup.levers.empty()) return;
  fmt::print("\nmemory budget, met by\n");
  std::vector<std::vector<std::string>> rows{
      {"lever", "arena", "training memory", "predicted step", "time"}};
  for (const PlannedStep& lever : setup.levers) {
    rows.push_back({lever.what, bytes_text(lever.arena_bytes),
                    bytes_text(lever.training_memory_bytes),
                    fmt::format("{:.1f} ms", 1e3 * setup.machine_scale * lever.seconds),
                    fmt::format("{:.2f}x", lever.seconds / setup.levers.front().seconds)});
  }
  print_table(rows);
}

void print_memory(const MemoryReport& memory, const Program& step) {
  fmt::print("\nmemory, planned\n");
  print_line("arena", fmt::format("{}   lower bound {}, gap {}; {} of it saved for backward",
                                  bytes_text(memory.arena), bytes_text(memory.lower_bound),
                                  percent_text(memory.gap()), bytes_text(memory.saved)));
  print_line("", describe_bound(step));
  print_line("trainable", bytes_text(memory.trainable));
  print_line("optimizer", bytes_text(memory.optimizer));
  print_line("frozen", bytes_text(memory.frozen) +
                           (memory.xnnpack == 0
                                ? ""
                                : fmt::format("   {} of it held by XNNPACK for the layers it runs",
                                              bytes_text(memory.xnnpack))));
  print_line("training memory",
             fmt::format("{}   without frozen: {}", bytes_text(memory.training_memory()),
                         bytes_text(memory.adaptation_memory())));
}

ProgressBar::ProgressBar() : terminal_(isatty(STDOUT_FILENO) == 1) {
  start_ = last_ = std::chrono::steady_clock::now();
}

void ProgressBar::show(const Progress& progress) {
  using std::chrono::duration;
  const auto now = std::chrono::steady_clock::now();
  if (progress.step == 1) start_ = now;
  const bool is_last = progress.step == progress.steps;
  if (!terminal_ || (!is_last && duration<double>(now - last_).count() < 0.1)) return;
  last_ = now;
  constexpr int kBarWidth = 24;
  const int filled =
      static_cast<int>(kBarWidth * progress.step / std::max<int64_t>(1, progress.steps));
  std::string bar(static_cast<size_t>(filled), '=');
  if (filled < kBarWidth) bar += '>';
  const double seconds_a_step =
      progress.step > 1 ? duration<double>(now - start_).count() / double(progress.step - 1) : 0;
  const double left =
      seconds_a_step * double(progress.steps - progress.step +
                              (progress.epochs - progress.epoch - 1) * progress.steps);
  fmt::print(
      "\r  epoch {}/{} [{:<{}}] loss {:.4f}  top-1 {:5.1f} %  {:.0f} images/s  ETA {} \x1b[K",
      progress.epoch + 1, progress.epochs, bar, kBarWidth, progress.loss, 100 * progress.top1,
      progress.images_per_second, duration_text(left));
  std::fflush(stdout);
}

void ProgressBar::finish_epoch(int64_t epoch, int64_t epochs, const EpochResult& result, bool best,
                               bool has_classes, bool has_val) {
  if (terminal_) fmt::print("\r\x1b[K");
  std::string line = fmt::format("  epoch {:>{}}/{}   loss {:.4f}", epoch + 1,
                                 std::to_string(epochs).size(), epochs, result.loss);
  if (has_classes) line += fmt::format("   train {:5.1f} %", 100 * result.train_top1);
  if (has_val && has_classes) line += fmt::format("   val {:5.1f} %", 100 * result.val_top1);
  if (has_val && !has_classes) line += fmt::format("   val loss {:.4f}", result.val_loss);
  line += fmt::format("   {:.1f} s{}", result.seconds, best && has_val ? "   best" : "");
  fmt::print("{}\n", line);
  std::fflush(stdout);
}

}  // namespace tinytl::cli
