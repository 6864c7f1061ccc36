// One finished training run of a study, as a row of its table.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "tinytl/cli/report.h"
#include "tinytl/cli/study_csv.h"

namespace tinytl::cli {

struct StudyRow {
  // What was asked for: the key of a run.
  std::string model, data;  // names of the file and of the folder
  std::string method;       // of --update
  std::string variant;      // empty: the plain grid
  size_t seed = 0;
  std::string options;  // everything else that tinytl-train was given

  size_t epochs = 0, batch_size = 0;
  double last_val_top1 = 0, best_val_top1 = 0;  // parts of one; nothing is selected on val
  std::vector<double> loss, val_top1;           // by epoch
  // Planned bytes, and what the process really grew by (tinytl/train/process_memory.h).
  size_t training_memory_bytes = 0, arena_bytes = 0;
  size_t trainable_bytes = 0, optimizer_bytes = 0, frozen_bytes = 0;
  size_t measured_peak_rss_bytes = 0;
  double step_seconds_median = 0, seconds = 0;  // of one step; of the whole run
  size_t trainable_scalars = 0;
  // Bytes alive over the nodes of one step (report.h), and where its backward pass begins.
  std::vector<size_t> alive_bytes;
  size_t backward_begins = 0;

  bool operator==(const StudyRow&) const = default;
};

// The heading of study.csv.
CsvRecord study_columns();

CsvRecord to_record(const StudyRow& row);

// Throws InputError that names the column where a number cannot be read.
StudyRow from_record(const CsvRecord& record);

// Two runs with equal keys are the same run.
std::string key_of(const StudyRow& row);

// Fills in what a run measured. Throws InputError where the report has no validation.
void read_report(const Json& report, StudyRow& row);

// study.csv in memory and on disk.
class StudyTable {
 public:
  explicit StudyTable(const std::filesystem::path& file);

  const std::vector<StudyRow>& rows() const { return rows_; }
  bool has(const StudyRow& key) const;
  void append(const StudyRow& row);

 private:
  CsvLog log_;
  std::vector<StudyRow> rows_;
  std::set<std::string> keys_;
};

}  // namespace tinytl::cli
