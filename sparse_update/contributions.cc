#include "sparse_update/contributions.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace tinytl {
namespace {

std::vector<double> ranks_of(const std::vector<double>& values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::sort(order, {}, [&](size_t i) { return values[i]; });
  std::vector<double> ranks(values.size());
  for (size_t first = 0; first < order.size();) {
    size_t last = first;
    while (last + 1 < order.size() && values[order[last + 1]] == values[order[first]]) ++last;
    for (size_t i = first; i <= last; ++i) ranks[order[i]] = double(first + last) / 2;
    first = last + 1;
  }
  return ranks;
}

}  // namespace

SchemeFile scheme_of(const Choice& choice) {
  using Kind = SchemeEntry::Kind;
  SchemeFile scheme;
  if (choice.biases > 0) {
    scheme.train.push_back({.kind = Kind::kLastBiases, .number = choice.biases});
  }
  for (size_t i = 0; i < choice.ratio.size(); ++i) {
    if (choice.ratio[i] < 0) continue;
    scheme.train.push_back({.kind = Kind::kConvolution,
                            .number = static_cast<int64_t>(i),
                            .channels = kRatios[choice.ratio[i]]});
  }
  return scheme;
}

double rank_correlation(const std::vector<double>& a, const std::vector<double>& b) {
  const std::vector<double> x = ranks_of(a), y = ranks_of(b);
  const double mean = (double(x.size()) - 1) / 2;
  double xy = 0, xx = 0, yy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    xy += (x[i] - mean) * (y[i] - mean);
    xx += (x[i] - mean) * (x[i] - mean);
    yy += (y[i] - mean) * (y[i] - mean);
  }
  return xx == 0 || yy == 0 ? 0 : xy / std::sqrt(xx * yy);
}

}  // namespace tinytl
