// What training each part of a network brings, and what it costs: what the search adds up.
#pragma once

#include <cstdint>
#include <vector>

#include "sparse_update/scheme_file.h"

namespace tinytl {

// Parts of a weight's input channels that may train (Lin et al., NeurIPS 2022), ascending.
inline constexpr double kRatios[] = {0.125, 0.25, 0.5, 1};
inline constexpr size_t kRatioCount = std::size(kRatios);

// One number for each part that a scheme may train. Convolutions are numbered as in layers.h.
template <typename Number>
struct ByPart {
  std::vector<Number> biases;                // [k]: of the biases of the last k convolutions
  std::vector<std::vector<Number>> weights;  // [convolution][ratio]: of that part of its weight

  int64_t convolutions() const { return static_cast<int64_t>(weights.size()); }
};
// All zero.
template <typename Number>
ByPart<Number> by_part(int64_t convolutions) {
  const auto n = static_cast<size_t>(convolutions);
  return {std::vector<Number>(n + 1), std::vector(n, std::vector<Number>(kRatioCount))};
}

// Accuracy, or an estimate, gained by biases over the classifier alone, and by a weight over that.
using Contributions = ByPart<double>;
// In any unit. They add up.
using Costs = ByPart<int64_t>;

// A scheme by number: the biases of the last convolutions, and parts of weights among these.
struct Choice {
  int64_t biases = 0;
  std::vector<int> ratio = {};  // by convolution: an index into kRatios, or -1 where it is frozen

  bool operator==(const Choice&) const = default;
};

// The sum of what belongs to a choice.
template <typename Number>
Number sum_of(const ByPart<Number>& parts, const Choice& choice) {
  Number sum = parts.biases[static_cast<size_t>(choice.biases)];
  for (size_t i = 0; i < choice.ratio.size(); ++i) {
    if (choice.ratio[i] >= 0) sum += parts.weights[i][static_cast<size_t>(choice.ratio[i])];
  }
  return sum;
}

// The same as a file.
SchemeFile scheme_of(const Choice& choice);

// Spearman's rank correlation of two lists of equal length: the correlation of their ranks, equal
// numbers sharing one. 0 where either is constant. O(n log n).
double rank_correlation(const std::vector<double>& a, const std::vector<double>& b);

}  // namespace tinytl
