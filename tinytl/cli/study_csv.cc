#include "tinytl/cli/study_csv.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "engine/graph/error.h"
#include "engine/graph/replace_file.h"

namespace tinytl::cli {
namespace {

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    quoted += c;
    if (c == '"') quoted += '"';
  }
  return quoted + '"';
}

std::string text_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  if (!in) throw InputError(file.string() + ": cannot be read; remove it to begin anew");
  return std::move(text).str();
}

// Field of a record -> field of the table; npos: nowhere.
std::vector<size_t> places_of(const CsvRecord& heading, const CsvRecord& columns) {
  std::vector<size_t> places;
  for (const std::string& name : heading) {
    const auto found = std::ranges::find(columns, name);
    places.push_back(found == columns.end() ? std::string::npos
                                            : static_cast<size_t>(found - columns.begin()));
  }
  return places;
}

}  // namespace

std::string csv_line(const CsvRecord& record) {
  std::string line;
  for (size_t i = 0; i < record.size(); ++i) line += (i > 0 ? "," : "") + csv_field(record[i]);
  return line + "\n";
}

CsvContent parse_csv(std::string_view text) {
  CsvContent content;
  CsvRecord record(1);
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      const bool is_pair = c == '"' && i + 1 < text.size() && text[i + 1] == '"';
      if (c != '"' || is_pair) record.back() += c;
      if (is_pair) ++i;
      if (c == '"' && !is_pair) quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == ',') {
      record.emplace_back();
    } else if (c == '\n') {
      const bool is_empty = record.size() == 1 && record[0].empty();
      if (!is_empty) content.records.push_back(std::move(record));
      record.assign(1, "");
      content.complete_bytes = i + 1;
    } else if (c != '\r') {
      record.back() += c;
    }
  }
  return content;
}

CsvLog::CsvLog(std::filesystem::path file, CsvRecord columns)
    : file_(std::move(file)), columns_(std::move(columns)) {
  if (!std::filesystem::exists(file_)) return;
  const std::vector<CsvRecord> all = parse_csv(text_of(file_)).records;
  if (all.empty()) return;
  const CsvRecord& heading = all.front();
  const std::vector<size_t> places = places_of(heading, columns_);
  if (std::ranges::count(places, 0u) != 1) {
    throw InputError(
        fmt::format("{}: has no column \"{}\", so it is no table of this command; "
                    "move it away, or choose another folder",
                    file_.string(), columns_[0]));
  }
  for (size_t r = 1; r < all.size(); ++r) {
    if (all[r].size() != heading.size()) {
      throw InputError(fmt::format("{}: record {} has {} fields instead of {}; remove it",
                                   file_.string(), r + 1, all[r].size(), heading.size()));
    }
    CsvRecord record(columns_.size());
    for (size_t i = 0; i < places.size(); ++i) {
      if (places[i] != std::string::npos) record[places[i]] = all[r][i];
    }
    records_.push_back(std::move(record));
  }
}

void CsvLog::prepare_file() const {
  const std::string old = std::filesystem::exists(file_) ? text_of(file_) : "";
  const CsvContent content = parse_csv(old);
  if (!content.records.empty() && content.records.front() == columns_ &&
      content.complete_bytes == old.size()) {
    return;
  }
  std::string text = csv_line(columns_);
  for (const CsvRecord& record : records_) text += csv_line(record);
  replace_file(file_, text);
}

void CsvLog::append(const CsvRecord& record) {
  if (!is_prepared_) prepare_file();
  is_prepared_ = true;
  const std::string line = csv_line(record);
  const int file = open(file_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  const bool is_written =
      file >= 0 && write(file, line.data(), line.size()) == std::ssize(line) && fsync(file) == 0;
  const int reason = errno;
  if (file >= 0) close(file);
  if (!is_written) {
    throw InputError(fmt::format("{}: cannot be written ({}); mend that and run the same command",
                                 file_.string(), std::strerror(reason)));
  }
  records_.push_back(record);
}

}  // namespace tinytl::cli
