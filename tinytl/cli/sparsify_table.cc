#include "tinytl/cli/sparsify_table.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "engine/graph/error.h"

namespace tinytl::cli {
namespace {

CsvRecord columns() {
  return {"measure", "part", "number", "channels", "options", "name", "value", "seconds"};
}

double number_in(const std::string& text) {
  size_t used = 0;
  double number = 0;
  try {
    number = std::stod(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  if (used == 0 || used != text.size()) {
    throw InputError("contributions.csv: \"" + text +
                     "\" is no number; remove that line, or the file");
  }
  return number;
}

CsvRecord to_record(const PartRow& row) {
  return {row.measure, row.part, std::to_string(row.number),   fmt::format("{}", row.channels),
          row.options, row.name, fmt::format("{}", row.value), fmt::format("{:.3f}", row.seconds)};
}

PartRow from_record(const CsvRecord& r) {
  return {.measure = r.at(0),
          .part = r.at(1),
          .number = static_cast<int64_t>(number_in(r.at(2))),
          .channels = number_in(r.at(3)),
          .options = r.at(4),
          .name = r.at(5),
          .value = number_in(r.at(6)),
          .seconds = number_in(r.at(7))};
}

std::string key_of(const PartRow& row) {
  const CsvRecord record = to_record(row);
  return csv_line({record.begin(), record.begin() + 5});
}

int ratio_index(double channels) {
  const auto found = std::ranges::find(kRatios, channels);
  return found == std::end(kRatios) ? -1 : static_cast<int>(found - std::begin(kRatios));
}

// Fills the gaps between what is known by straight lines; behind the last, by the last.
void interpolate(std::vector<double>& values, const std::map<int64_t, double>& known) {
  for (size_t k = 0; k < values.size(); ++k) {
    const auto above = known.lower_bound(static_cast<int64_t>(k));
    if (above == known.end()) {
      values[k] = known.empty() ? 0 : known.rbegin()->second;
    } else if (above->first == static_cast<int64_t>(k) || above == known.begin()) {
      values[k] = above->second;
    } else {
      const auto below = std::prev(above);
      const double at = (double(k) - double(below->first)) / double(above->first - below->first);
      values[k] = below->second + at * (above->second - below->second);
    }
  }
}

}  // namespace

PartTable::PartTable(const std::filesystem::path& file) : log_(file, columns()) {
  for (const CsvRecord& record : log_.records()) {
    rows_.push_back(from_record(record));
    keys_.insert(key_of(rows_.back()));
  }
}

bool PartTable::has(const PartRow& key) const { return keys_.contains(key_of(key)); }

void PartTable::append(const PartRow& row) {
  log_.append(to_record(row));
  keys_.insert(key_of(row));
  rows_.push_back(row);
}

std::optional<MeasuredParts> measured_parts(const std::vector<PartRow>& rows,
                                            const std::string& measure, int64_t convolutions) {
  const auto last = std::find_if(rows.rbegin(), rows.rend(),
                                 [&](const PartRow& row) { return row.measure == measure; });
  if (last == rows.rend()) return std::nullopt;
  MeasuredParts result{by_part<double>(convolutions), 0,
                       static_cast<size_t>(convolutions) * (kRatioCount + 1)};
  const bool is_trained = measure == "accuracy" || measure == "likelihood";
  result.all += is_trained;  // the classifier alone
  std::map<int64_t, double> biases{{0, 0}};
  std::map<std::pair<int64_t, int>, double> weights;
  double classifier = 0;
  for (const PartRow& row : rows) {
    if (row.measure != measure || row.options != last->options) continue;
    if (row.number < 0 || row.number > convolutions ||
        (row.part == "weight" && row.number == convolutions)) {
      throw InputError(
          fmt::format("contributions.csv: {} {} is not in a network of {} "
                      "convolutions; the file is of another one",
                      row.part, row.number, convolutions));
    }
    ++result.known;
    if (row.part == "classifier") classifier = row.value;
    if (row.part == "biases") biases[row.number] = row.value;
    if (row.part == "weight") weights[{row.number, ratio_index(row.channels)}] = row.value;
  }
  if (is_trained) {
    for (auto& [k, value] : biases) value = k == 0 ? 0 : value - classifier;
  }
  interpolate(result.gains.biases, biases);
  const double base = is_trained ? classifier + result.gains.biases.back() : 0;
  for (const auto& [key, value] : weights) {
    const auto& [convolution, ratio] = key;
    if (ratio < 0) continue;
    result.gains.weights[static_cast<size_t>(convolution)][static_cast<size_t>(ratio)] =
        value - base;
  }
  return result;
}

std::vector<PartRow> rows_of(const Contributions& gains, const std::string& measure,
                             const std::string& options, const std::vector<std::string>& names) {
  std::vector<PartRow> rows;
  const PartRow row{.measure = measure, .options = options};
  for (size_t k = 1; k < gains.biases.size(); ++k) {
    rows.push_back(row);
    rows.back().part = "biases";
    rows.back().number = static_cast<int64_t>(k);
    rows.back().value = gains.biases[k];
  }
  for (size_t i = 0; i < gains.weights.size(); ++i) {
    for (size_t r = 0; r < kRatioCount; ++r) {
      rows.push_back(row);
      rows.back().part = "weight";
      rows.back().number = static_cast<int64_t>(i);
      rows.back().channels = kRatios[r];
      rows.back().name = names.at(i);
      rows.back().value = gains.weights[i][r];
    }
  }
  return rows;
}

}  // namespace tinytl::cli
