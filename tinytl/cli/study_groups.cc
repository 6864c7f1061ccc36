#include "tinytl/cli/study_groups.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "tinytl/cli/study_grid.h"

namespace tinytl::cli {
namespace {

template <typename T>
size_t place_of(const std::vector<T>& all, const T& one) {
  return static_cast<size_t>(std::ranges::find(all, one) - all.begin());
}

void add_once(Words& names, const std::string& name) {
  if (std::ranges::find(names, name) == names.end()) names.push_back(name);
}

template <typename T>
T median(std::vector<T> values) {
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::ranges::nth_element(values, middle);
  return *middle;
}

void summarise(StudyGroup& group) {
  std::ranges::stable_sort(group.rows, {}, &StudyRow::seed);
  group.low = std::numeric_limits<double>::infinity();
  group.high = -group.low;
  std::vector<size_t> measured;
  std::vector<double> step;
  for (const StudyRow& row : group.rows) {
    group.mean += row.last_val_top1 / double(group.rows.size());
    group.low = std::min(group.low, row.last_val_top1);
    group.high = std::max(group.high, row.last_val_top1);
    measured.push_back(row.measured_peak_rss_bytes);
    step.push_back(row.step_seconds_median);
    if (row.training_memory_bytes >= group.memory()) group.largest = row;
  }
  double squares = 0;
  for (const StudyRow& row : group.rows) squares += std::pow(row.last_val_top1 - group.mean, 2);
  if (group.rows.size() > 1) group.deviation = std::sqrt(squares / double(group.rows.size() - 1));
  group.measured_bytes = median(measured);
  group.step_seconds = median(step);
}

// "--epochs 3" is one option of two words.
std::set<std::string> options_in(const std::string& text) {
  std::set<std::string> options;
  std::string option;
  for (const std::string& word : split_words(text)) {
    if (word.starts_with("-") && !option.empty()) options.insert(std::exchange(option, ""));
    option += (option.empty() ? "" : " ") + word;
  }
  if (!option.empty()) options.insert(option);
  return options;
}

// The options in `text` that not all of `others` have.
std::string distinguishing(const std::string& text, const std::set<std::string>& others) {
  std::string words;
  for (const std::string& option : options_in(text)) {
    const bool in_all = std::ranges::all_of(
        others, [&](const std::string& other) { return options_in(other).contains(option); });
    if (!in_all) words += (words.empty() ? "" : " ") + option;
  }
  return words;
}

// Where one name stands for runs with several options, each says which it is.
void name_apart(std::vector<StudyGroup>& groups) {
  const auto name = [](const StudyGroup& g) {
    return csv_line({g.model, g.data, g.method, g.variant});
  };
  std::map<std::string, std::set<std::string>> options;
  for (const StudyGroup& g : groups) options[name(g)].insert(g.rows.front().options);
  for (StudyGroup& g : groups) {
    const std::set<std::string>& like = options.at(name(g));
    if (like.size() < 2) continue;
    const std::string words = distinguishing(g.rows.front().options, like);
    if (!words.empty()) g.variant += (g.variant.empty() ? "" : " ") + words;
  }
}

}  // namespace

std::vector<const StudyGroup*> Study::of(const std::string& model,
                                         const std::string& data_set) const {
  std::vector<const StudyGroup*> found;
  for (const StudyGroup& g : groups) {
    if (g.model == model && g.data == data_set) found.push_back(&g);
  }
  return found;
}

std::vector<const StudyGroup*> Study::of_data(const std::string& data_set) const {
  std::vector<const StudyGroup*> found;
  for (const StudyGroup& g : groups) {
    if (g.data == data_set) found.push_back(&g);
  }
  return found;
}

Study study_of(std::span<const StudyRow> rows) {
  Study study;
  Words variants{""}, seen;
  std::map<std::string, size_t> places;
  for (const StudyRow& row : rows) {
    StudyRow kind = row;
    kind.seed = 0;
    const auto [place, is_new] = places.try_emplace(key_of(kind), study.groups.size());
    if (is_new) {
      study.groups.emplace_back();
      std::tie(study.groups.back().model, study.groups.back().data, study.groups.back().method,
               study.groups.back().variant) =
          std::tie(row.model, row.data, row.method, row.variant);
    }
    study.groups[place->second].rows.push_back(row);
    add_once(study.models, row.model);
    add_once(study.data, row.data);
    add_once(variants, row.variant);
    add_once(seen, row.method);
  }
  for (StudyGroup& group : study.groups) summarise(group);
  std::ranges::stable_sort(study.groups, {}, [&](const StudyGroup& g) {
    return std::tuple(place_of(study.data, g.data), place_of(study.models, g.model),
                      place_of(variants, g.variant), place_of(study_methods(), g.method));
  });
  name_apart(study.groups);
  std::ranges::stable_sort(seen, {},
                           [](const auto& method) { return place_of(study_methods(), method); });
  study.methods = seen;
  return study;
}

std::vector<size_t> pareto_front(std::span<const StudyGroup* const> groups) {
  std::vector<size_t> order(groups.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::stable_sort(
      order, {}, [&](size_t i) { return std::pair(groups[i]->memory(), -groups[i]->mean); });
  std::vector<size_t> front;
  for (const size_t i : order) {
    if (front.empty() || groups[i]->mean > groups[front.back()]->mean) front.push_back(i);
  }
  return front;
}

StudyCurve curve_of(const StudyGroup& group, std::vector<double> StudyRow::*values) {
  StudyCurve curve;
  for (size_t epoch = 0;; ++epoch) {
    std::vector<double> at_epoch;
    bool any = false;
    for (const StudyRow& row : group.rows) {
      if (epoch >= (row.*values).size()) continue;
      any = true;
      if (std::isfinite((row.*values)[epoch])) at_epoch.push_back((row.*values)[epoch]);
    }
    if (!any || at_epoch.empty()) return curve;
    double sum = 0;
    for (const double value : at_epoch) sum += value;
    curve.mean.push_back(sum / double(at_epoch.size()));
    curve.low.push_back(*std::ranges::min_element(at_epoch));
    curve.high.push_back(*std::ranges::max_element(at_epoch));
  }
}

std::string model_label(const std::string& model) {
  constexpr std::string_view kUsual = "_fp32";
  return model.ends_with(kUsual) ? model.substr(0, model.size() - kUsual.size()) : model;
}

}  // namespace tinytl::cli
