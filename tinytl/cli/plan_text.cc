#include "tinytl/cli/plan_text.h"

#include <fmt/core.h>

#include <algorithm>

#include "tinytl/cli/console.h"
#include "tinytl/cli/plan_xml.h"

namespace tinytl::cli {
namespace {

constexpr int kGutter = 11;  // the sizes at the left, and the axis
constexpr const char* kOrange = "\x1b[33m";
constexpr const char* kBlue = "\x1b[34m";
constexpr const char* kPlain = "\x1b[0m";

std::string repeated(std::string_view text, int times) {
  std::string result;
  for (int i = 0; i < times; ++i) result += text;
  return result;
}

std::string bytes_column(size_t bytes) { return count_text(static_cast<int64_t>(bytes)); }

// What tells most about where a tensor comes from: nothing in the network writes an input.
const std::string& source_of(const PlannedTensor& t) {
  return t.role == PlanRole::kInput ? t.name : t.written_by;
}

std::string describe_bound(const Program& program, const PlanFacts& facts) {
  if (facts.steps == 0) return "nothing runs";
  return fmt::format("lower bound {} at step {}, {}", bytes_text(program.plan.lower_bound_bytes),
                     program.plan.lower_bound_step, facts.bound_node);
}

class Chart {
 public:
  Chart(const Program& program, int columns, int rows, bool colour)
      : program_(program),
        facts_(plan_facts(program)),
        columns_(std::max(columns, 60)),
        width_(columns_ - kGutter),
        colour_(colour) {
    const int rows_left = std::max(rows, 14) - 8;  // all but the bars and the list
    listed_ = std::min({static_cast<int>(facts_.at_bound.size()), 5, rows_left / 3});
    height_ = rows_left - listed_;
    top_ = std::max<size_t>(1, program.plan.lower_bound_bytes);
  }

  std::string text() {
    if (facts_.steps == 0) return "  nothing runs: the arena is empty\n";
    out_ = fmt::format("  bytes alive at each of {} steps; arena {}, gap {}{}\n\n", facts_.steps,
                       bytes_text(program_.plan.arena_bytes), gap_text(program_.plan),
                       colour_ ? fmt::format("; {}saved for backward{}", kOrange, kPlain) : "");
    for (int row = height_ - 1; row >= 0; --row) add_row(row);
    add_axis();
    add_phases();
    add_bound();
    return out_;
  }

 private:
  // Steps [first, last] shown in a column: several to a column, or one over several columns.
  std::pair<int, int> steps_of(int column) const {
    const int first = static_cast<int>(int64_t{column} * facts_.steps / width_);
    const int next = static_cast<int>(int64_t{column + 1} * facts_.steps / width_);
    return {first, std::max(first, next - 1)};
  }
  int column_of(int step) const {  // the first column that shows it
    int column = static_cast<int>(int64_t{step} * width_ / facts_.steps);
    while (column + 1 < width_ && steps_of(column).second < step) ++column;
    return column;
  }
  // Eighths of a character cell; anything alive shows.
  int eighths(const std::vector<size_t>& bytes, int column) const {
    const auto [first, last] = steps_of(column);
    const size_t most = *std::max_element(bytes.begin() + first, bytes.begin() + last + 1);
    const double scaled = double(most) / double(top_) * 8 * height_;
    return most == 0 ? 0 : std::max(1, static_cast<int>(scaled + 0.5));
  }

  void add_row(int row) {
    constexpr const char* kBlocks[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    const bool labelled = row == height_ - 1 || row == height_ / 2 - 1;
    const size_t size = top_ * static_cast<size_t>(row + 1) / static_cast<size_t>(height_);
    out_ += fmt::format("{:>{}} {}", labelled ? bytes_text(size) : "", kGutter - 2,
                        labelled ? "┤" : "│");
    std::string line;
    const char* now = kPlain;
    for (int column = 0; column < width_; ++column) {
      const int filled = std::clamp(eighths(facts_.live, column) - 8 * row, 0, 8);
      const char* wanted = eighths(facts_.saved, column) - 8 * row >= 4 ? kOrange : kBlue;
      if (colour_ && filled > 0 && wanted != now) line += now = wanted;
      line += kBlocks[filled];
    }
    while (line.ends_with(' ')) line.pop_back();
    out_ += line + (now == kPlain ? "" : kPlain) + "\n";
  }

  void add_axis() {
    const int bound = column_of(program_.plan.lower_bound_step);
    out_ += fmt::format("{:>{}} └{}▲{}\n", "0", kGutter - 2, repeated("─", bound),
                        repeated("─", width_ - bound - 1));
  }

  void add_phases() {
    const bool has_backward = facts_.backward_begins < facts_.steps;
    const int forward = has_backward ? column_of(facts_.backward_begins) : width_;
    out_ += std::string(kGutter, ' ') + span_text("forward", forward);
    if (has_backward) out_ += span_text("backward and update", width_ - forward);
    out_ += "\n\n";
  }

  // "├── forward ──┤", or as much of it as fits.
  static std::string span_text(const std::string& name, int width) {
    const int line = width - 4 - static_cast<int>(name.size());
    if (line < 0) return repeated(width > 0 ? "─" : "", width);
    return "├" + repeated("─", line / 2) + " " + name + " " + repeated("─", line - line / 2) + "┤";
  }

  void add_bound() {
    const auto room = static_cast<size_t>(columns_);
    out_ += shortened("  ▲ " + describe_bound(program_, facts_) + ":", room) + "\n";
    size_t shown = 0;
    for (int i = 0; i < listed_; ++i) {
      const PlannedTensor& t = facts_.tensors[facts_.at_bound[static_cast<size_t>(i)]];
      shown += t.bytes;
      out_ += shortened(fmt::format("    {:>9}  {:<16}  {}", bytes_text(t.bytes), name_of(t.role),
                                    source_of(t)),
                        room) +
              "\n";
    }
    const size_t rest = facts_.at_bound.size() - static_cast<size_t>(listed_);
    if (rest > 0) {
      out_ += fmt::format("    {:>9}  in {} more\n",
                          bytes_text(program_.plan.lower_bound_bytes - shown), rest);
    }
  }

  const Program& program_;
  const PlanFacts facts_;
  const int columns_, width_;
  const bool colour_;
  int height_ = 0, listed_ = 0;
  size_t top_ = 1;
  std::string out_;
};

std::string explain_bound(const Program& program, const PlanFacts& facts) {
  std::string text = "the lower bound: everything alive at the fullest step\n";
  text += "  " + describe_bound(program, facts) + "\n\n";
  for (const size_t b : facts.at_bound) {
    const PlannedTensor& t = facts.tensors[b];
    text += fmt::format("  {:>14}  {:<16}  {} {}\n", bytes_column(t.bytes), name_of(t.role),
                        source_of(t), t.type);
  }
  if (facts.padding_at_bound > 0) {
    text +=
        fmt::format("  {:>14}  padding to aligned offsets\n", bytes_column(facts.padding_at_bound));
  }
  text += fmt::format("  {:>14}  sum, the lower bound; the arena has {} (gap {})\n",
                      bytes_column(program.plan.lower_bound_bytes),
                      bytes_column(program.plan.arena_bytes), gap_text(program.plan));
  return text;
}

std::string explain_saved(const PlanFacts& facts) {
  std::string text = "saved activations: what the backward pass keeps of the forward pass\n\n";
  if (facts.kept.empty()) return text + "  none: no backward node reads a forward value\n";
  size_t total = 0;
  for (const SavedActivation& saved : facts.kept) {
    total += saved.bytes;
    const std::string others =
        saved.values.size() == 1
            ? ""
            : fmt::format(", and {} more values in its bytes", saved.values.size() - 1);
    text += fmt::format("  {:>14}  {} {}{}\n", bytes_column(saved.bytes), saved.written_by,
                        saved.type, others);
    for (const std::string& node : saved.kept_by) {
      text += fmt::format("  {:>14}    kept by {}\n", "", node);
    }
  }
  return text + fmt::format("  {:>14}  total of {} saved activations\n", bytes_column(total),
                            facts.kept.size());
}

}  // namespace

std::string plan_chart(const Program& program, int columns, int rows, bool colour) {
  return Chart(program, columns, rows, colour).text();
}

std::string explain_plan(const Program& program) {
  const PlanFacts facts = plan_facts(program);
  return explain_bound(program, facts) + "\n" + explain_saved(facts);
}

}  // namespace tinytl::cli
