#include "tinytl/cli/profile_text.h"

#include <fmt/core.h>

#include <algorithm>

#include "tinytl/cli/console.h"
#include "tinytl/cli/plan_facts.h"
#include "tinytl/cli/plan_xml.h"

namespace tinytl::cli {
namespace {

constexpr size_t kNameWidth = 32, kOpWidth = 25, kTypeWidth = 18;

// fmt counts columns of UTF-8 text as characters do.
std::string padded(std::string_view text, size_t width) {
  return fmt::format("{:<{}}", shortened(text, width), width);
}

// "  12.3 %      1234.5       8  ": what every line begins with.
std::string figures(const NodeTotals& part, const NodeTotals& step) {
  return fmt::format("  {:>7}  {:>10.1f}  {:>7.6g}",
                     percent_text(step.seconds > 0 ? part.seconds / step.seconds : 0),
                     1e6 * part.seconds, part.calls);
}

std::string head(std::string_view rest) {
  return fmt::format("  {:>7}  {:>10}  {:>7}  {}\n", "share", "us", "calls", rest);
}

std::string node_line(const ProfiledNode& node, const NodeTotals& totals, const NodeTotals& step) {
  return fmt::format("{}  {} {} {:<9} {} {:>14}\n", figures(totals, step),
                     padded(node.name, kNameWidth), padded(node.op, kOpWidth), name_of(node.phase),
                     padded(node.type, kTypeWidth), rate_text(totals));
}

std::string node_table(const Profile& profile, const NodeTotals& step, size_t most) {
  const std::vector<size_t> slowest = slowest_nodes(profile);
  const size_t shown = most == 0 ? slowest.size() : std::min(most, slowest.size());
  std::string text = head(fmt::format("{:<{}} {:<{}} {:<9} {:<{}} {:>14}", "node", kNameWidth,
                                      "operator", kOpWidth, "phase", "output", kTypeWidth, "rate"));
  NodeTotals rest = step;
  for (const size_t i : std::span(slowest).first(shown)) {
    const NodeTotals totals = totals_of(profile, i);
    text += node_line(profile.nodes()[i], totals, step);
    rest.seconds -= totals.seconds;
    rest.calls -= totals.calls;
  }
  if (shown < slowest.size()) {
    rest.seconds = std::max(0.0, rest.seconds);
    text += fmt::format("{}  {} more nodes\n", figures(rest, step), slowest.size() - shown);
  }
  return text + fmt::format("{}  step, {} nodes\n", figures(step, step), step.nodes);
}

std::string sums(std::string_view title, const std::vector<NodeTotals>& groups,
                 const NodeTotals& step) {
  const auto line = [&](const NodeTotals& g, const std::string& rate) {
    return fmt::format("{}  {} {:>6} {:>14}\n", figures(g, step), padded(g.name, kNameWidth),
                       g.nodes, rate);
  };
  std::string text = head(fmt::format("{:<{}} {:>6} {:>14}", title, kNameWidth, "nodes", "rate"));
  for (const NodeTotals& group : groups) text += line(group, rate_text(group));
  return text + line(step, rate_text(step));
}

std::string title_of(const Profile& profile) {
  const int64_t steps = profile.times().steps();
  std::string text = fmt::format("time by node, mean of {} step{}", steps, steps == 1 ? "" : "s");
  if (profile.micro_batches() > 1) {
    text += fmt::format(" of {} x {} samples", profile.micro_batches(), profile.micro_batch_size());
  }
  return text + "\n";
}

}  // namespace

std::string rate_text(const NodeTotals& totals) {
  if (!(totals.seconds > 0) || (totals.flops <= 0 && totals.bytes <= 0)) return "-";
  const double work = totals.flops > 0 ? totals.flops : totals.bytes;
  return fmt::format("{:.1f} {}", 1e-9 * work / totals.seconds,
                     totals.flops > 0 ? "GFLOP/s" : "GB/s");
}

std::string profile_text(const Profile& profile, size_t most) {
  if (profile.times().steps() == 0) return "time by node: no step ran\n";
  const NodeTotals step = totals_of(profile);
  return title_of(profile) + node_table(profile, step, most) + "\n" +
         sums("phase", totals_by_phase(profile), step) + "\n" +
         sums("operator", totals_by_op(profile), step);
}

}  // namespace tinytl::cli
