#include "tinytl/cli/study_variants.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "tinytl/cli/console.h"
#include "tinytl/cli/plan_xml.h"
#include "tinytl/cli/study_svg.h"

namespace tinytl::cli {
namespace {

const StudyGroup* plain_of(const Study& study, const StudyGroup& g) {
  for (const StudyGroup* other : study.of(g.model, g.data)) {
    if (other->method == g.method && other->variant.empty()) return other;
  }
  return nullptr;
}

VariantCost compare(const StudyGroup& plain, const StudyGroup& with) {
  VariantCost cost{.plain = &plain, .with = &with};
  std::vector<double> changes;
  for (const StudyRow& row : with.rows) {
    const auto same = std::ranges::find(plain.rows, row.seed, &StudyRow::seed);
    if (same != plain.rows.end()) changes.push_back(row.last_val_top1 - same->last_val_top1);
  }
  cost.seeds = changes.size();
  for (const double change : changes) cost.change += change / double(changes.size());
  double squares = 0;
  for (const double change : changes) squares += std::pow(change - cost.change, 2);
  if (changes.size() > 1) {
    cost.error = std::sqrt(squares / double(changes.size() - 1) / double(changes.size()));
  }
  return cost;
}

std::string points_text(const VariantCost& cost) {
  const double points = 100 * cost.change;
  const std::string digits = fmt::format("{:.1f}", std::abs(points));
  const std::string sign = digits == "0.0" ? "" : points < 0 ? "\u2212" : "+";
  std::string text = "<b>" + sign + digits + "</b>";
  if (cost.seeds > 1) text += fmt::format(" <small>± {:.1f}</small>", 100 * cost.error);
  return text;
}

using Costs = std::vector<const VariantCost*>;

std::string memory_text(const VariantCost& cost) {
  return fmt::format("{} <small>of {}</small>", bytes_text(cost.with->memory()),
                     bytes_text(cost.plain->memory()));
}

// One method and model over the data sets.
std::string row_of(const Study& study, const Costs& costs) {
  const StudyGroup& first = *costs.front()->with;
  std::string row = fmt::format(
      "<tr><td><i style=\"background:var(--{})\"></i>{}{}</td>", method_class(first.method),
      xml_text(first.method),
      study.models.size() < 2 ? "" : " <small>" + xml_text(model_label(first.model)) + "</small>");
  row += "<td class=\"n\">" + memory_text(*costs.front()) + "</td>";
  for (const std::string& data : study.data) {
    const auto found = std::ranges::find_if(
        costs, [&](const VariantCost* cost) { return cost->with->data == data; });
    row += "<td class=\"n\">" + (found == costs.end() ? "" : points_text(**found)) + "</td>";
  }
  return row + "</tr>\n";
}

// The mean over the methods and models on each data set.
std::string mean_row(const Study& study, const Costs& costs) {
  std::string row = "<tr><td>mean</td><td></td>";
  for (const std::string& data : study.data) {
    VariantCost mean;
    size_t count = 0;
    for (const VariantCost* cost : costs) {
      if (cost->with->data != data) continue;
      mean.change += cost->change;
      ++count;
    }
    mean.change /= double(std::max<size_t>(1, count));
    row += "<td class=\"n\">" + (count == 0 ? "" : points_text(mean)) + "</td>";
  }
  return row + "</tr>\n";
}

std::string table_of(const Study& study, const std::string& variant, const Costs& costs) {
  std::string text = fmt::format("<tr class=\"set\"><td colspan=\"{}\">{}</td></tr>\n",
                                 study.data.size() + 2, xml_text(variant));
  for (const std::string& model : study.models) {
    for (const std::string& method : study.methods) {
      Costs like;
      std::ranges::copy_if(costs, std::back_inserter(like), [&](const VariantCost* cost) {
        return cost->with->model == model && cost->with->method == method;
      });
      if (!like.empty()) text += row_of(study, like);
    }
  }
  return text + mean_row(study, costs);
}

}  // namespace

std::vector<VariantCost> variant_costs(const Study& study) {
  std::vector<VariantCost> costs;
  for (const StudyGroup& g : study.groups) {
    const StudyGroup* plain = g.variant.empty() ? nullptr : plain_of(study, g);
    if (plain == nullptr) continue;
    const VariantCost cost = compare(*plain, g);
    if (cost.seeds > 0) costs.push_back(cost);
  }
  return costs;
}

std::string variants_html(const Study& study) {
  const std::vector<VariantCost> costs = variant_costs(study);
  if (costs.empty()) return "";
  std::vector<std::string> names;
  std::map<std::string, Costs> of;
  for (const VariantCost& cost : costs) {
    if (!of.contains(cost.with->variant)) names.push_back(cost.with->variant);
    of[cost.with->variant].push_back(&cost);
  }
  std::string text =
      "<h2>What each variant costs</h2>\n<p class=\"caption\">Change of val top-1 in points "
      "against "
      "the plain run of the same seed: mean over the seeds and its standard error. Memory: on the "
      "first data set.</p>\n<div class=\"wide\"><table><thead><tr><th>update</th>"
      "<th class=\"n\">training memory</th>";
  for (const std::string& data : study.data) {
    text += "<th class=\"n\">" + xml_text(data) + "</th>";
  }
  text += "</tr></thead>\n<tbody>\n";
  for (const std::string& name : names) text += table_of(study, name, of.at(name));
  return text + "</tbody></table></div>\n";
}

}  // namespace tinytl::cli
