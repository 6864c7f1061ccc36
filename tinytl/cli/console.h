// What the commands print: numbers, tables, the progress of a run.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "tinytl/cli/setup.h"

namespace tinytl::cli {

std::string count_text(int64_t n);          // "357,448"
std::string bytes_text(size_t bytes);       // "1.43 MB", powers of ten
std::string percent_text(double fraction);  // "90.6 %"
std::string duration_text(double seconds);  // "1:05"

// Columns as wide as their widest entry, the first left-aligned, the others right-aligned.
void print_table(const std::vector<std::vector<std::string>>& rows);

// "  name          value", one aligned line of a block.
void print_line(const std::string& name, const std::string& value);

// "16 modules, kernels 5 x 6, 3 x 7, 1 x 3", or "none".
std::string lite_text(const std::vector<LiteModule>& modules);

// What each lever saved and cost; nothing without levers.
void print_levers(const Setup& setup);

void print_memory(const MemoryReport& memory, const Program& step);

// One line that rewrites itself on a terminal; one line an epoch elsewhere.
class ProgressBar {
 public:
  ProgressBar();
  void show(const Progress& progress);
  void finish_epoch(int64_t epoch, int64_t epochs, const EpochResult& result, bool best,
                    bool has_classes, bool has_val);

 private:
  bool terminal_;
  std::chrono::steady_clock::time_point start_, last_;
};

}  // namespace tinytl::cli
