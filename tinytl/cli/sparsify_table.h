// contributions.csv: what parts of a network were measured or estimated to bring.
#pragma once

#include <optional>
#include <set>

#include "sparse_update/contributions.h"
#include "tinytl/cli/study_csv.h"

namespace tinytl::cli {

struct PartRow {
  // The key: what was trained and how.
  std::string measure = {};  // accuracy, likelihood, fisher or gradient
  std::string part = {};  // classifier, biases (the last `number`) or weight (of that convolution)
  int64_t number = 0;
  double channels = 0;       // part of the input channels of a weight
  std::string options = {};  // of the run, or of the estimate

  std::string name = {};  // of the weight
  // On held-out samples the top-1, or the mean logarithm of what the label is given; or the
  // estimate of the gain itself.
  double value = 0;
  double seconds = 0;
};

// The file in memory and on disk: a row is there when its work is done.
class PartTable {
 public:
  explicit PartTable(const std::filesystem::path& file);

  const std::vector<PartRow>& rows() const { return rows_; }
  bool has(const PartRow& key) const;
  void append(const PartRow& row);

 private:
  CsvLog log_;
  std::vector<PartRow> rows_;
  std::set<std::string> keys_;
};

struct MeasuredParts {
  Contributions gains;
  size_t known = 0, all = 0;  // parts
};

// What the rows of one measure, those with the options of the last of them, say of a network with
// so many convolutions. What training measured becomes gains: of biases over the classifier, of
// weights over all biases. Between numbers of biases that are known gains are interpolated; a
// weight that is not known brings nothing. Empty where there are no such rows. Throws InputError
// where a row is of another network.
std::optional<MeasuredParts> measured_parts(const std::vector<PartRow>& rows,
                                            const std::string& measure, int64_t convolutions);

// A row for every part of `gains`.
std::vector<PartRow> rows_of(const Contributions& gains, const std::string& measure,
                             const std::string& options, const std::vector<std::string>& names);

}  // namespace tinytl::cli
