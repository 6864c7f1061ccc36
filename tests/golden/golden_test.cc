// Whole networks against PyTorch: logits, loss, every gradient, ten training steps.

#include <gtest/gtest.h>

#include <cmath>

#include "engine/onnx/import.h"
#include "tests/golden/fixed_batch.h"
#include "tinytl/train/safetensors.h"

namespace tinytl {
namespace {

struct Golden {
  FixedBatch batch;
  TensorFile file;

  std::vector<double> values(const std::string& name) const {
    const Tensor* tensor = file.find(name);
    TT_ASSERT(tensor != nullptr);
    return {tensor->f32().begin(), tensor->f32().end()};
  }
};

Golden load(const std::string& name) {
  const std::string path = std::string(TINYTL_GOLDEN) + "/" + name;
  Golden golden;
  golden.file = read_safetensors(path + ".safetensors");
  const auto input = golden.file.find("input")->f32();
  const auto labels = golden.file.find("labels")->i32();
  golden.batch.model = import_onnx(path + ".onnx", {.batch = static_cast<int64_t>(labels.size())});
  golden.batch.input.assign(input.begin(), input.end());
  golden.batch.labels.assign(labels.begin(), labels.end());
  golden.batch.loss.label_smoothing = 0.1f;
  return golden;
}

double cosine(const std::vector<float>& a, const std::vector<double>& b) {
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    ab += a[i] * b[i];
    aa += double{a[i]} * double{a[i]};
    bb += b[i] * b[i];
  }
  return ab / std::sqrt(aa * bb);
}

double norm(const std::vector<double>& values) {
  double sum = 0;
  for (const double v : values) sum += v * v;
  return std::sqrt(sum);
}

void expect_gradient(const std::string& name, const std::vector<float>& got,
                     const std::vector<double>& want) {
  SCOPED_TRACE(name);
  ASSERT_EQ(got.size(), want.size());
  constexpr double kZero = 1e-6;  // zero in theory: softmax ignores what all keys share
  if (norm(want) < kZero) {
    EXPECT_LT(norm({got.begin(), got.end()}), kZero);
    return;
  }
  EXPECT_LT(relative_error(got, want), 1e-4);
  EXPECT_GT(cosine(got, want), 0.9999);
}

const char* const kNetworks[] = {"mobilenet_small", "resnet_small", "transformer_small"};

class Torch : public testing::TestWithParam<std::tuple<const char*, const tt_kernels*>> {
 protected:
  const Golden golden_ = load(std::get<0>(GetParam()));
  const tt_kernels& kernels_ = *std::get<1>(GetParam());

  void expect_losses(const std::string& name, Update update, const OptimizerOptions& optimizer,
                     float rate) {
    const std::vector<double> want = golden_.values(name);
    const std::vector<float> got = train_losses(golden_.batch, update, optimizer, rate,
                                                static_cast<int>(want.size()), kernels_);
    for (size_t t = 0; t < want.size(); ++t) {
      EXPECT_NEAR(got[t], want[t], 1e-4 * want[t]) << name << ", step " << t;
    }
  }
};

TEST_P(Torch, HasTheSameLogitsAndLoss) {
  const BatchGradients got = compute_gradients(golden_.batch, Update::kFull, kernels_);
  EXPECT_LT(relative_error(got.prediction, golden_.values("logits")), 1e-5);
  const double want = golden_.values("loss")[0];
  EXPECT_NEAR(got.loss, want, 1e-5 * want);
}

TEST_P(Torch, HasTheSameGradientOfEveryParameter) {
  const BatchGradients got = compute_gradients(golden_.batch, Update::kFull, kernels_);
  const std::string prefix = "grad.";
  size_t compared = 0;
  for (const NamedTensor& want : golden_.file.tensors) {
    if (!want.name.starts_with(prefix)) continue;
    const std::string name = want.name.substr(prefix.size());
    const auto found = got.gradients.find(name);
    ASSERT_NE(found, got.gradients.end()) << "the network has no parameter " << name;
    EXPECT_EQ(golden_.batch.model.find(name)->type, want.tensor->type()) << name;
    expect_gradient(name, found->second, golden_.values(want.name));
    ++compared;
  }
  EXPECT_EQ(compared, got.gradients.size());
}

TEST_P(Torch, BiasGradientsAreThoseOfTheFullUpdate) {
  const BatchGradients full = compute_gradients(golden_.batch, Update::kFull, kernels_);
  const BatchGradients bias = compute_gradients(golden_.batch, Update::kBias, kernels_);
  EXPECT_LT(bias.gradients.size(), full.gradients.size());
  for (const auto& [name, gradient] : bias.gradients) {
    EXPECT_EQ(gradient, full.gradients.at(name)) << name;
  }
}

TEST_P(Torch, TenStepsOfSgdHaveTheSameLosses) {
  const OptimizerOptions sgd{.kind = OptimizerOptions::Kind::kSgd, .momentum = 0.9f};
  expect_losses("sgd.losses", Update::kFull, sgd, 0.05f);
  expect_losses("sgd_bias.losses", Update::kBias, sgd, 0.05f);
}

TEST_P(Torch, TenStepsOfAdamHaveTheSameLosses) {
  expect_losses("adam.losses", Update::kFull, {.kind = OptimizerOptions::Kind::kAdam}, 0.003f);
}

// The portable set, and the best where that is another.
std::vector<const tt_kernels*> kernel_sets() {
  std::vector<const tt_kernels*> sets{&tt_portable_kernels};
  if (tt_best_kernels() != &tt_portable_kernels) sets.push_back(tt_best_kernels());
  return sets;
}

INSTANTIATE_TEST_SUITE_P(
    Golden, Torch, testing::Combine(testing::ValuesIn(kNetworks), testing::ValuesIn(kernel_sets())),
    [](const auto& test) {
      const bool is_portable = std::get<1>(test.param) == &tt_portable_kernels;
      return std::string(std::get<0>(test.param)) + (is_portable ? "_portable" : "_best");
    });

}  // namespace
}  // namespace tinytl
