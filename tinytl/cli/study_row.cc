#include "tinytl/cli/study_row.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <variant>

namespace tinytl::cli {
namespace {

using Member = std::variant<std::string StudyRow::*, size_t StudyRow::*, double StudyRow::*,
                            std::vector<double> StudyRow::*, std::vector<size_t> StudyRow::*>;
struct Column {
  const char* name;
  Member member;
};

const Column kColumns[] = {
    {"model", &StudyRow::model},
    {"data", &StudyRow::data},
    {"method", &StudyRow::method},
    {"variant", &StudyRow::variant},
    {"seed", &StudyRow::seed},
    {"options", &StudyRow::options},
    {"epochs", &StudyRow::epochs},
    {"batch_size", &StudyRow::batch_size},
    {"last_val_top1", &StudyRow::last_val_top1},
    {"best_val_top1", &StudyRow::best_val_top1},
    {"training_memory_bytes", &StudyRow::training_memory_bytes},
    {"arena_bytes", &StudyRow::arena_bytes},
    {"trainable_bytes", &StudyRow::trainable_bytes},
    {"optimizer_bytes", &StudyRow::optimizer_bytes},
    {"frozen_bytes", &StudyRow::frozen_bytes},
    {"measured_peak_rss_bytes", &StudyRow::measured_peak_rss_bytes},
    {"trainable_scalars", &StudyRow::trainable_scalars},
    {"step_seconds_median", &StudyRow::step_seconds_median},
    {"seconds", &StudyRow::seconds},
    {"loss", &StudyRow::loss},
    {"val_top1", &StudyRow::val_top1},
    {"backward_begins", &StudyRow::backward_begins},
    {"alive_bytes", &StudyRow::alive_bytes},
};

std::string text_of(const std::string& value) { return value; }
std::string text_of(size_t value) { return fmt::format("{}", value); }
std::string text_of(double value) { return fmt::format("{}", value); }  // reads back to the same
template <typename T>
std::string text_of(const std::vector<T>& values) {
  std::string text;
  for (const T value : values) text += (text.empty() ? "" : " ") + text_of(value);
  return text;
}

void read(const std::string& text, std::string& value, const char*) { value = text; }

template <typename T>
void read(const std::string& text, T& value, const char* column) {
  if (text.empty()) return;  // a column that an older table did not have
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw InputError(fmt::format("column {}: \"{}\" is no number of its kind; remove that record",
                                 column, text));
  }
}

template <typename T>
void read(const std::string& text, std::vector<T>& values, const char* column) {
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(' ', at), text.size());
    read(text.substr(at, end - at), values.emplace_back(), column);
    at = end + 1;
  }
}

}  // namespace

CsvRecord study_columns() {
  CsvRecord names;
  for (const Column& column : kColumns) names.emplace_back(column.name);
  return names;
}

CsvRecord to_record(const StudyRow& row) {
  CsvRecord record;
  for (const Column& column : kColumns) {
    record.push_back(std::visit([&](auto member) { return text_of(row.*member); }, column.member));
  }
  return record;
}

StudyRow from_record(const CsvRecord& record) {
  StudyRow row;
  for (size_t i = 0; i < std::size(kColumns); ++i) {
    std::visit([&](auto member) { read(record.at(i), row.*member, kColumns[i].name); },
               kColumns[i].member);
  }
  return row;
}

std::string key_of(const StudyRow& row) {
  // As a record, so that no two lists of names give the same text.
  return csv_line({row.model, row.data, row.method, row.variant, text_of(row.seed), row.options});
}

void read_report(const Json& report, StudyRow& row) {
  row.epochs = report.at("epochs").size();
  row.batch_size = report.at("batch_size");
  row.loss.clear();
  row.val_top1.clear();
  for (const Json& epoch : report.at("epochs")) {
    if (epoch.at("val_top1").is_null()) {
      throw InputError("the run was not validated; the data set needs val images");
    }
    row.loss.push_back(epoch.at("loss").is_number() ? epoch.at("loss").get<double>() : NAN);
    row.val_top1.push_back(epoch.at("val_top1"));
  }
  if (row.val_top1.empty()) throw InputError("the run ended before its first epoch");
  row.last_val_top1 = row.val_top1.back();
  row.best_val_top1 = *std::ranges::max_element(row.val_top1);
  row.training_memory_bytes = report.at("training_memory_bytes");
  row.arena_bytes = report.at("arena_bytes");
  row.trainable_bytes = report.at("trainable_bytes");
  row.optimizer_bytes = report.at("optimizer_bytes");
  row.frozen_bytes = report.at("frozen_bytes");
  row.measured_peak_rss_bytes = report.at("measured_peak_rss_bytes");
  row.trainable_scalars = report.at("trainable_scalars");
  row.step_seconds_median = report.at("step_seconds_median");
  row.alive_bytes = report.at("alive_bytes").get<std::vector<size_t>>();
  row.backward_begins = report.at("backward_begins");
}

StudyTable::StudyTable(const std::filesystem::path& file) : log_(file, study_columns()) {
  for (const CsvRecord& record : log_.records()) {
    try {
      rows_.push_back(from_record(record));
    } catch (const InputError& error) {
      throw InputError(file.string() + ": " + error.what());
    }
    keys_.insert(key_of(rows_.back()));
  }
}

bool StudyTable::has(const StudyRow& key) const { return keys_.contains(key_of(key)); }

void StudyTable::append(const StudyRow& row) {
  log_.append(to_record(row));
  rows_.push_back(row);
  keys_.insert(key_of(row));
}

}  // namespace tinytl::cli
