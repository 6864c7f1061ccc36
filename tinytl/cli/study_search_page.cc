// The page of a search.

#include <fmt/core.h>

#include <algorithm>

#include "tinytl/cli/console.h"
#include "tinytl/cli/plan_xml.h"
#include "tinytl/cli/study_figures.h"
#include "tinytl/cli/study_page.h"
#include "tinytl/cli/study_search.h"
#include "tinytl/cli/study_svg.h"

namespace tinytl::cli {
namespace {

std::string cell(const std::string& text) { return "<td class=\"n\">" + text + "</td>"; }

std::string name_cell(const Candidate& c, bool is_chosen) {
  const std::string name =
      xml_text(c.run.row.method + (c.run.row.variant.empty() ? "" : ", " + c.run.row.variant));
  return fmt::format("<td><i style=\"background:var(--{})\"></i>{}</td>",
                     method_class(c.run.row.method), is_chosen ? "<b>" + name + "</b>" : name);
}

std::string row_of(const Candidate& c, bool is_chosen) {
  std::string row =
      "<tr>" + name_cell(c, is_chosen) + "<td>" + xml_text(model_label(c.run.row.model)) + "</td>";
  if (!c.dropped.empty()) {
    return row + cell(c.planned_bytes == 0 ? "" : bytes_text(c.planned_bytes)) +
           fmt::format("<td colspan=\"{}\" class=\"n\"><small>does not fit</small></td></tr>\n",
                       std::size(kRungEpochs));
  }
  row += cell(c.held_out.empty() ? bytes_text(c.planned_bytes)
                                 : bytes_text(c.last.training_memory_bytes));
  for (size_t r = 0; r < std::size(kRungEpochs); ++r) {
    const bool is_best = is_chosen && r + 1 == c.held_out.size();
    const std::string top1 =
        r < c.held_out.size() ? fmt::format("{:.1f}", 100 * c.held_out[r]) : "";
    row += cell(is_best ? "<b>" + top1 + "</b>" : top1);
  }
  return row + "</tr>\n";
}

std::string table(const SearchResult& result) {
  std::string text =
      "<div class=\"wide\"><table><thead><tr><th>candidate</th><th>network</th>"
      "<th class=\"n\">training memory</th>";
  for (const size_t epochs : kRungEpochs) {
    text += fmt::format("<th class=\"n\">{} epoch{}, %</th>", epochs, epochs == 1 ? "" : "s");
  }
  text += "</tr></thead>\n<tbody>\n";
  for (size_t i = 0; i < result.candidates.size(); ++i)
    text += row_of(result.candidates[i], i == 0);
  return text + "</tbody></table></div>\n";
}

// What has run, at the last rung of each.
std::string figure(const SearchResult& result) {
  std::vector<StudyRow> rows;
  for (const Candidate& c : result.candidates) {
    if (!c.held_out.empty()) rows.push_back(c.last);
  }
  for (StudyRow& row : rows) row.options.clear();  // the names tell them apart
  return "<div class=\"figure\">\n" + front_figure(study_of(rows), result.budget_bytes) +
         "</div>\n";
}

}  // namespace

std::string search_html(const SearchResult& result, const std::vector<std::string>& commands) {
  const Candidate& chosen = result.candidates.at(0);
  const auto dropped = std::ranges::count_if(result.candidates,
                                             [](const Candidate& c) { return !c.dropped.empty(); });
  std::string body = fmt::format(
      "<h1>What to adapt within {}</h1>\n<p class=\"lead\">{}: {} candidates, {} of them fit."
      "</p>\n<div class=\"findings\"><div><span>chosen</span><b>{}</b>{}</div></div>\n",
      bytes_text(result.budget_bytes), xml_text(chosen.run.row.data), result.candidates.size(),
      std::ssize(result.candidates) - dropped,
      xml_text(chosen.run.row.method +
               (chosen.run.row.variant.empty() ? "" : ", " + chosen.run.row.variant)),
      xml_text(result.why));
  body += "<pre>" + xml_text(result.command) + "</pre>\n";
  body +=
      "<h2>Held-out accuracy against training memory</h2>\n<p class=\"caption\">Of each candidate "
      "that fits, after its longest run, on a part of the training set that it did not train on. "
      "Those left behind earlier have trained less.</p>\n" +
      figure(result);
  body +=
      "<h2>The rungs</h2>\n<p class=\"caption\">Successive halving: the better half of each rung, "
      "and at least three, come into the next, and start anew with more epochs; out of the first "
      "one also the best of each method. Held-out top-1.</p>\n" +
      table(result);
  return study_page("What to adapt", body, commands);
}

}  // namespace tinytl::cli
