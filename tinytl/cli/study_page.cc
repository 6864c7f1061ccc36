#include "tinytl/cli/study_page.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "tinytl/cli/console.h"
#include "tinytl/cli/plan_xml.h"
#include "tinytl/cli/study_figures.h"
#include "tinytl/cli/study_style.h"
#include "tinytl/cli/study_svg.h"
#include "tinytl/cli/study_variants.h"

namespace tinytl::cli {
namespace {

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < names.size(); ++i) {
    text += (i == 0 ? "" : i + 1 < names.size() ? ", " : " and ") + names[i];
  }
  return text;
}

std::string headline(const Study& study) {
  std::vector<std::string> models;
  for (const std::string& model : study.models) models.push_back(model_label(model));
  size_t runs = 0;
  for (const StudyGroup& g : study.groups) runs += g.rows.size();
  return fmt::format(
      "<h1>Accuracy against training memory</h1>\n<p class=\"lead\">{} on {}: {} runs.</p>\n",
      xml_text(joined(models)), xml_text(joined(study.data)), runs);
}

// "1/6.5", or "1.2 times" where it is more.
std::string share_text(const StudyGroup& g, const StudyGroup& full) {
  const double times = double(full.memory()) / double(std::max<size_t>(1, g.memory()));
  return times >= 1 ? fmt::format("1/{:.1f}", times) : fmt::format("{:.1f} times", 1 / times);
}

std::string signed_text(double points) {
  const std::string digits = fmt::format("{:.1f}", std::abs(points));
  return digits == "0.0" ? digits : (points < 0 ? "\u2212" : "+") + digits;
}

std::string finding_text(const StudyFinding& finding, const std::string& data) {
  if (finding.found == nullptr) return "";
  const StudyGroup &found = *finding.found, &full = *finding.full;
  const std::string how =
      finding.within_a_point
          ? "within a point of the full update"
          : fmt::format("{:.1f} points below the full update", 100 * (full.mean - found.mean));
  return fmt::format(
      "<div><span>{}, {}</span><b>{} of the memory</b>{} reaches {} in {}<span>the full update {} "
      "in {}</span></div>\n",
      xml_text(data), how, share_text(found, full), xml_text(found.name()),
      percent_text(found.mean), bytes_text(found.memory()), percent_text(full.mean),
      bytes_text(full.memory()));
}

std::string findings(const Study& study) {
  std::string text;
  for (const std::string& data : study.data) text += finding_text(finding_of(study, data), data);
  return text.empty() ? "" : "<div class=\"findings\">\n" + text + "</div>\n";
}

std::string section(const std::string& title, const std::string& caption, const std::string& svg) {
  return fmt::format("<h2>{}</h2>\n<p class=\"caption\">{}</p>\n<div class=\"figure\">\n{}</div>\n",
                     title, caption, svg);
}

std::string cell(const std::string& text) { return "<td class=\"n\">" + text + "</td>"; }

std::string accuracy_text(const StudyGroup& g) {
  std::string text = fmt::format("<b>{:.1f}</b>", 100 * g.mean);
  if (g.rows.size() > 1) text += fmt::format(" <small>± {:.1f}</small>", 100 * g.deviation);
  return text;
}

std::string table_row(const StudyGroup& g, const StudyGroup* full, bool is_on_front) {
  std::string row = is_on_front ? "<tr class=\"front\">" : "<tr>";
  row += fmt::format("<td><i style=\"background:var(--{})\"></i>{}</td>", method_class(g.method),
                     is_on_front ? "<b>" + xml_text(g.name()) + "</b>" : xml_text(g.name()));
  row += cell(bytes_text(g.memory()));
  row += cell(full == nullptr || full == &g ? "" : share_text(g, *full));
  row += cell(bytes_text(g.measured_bytes)) + cell(accuracy_text(g));
  row += cell(full == nullptr || full == &g ? "" : signed_text(100 * (g.mean - full->mean)));
  row += cell(fmt::format("{:.1f} ms", 1e3 * g.step_seconds));
  row += cell(count_text(static_cast<int64_t>(g.largest.trainable_scalars)));
  return row + cell(std::to_string(g.rows.size())) + "</tr>\n";
}

std::string table(const Study& study) {
  std::string text =
      "<div class=\"wide\"><table><thead><tr><th>update</th><th class=\"n\">training memory</th>"
      "<th class=\"n\">of full</th><th class=\"n\">measured growth</th>"
      "<th class=\"n\">val top-1, %</th><th class=\"n\">to full</th><th class=\"n\">step</th>"
      "<th class=\"n\">trains</th><th class=\"n\">seeds</th></tr></thead>\n<tbody>\n";
  for (const std::string& data : study.data) {
    const std::vector<const StudyGroup*> all = study.of_data(data);
    std::set<const StudyGroup*> front;
    for (const size_t i : pareto_front(all)) front.insert(all[i]);
    for (const std::string& model : study.models) {
      const std::vector<const StudyGroup*> groups = study.of(model, data);
      if (groups.empty()) continue;
      text += fmt::format("<tr class=\"set\"><td colspan=\"9\">{}<span>{}</span></td></tr>\n",
                          xml_text(data), xml_text(model_label(model)));
      const auto full =
          std::ranges::find_if(groups, [](const StudyGroup* g) { return g->name() == "full"; });
      for (const StudyGroup* g : groups) {
        text += table_row(*g, full == groups.end() ? nullptr : *full, front.contains(g));
      }
    }
  }
  return text + "</tbody></table></div>\n";
}

std::string figures(const Study& study) {
  std::string text = section(
      "Accuracy against training memory",
      "Each point is the mean over the seeds of the validation top-1 after the last epoch; nothing "
      "was selected on the validation set. Bars reach from the lowest to the highest seed. The "
      "line is the Pareto front: the best accuracy within a memory. Training memory is planned: "
      "arena, trained parameters, optimizer state and frozen parameters. Its axis is logarithmic.",
      front_figure(study));
  text += section("Training loss", "Mean over the seeds, and the band that they span.",
                  curves_figure(study, &StudyRow::loss, "Training loss", 1));
  text += section("Validation accuracy", "Top-1 after each epoch: mean, and the band of the seeds.",
                  curves_figure(study, &StudyRow::val_top1, "Validation accuracy", 100));
  text += section("What the memory is",
                  "Planned bytes by kind. The mark is the growth of the process's peak resident "
                  "size, decoder and data loader included: the median of the runs.",
                  parts_figure(study));
  return text + section("Memory over a step",
                        "Bytes of the arena that are alive while one pass of a training step runs, "
                        "from its first node to its last. What the forward pass piles up is what "
                        "the backward pass will read.",
                        timeline_figure(study));
}

}  // namespace

StudyFinding finding_of(const Study& study, const std::string& data) {
  constexpr double kPoint = 0.01;
  StudyFinding finding;
  for (const StudyGroup* g : study.of_data(data)) {
    const bool is_full = g->name() == "full";
    if (is_full && (finding.full == nullptr || g->mean > finding.full->mean)) finding.full = g;
  }
  if (finding.full == nullptr) return finding;
  const StudyGroup *best = nullptr, *least = nullptr;
  for (const StudyGroup* g : study.of_data(data)) {
    if (g->name() == "full") continue;
    if (best == nullptr || g->mean > best->mean) best = g;
    const bool is_close = g->mean >= finding.full->mean - kPoint;
    if (is_close && (least == nullptr || g->memory() < least->memory())) least = g;
  }
  finding.within_a_point = least != nullptr;
  finding.found = least != nullptr ? least : best;
  return finding;
}

std::string study_page(const std::string& title, const std::string& body,
                       const std::vector<std::string>& commands) {
  std::string page = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
      "<title>{}</title>\n</head>\n<body>\n",
      xml_text(title));
  page += body + "<h2>To make this again</h2>\n<pre>";
  for (const std::string& command : commands) page += xml_text(command) + "\n";
  return page + "</pre>\n" + kStudyStyle + kStudyPageStyle + "</body>\n</html>\n";
}

std::string study_html(const Study& study, const std::vector<std::string>& commands) {
  std::string body = headline(study);
  if (!study.groups.empty()) {
    body += findings(study) + figures(study);
    body +=
        "<h2>All figures</h2>\n<p class=\"caption\">Bold: on the Pareto front of its data set. "
        "Accuracy: mean and standard deviation of the seeds. Step: median of a batch.</p>\n" +
        table(study) + variants_html(study);
  }
  return study_page("Accuracy against training memory", body, commands);
}

}  // namespace tinytl::cli
