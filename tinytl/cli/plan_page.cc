#include "tinytl/cli/plan_page.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "tinytl/cli/console.h"
#include "tinytl/cli/plan_style.h"
#include "tinytl/cli/plan_xml.h"

namespace tinytl::cli {
namespace {

constexpr std::array<const char*, kPlanRoles> kColours{"saved",      "recomputed", "gradient",
                                                       "activation", "input",      "scratch"};

struct Part {
  std::string colour;  // of the style, above
  std::string name;
  size_t bytes = 0;
};

std::string swatch(const std::string& colour) {
  return fmt::format("<i style=\"background:var(--{})\"></i>", colour);
}

// The parts side by side, each as long as its bytes, in a bar of `full` bytes.
std::string bar_of(const std::vector<Part>& parts, size_t full) {
  std::string bar;
  size_t total = 0;
  for (const Part& part : parts) {
    if (part.bytes == 0) continue;
    total += part.bytes;
    bar +=
        fmt::format("<i style=\"flex:{} 0 0;background:var(--{})\"></i>", part.bytes, part.colour);
  }
  const double share = full == 0 ? 100 : 100.0 * double(total) / double(full);
  return fmt::format("<div class=\"bar\" style=\"width:{}%\">{}</div>\n", pixels(share), bar);
}

std::string figures_of(const std::vector<Part>& parts) {
  std::string list;
  for (const Part& part : parts) {
    if (part.bytes == 0) continue;
    list += fmt::format("<li>{}{}<b>{}</b></li>\n", swatch(part.colour), part.name,
                        bytes_text(part.bytes));
  }
  return "<ul class=\"parts\">\n" + list + "</ul>\n";
}

// One bar of the parts, and their figures below it.
std::string stacked_bar(const std::vector<Part>& parts) {
  size_t total = 0;
  for (const Part& part : parts) total += part.bytes;
  return bar_of(parts, total) + figures_of(parts);
}

// The same below a faint bar of the memory before any lever.
std::string before_and_after(const std::vector<Part>& parts, const PlannedStep& before,
                             size_t after) {
  const size_t full = std::max(before.training_memory_bytes, after);
  const std::vector<Part> whole{
      {"arena", "", before.arena_bytes},
      {"optimizer", "", before.training_memory_bytes - before.arena_bytes}};
  return fmt::format(
      "<div class=\"rows\"><span class=\"caption\">without levers <b>{}</b></span>"
      "<div class=\"before\">{}</div>\n<span class=\"caption\">with them <b>{}</b></span>"
      "<div>{}</div></div>\n{}",
      bytes_text(before.training_memory_bytes), bar_of(whole, full), bytes_text(after),
      bar_of(parts, full), figures_of(parts));
}

std::string figure(const std::string& value, const std::string& name) {
  return fmt::format("<div><b>{}</b><span>{}</span></div>\n", value, name);
}

std::string bytes_cell(size_t bytes) {
  return fmt::format("<td class=\"n\">{}</td>", count_text(static_cast<int64_t>(bytes)));
}

std::string headline(const Program& program, const PlanTitle& title, const MemoryReport& memory) {
  std::string text = fmt::format(
      "<h1>{}</h1>\n<p class=\"muted\">{}   ·   {} tensors over {} "
      "steps</p>\n<div class=\"figures\">\n",
      xml_text(title.model), xml_text(work_text(title)),
      count_text(int64_t(program.buffers.lifetimes.size())),
      count_text(int64_t(program.schedule.order.size())));
  text += figure(bytes_text(memory.training_memory()), "training memory");
  text += figure(bytes_text(memory.adaptation_memory()), "without frozen parameters");
  text += figure(bytes_text(program.plan.arena_bytes), "arena of a step");
  text += figure(bytes_text(program.plan.lower_bound_bytes), "lower bound of that arena");
  text += figure(gap_text(program.plan), "gap between the two");
  return text + "</div>\n";
}

std::string memory_bars(const PlanFacts& facts, const MemoryReport& memory,
                        std::span<const PlannedStep> levers) {
  const std::vector<Part> kinds{{"arena", "arena", memory.arena},
                                {"trainable", "trainable", memory.trainable},
                                {"optimizer", "optimizer", memory.optimizer},
                                {"frozen", "frozen", memory.frozen}};
  const std::string text =
      "<div class=\"caption\">Training memory</div>\n" +
      (levers.size() < 2 ? stacked_bar(kinds)
                         : before_and_after(kinds, levers.front(), memory.training_memory()));
  std::vector<Part> parts;
  for (size_t r = 0; r < kPlanRoles; ++r) {
    const auto role = static_cast<PlanRole>(r);
    parts.push_back({kColours[r], std::string(name_of(role)), 0});
    for (const size_t b : facts.at_bound) {
      if (facts.tensors[b].role == role) parts.back().bytes += facts.tensors[b].bytes;
    }
  }
  parts.push_back({"padding", "padding", facts.padding_at_bound});
  return text + "<div class=\"caption\">Arena at its fullest step</div>\n" + stacked_bar(parts);
}

std::string lever_table(std::span<const PlannedStep> levers) {
  if (levers.empty()) return "";
  std::string text =
      "<h2>How the budget is met</h2>\n"
      "<p>Levers change no number beyond rounding, only memory and time; each row adds one.</p>\n"
      "<div class=\"wide\"><table id=\"levers\"><thead><tr><th>lever</th><th class=\"n\">arena</th>"
      "<th class=\"n\">training memory</th><th class=\"n\">predicted time</th></tr></thead>"
      "<tbody>\n";
  for (const PlannedStep& lever : levers) {
    text += fmt::format(
        "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>"
        "<td class=\"n\">{:.2f} &#215;</td></tr>\n",
        xml_text(lever.what), bytes_text(lever.arena_bytes),
        bytes_text(lever.training_memory_bytes), lever.seconds / levers.front().seconds);
  }
  return text + "</tbody></table></div>\n";
}

std::string bound_table(const Program& program, const PlanFacts& facts) {
  std::string text = "<h2>Why not less: the fullest step</h2>\n";
  if (facts.steps == 0) return text + "<p>Nothing runs.</p>\n";
  text += fmt::format(
      "<p>While step {} runs ({}), these {} tensors are alive. No placement of this order of "
      "steps can need fewer bytes than they add up to.</p>\n"
      "<div class=\"wide\"><table id=\"bound\"><thead><tr><th class=\"n\">bytes</th><th>role</th>"
      "<th>tensor</th><th>type</th><th>written by</th><th class=\"n\">steps</th></tr></thead>"
      "<tbody>\n",
      program.plan.lower_bound_step, xml_text(facts.bound_node), facts.at_bound.size());
  for (const size_t b : facts.at_bound) {
    const PlannedTensor& t = facts.tensors[b];
    text += fmt::format(
        "<tr data-b=\"{}\">{}<td class=\"t\">{}{}</td><td>{}</td><td>{}</td><td>{}</td>"
        "<td class=\"n\">{}&#8211;{}</td></tr>\n",
        b, bytes_cell(t.bytes), swatch(kColours[static_cast<size_t>(t.role)]), name_of(t.role),
        xml_text(t.name), t.type, xml_text(t.written_by), t.first, t.last);
  }
  if (facts.padding_at_bound > 0) {
    text += fmt::format("<tr>{}<td colspan=\"5\">padding to aligned offsets</td></tr>\n",
                        bytes_cell(facts.padding_at_bound));
  }
  return text + fmt::format(
                    "<tr class=\"sum\">{}<td colspan=\"5\">lower bound</td></tr>\n"
                    "</tbody></table></div>\n",
                    bytes_cell(program.plan.lower_bound_bytes));
}

std::string saved_table(const PlanFacts& facts) {
  std::string text = "<h2>What the backward pass keeps of the forward pass</h2>\n";
  if (facts.kept.empty()) return text + "<p>Nothing: no backward node reads a forward value.</p>\n";
  text +=
      "<p>A saved activation lives until the last backward node that reads it has run.</p>\n"
      "<div class=\"wide\"><table id=\"saved\"><thead><tr><th class=\"n\">bytes</th><th>tensor</th>"
      "<th>type</th><th>written by</th><th>kept by</th></tr></thead><tbody>\n";
  size_t total = 0;
  for (const SavedActivation& saved : facts.kept) {
    total += saved.bytes;
    std::string keepers;
    for (const std::string& node : saved.kept_by) {
      keepers += (keepers.empty() ? "" : "<br>") + xml_text(node);
    }
    text += fmt::format("<tr data-b=\"{}\">{}<td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                        saved.buffer, bytes_cell(saved.bytes), xml_text(saved.name), saved.type,
                        xml_text(saved.written_by), keepers);
  }
  return text + fmt::format(
                    "<tr class=\"sum\">{}<td colspan=\"4\">in {} saved activations</td></tr>"
                    "\n</tbody></table></div>\n",
                    bytes_cell(total), facts.kept.size());
}

}  // namespace

std::string plan_html(const Program& program, const PlanTitle& title, const MemoryReport& memory,
                      std::span<const PlannedStep> levers) {
  const PlanFacts facts = plan_facts(program);
  std::string page = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>Memory plan of {}</title>\n</head>\n<body>\n",
      xml_text(title.model));
  page += headline(program, title, memory);
  page += memory_bars(facts, memory, levers);
  page += "<div class=\"picture\">\n" + plan_svg(program, facts, title) + "</div>\n";
  page +=
      "<p class=\"caption\">Each rectangle is a tensor: as wide as the steps it lives through, as "
      "high as its bytes, where it lies in the arena. Point at one to read about it; click to keep "
      "the box.</p>\n";
  page += lever_table(levers) + bound_table(program, facts) + saved_table(facts);
  // Behind the picture, whose own style it overrides in the dark.
  return page + "<div id=\"tip\" role=\"status\"></div>\n" + kPageStyle + kPageScript +
         "</body>\n</html>\n";
}

}  // namespace tinytl::cli
