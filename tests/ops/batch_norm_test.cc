// Batch norms against their definition in double: values, running statistics, inference.

#include <cmath>

#include "tests/ops/forward_support.h"

namespace tinytl {
namespace {

using testing::FloatNear;
using testing::HasSubstr;
using testing::Pointwise;

enum { kX, kScale, kBias, kMean, kVariance };

struct Moments {
  std::vector<double> mean, variance;  // biased
};

Moments moments_of(const Floats& x, size_t channels) {
  const size_t rows = x.size() / channels;
  Moments m{std::vector<double>(channels), std::vector<double>(channels)};
  for (size_t i = 0; i < x.size(); ++i) m.mean[i % channels] += x[i] / double(rows);
  for (size_t i = 0; i < x.size(); ++i) {
    m.variance[i % channels] += std::pow(x[i] - m.mean[i % channels], 2) / double(rows);
  }
  return m;
}

// y = (x - mean) / sqrt(variance + epsilon) scale + bias
Floats normalised(const Operands& t, const Moments& m, double epsilon) {
  Floats y;
  for (size_t i = 0; i < t.f32[kX].size(); ++i) {
    const size_t c = i % m.mean.size();
    const double n = (t.f32[kX][i] - m.mean[c]) / std::sqrt(m.variance[c] + epsilon);
    y.push_back(static_cast<float>(n * t.f32[kScale][c] + t.f32[kBias][c]));
  }
  return y;
}

Floats copy(std::span<const float> values) { return {values.begin(), values.end()}; }

class BatchNorm : public testing::TestWithParam<const char*> {};

TEST_P(BatchNorm, FollowsTheBatchAndMovesItsStatistics) {
  const OpCase& c = op_case(GetParam());
  const auto channels = static_cast<size_t>(c.inputs[kX].shape.back());
  for (const tt_kernels* kernels : {&tt_portable_kernels, tt_best_kernels()}) {
    OpGraph g = forward_graph(c);
    g.graph.outputs = {g.output};
    Executor executor(g.graph, {.kernels = kernels, .arena = nullptr});
    std::mt19937 rng(3);
    Operands operands = random_operands(c, rng);
    std::vector<double> mean(operands.f32[kMean].begin(), operands.f32[kMean].end());
    std::vector<double> variance(operands.f32[kVariance].begin(), operands.f32[kVariance].end());
    write_operands(executor, g, operands);
    for (int step = 0; step < 4; ++step) {
      operands.f32[kX] = random_operands(c, rng).f32[kX];
      std::ranges::copy(operands.f32[kX], executor.f32(g.inputs[kX]).begin());
      executor.step();
      const Moments m = moments_of(operands.f32[kX], channels);
      EXPECT_THAT(copy(executor.f32(g.output)),
                  Pointwise(FloatNear(2e-5f), normalised(operands, m, 1e-2f)));
      const double rows = double(operands.f32[kX].size()) / double(channels);
      for (size_t i = 0; i < channels; ++i) {
        mean[i] = 0.9 * mean[i] + 0.1 * m.mean[i];
        variance[i] = 0.9 * variance[i] + 0.1 * m.variance[i] * rows / (rows - 1);
        EXPECT_NEAR(executor.f32(g.inputs[kMean])[i], mean[i], 1e-5);
        EXPECT_NEAR(executor.f32(g.inputs[kVariance])[i], variance[i], 1e-5);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, BatchNorm,
                         testing::Values("BatchNorm", "BatchNormOfOneSample", "BatchNormWide",
                                         "BatchNormFlat"),
                         [](const auto& test) { return test.param; });

TEST(BatchNormInference, UsesTheRunningStatistics) {
  OpCase c = op_case("BatchNorm");
  c.op = &kBatchNormInference;
  std::mt19937 rng(3);
  Operands operands = random_operands(c, rng);
  for (float& v : operands.f32[kVariance]) v = std::abs(v);
  const Floats &mean = operands.f32[kMean], &variance = operands.f32[kVariance];
  const Moments m{{mean.begin(), mean.end()}, {variance.begin(), variance.end()}};
  for (const tt_kernels* kernels : {&tt_portable_kernels, tt_best_kernels()}) {
    EXPECT_THAT(run_forward(c, operands, *kernels),
                Pointwise(FloatNear(2e-5f), normalised(operands, m, 1e-2f)));
  }
}

TEST(BatchNormShape, OneNumberAChannelHasNoVariance) {
  OpCase c = op_case("BatchNormFlat");
  c.inputs[kX].shape[0] = 1;
  try {
    forward_graph(c);
    FAIL() << "was accepted";
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("a batch of one number a channel has no variance"));
  }
}

}  // namespace
}  // namespace tinytl
