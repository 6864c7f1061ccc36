// Tables on disk that survive a power cut: comma-separated, one record a finished piece of work.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace tinytl::cli {

using CsvRecord = std::vector<std::string>;

// One line of RFC 4180 with its end: fields with commas, quotes or line breaks are quoted.
std::string csv_line(const CsvRecord& record);

struct CsvContent {
  std::vector<CsvRecord> records;
  size_t complete_bytes = 0;  // of the text, up to the end of the last complete record
};

// Reads whole records. What follows the last line end outside quotes was cut off by something
// (a power cut, a full disk) and is left out. Empty lines are no records.
CsvContent parse_csv(std::string_view text);

// A table with a fixed heading that only grows.
class CsvLog {
 public:
  // Reads `file` where there is one; its columns may be in another order, and missing ones are
  // empty. Touches nothing. Throws InputError where it cannot be read, has no heading that this
  // table knows, or a record has not as many fields as the heading.
  CsvLog(std::filesystem::path file, CsvRecord columns);

  // In the order of `columns`, the oldest first.
  const std::vector<CsvRecord>& records() const { return records_; }

  // Adds one record to the file, in one write that is on the disk when this returns. The first
  // call makes the file, removes a record that was cut off, and brings the heading up to date.
  void append(const CsvRecord& record);

 private:
  void prepare_file() const;

  std::filesystem::path file_;
  CsvRecord columns_;
  std::vector<CsvRecord> records_;
  bool is_prepared_ = false;
};

}  // namespace tinytl::cli
