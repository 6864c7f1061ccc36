// The rows of a study as what is drawn: runs that differ only by seed, together.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "tinytl/cli/study_row.h"

namespace tinytl::cli {

// Runs of one model, data set, method, variant and options.
struct StudyGroup {
  std::string model, data, method;
  std::string variant;  // with the options by which it differs from its like, where it does
  std::vector<StudyRow> rows;
  // Of the last epoch's val top-1 over the seeds; the deviation is the sample's, 0 of one run.
  double mean = 0, deviation = 0, low = 0, high = 0;
  // Planned bytes are those of the run with most; what was measured, the median of the runs.
  StudyRow largest;
  size_t measured_bytes = 0;
  double step_seconds = 0;

  size_t memory() const { return largest.training_memory_bytes; }
  std::string name() const { return variant.empty() ? method : method + ", " + variant; }
};

// Models and data sets in the order of their first rows, methods in that of study_methods(), the
// plain grid before its variants.
struct Study {
  std::vector<StudyGroup> groups;
  std::vector<std::string> models, data, methods;

  std::vector<const StudyGroup*> of(const std::string& model, const std::string& data_set) const;
  std::vector<const StudyGroup*> of_data(const std::string& data_set) const;
};
Study study_of(std::span<const StudyRow> rows);

// Places in `groups` of those that no other one beats: none has at most that memory and a higher
// mean, or less memory and that mean. By rising memory; of equals the first. O(n log n).
std::vector<size_t> pareto_front(std::span<const StudyGroup* const> groups);

// A curve over the epochs: the mean of the runs, and the band that they span. As long as the
// longest; each epoch of the runs that have it, and that are finite there.
struct StudyCurve {
  std::vector<double> mean, low, high;
};
StudyCurve curve_of(const StudyGroup& group, std::vector<double> StudyRow::*values);

// "mbv2-w0.35_imagenet128" of "mbv2-w0.35_imagenet128_fp32".
std::string model_label(const std::string& model);

}  // namespace tinytl::cli
