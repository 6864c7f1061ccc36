// Every lever that saves memory leaves the numbers of training alone: whole networks, each lever by
// itself and all together, against a plan without any.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "engine/onnx/import.h"
#include "engine/runtime/executor.h"
#include "engine/schedule/recompute.h"
#include "tests/graph/support.h"
#include "tests/runtime/interpreter.h"
#include "tinytl/methods/classifier.h"
#include "tinytl/methods/update.h"
#include "tinytl/train/fit_budget.h"

namespace tinytl {
namespace {

constexpr int64_t kBatch = 4;
constexpr ScheduleOptions kPlain{.reorder = false, .share = false, .placement_effort = 0};

// A network file, and what is trained in it.
struct Case {
  std::string file;
  Update update = Update::kBias;
  // Tanh instead of ReLU6: where millions of numbers are clipped, one of them is on the other side
  // after a sum in another order, and its gradient all or nothing.
  bool smooth = false;

  Graph import(int64_t batch) const {
    Graph network = keep_classifier(import_onnx(file, {.batch = batch}), "").graph;
    for (size_t n = 0; smooth && n < network.nodes().size(); ++n) {
      Node& node = network.node(NodeId(n));
      if (node.op != &kClip) continue;
      node.op = &kTanh;
      node.attributes = {};
    }
    return network;
  }
  bool is_autoencoder() const { return file.find("autoencoder") != std::string::npos; }
  // One update a batch, whose state is the mean gradient.
  TrainingGraph training(const Graph& network, int64_t passes = 1) const {
    const FittedClassifier kept = keep_classifier(network, "");
    const Loss loss{.kind = is_autoencoder() ? Loss::Kind::kMeanSquaredError
                                             : Loss::Kind::kSoftmaxCrossEntropy};
    return append_updates(
        differentiate(kept.graph, loss, make_scheme(kept.graph, update, kept.parameters)),
        {.kind = OptimizerOptions::Kind::kSgd, .accumulation_steps = static_cast<int>(passes)});
  }
};

std::vector<Case> golden_cases() {
  std::vector<Case> cases;
  for (const char* name : {"mobilenet_small", "resnet_small", "transformer_small"}) {
    for (const Update update : {Update::kBias, Update::kFull}) {
      cases.push_back(
          {.file = std::string(TINYTL_GOLDEN) + "/" + name + ".onnx", .update = update});
    }
  }
  return cases;
}

std::vector<Case> real_cases() {
  const char* data = std::getenv("TINYTL_DATA");
  if (data == nullptr) return {};
  std::vector<Case> cases;
  for (const char* name :
       {"mbv2-w0.35_imagenet128", "mcunet-5fps_imagenet128", "proxyless-w0.25_imagenet112",
        "mlperf_vww96_mobilenetv1_0.25", "mlperf_kws_dscnn", "mlperf_ic_resnet8_cifar10",
        "mlperf_ad_toycar_autoencoder"}) {
    for (const Update update : {Update::kBias, Update::kFull}) {
      cases.push_back(
          {.file = std::string(data) + "/models/" + name + "_fp32.onnx", .update = update});
    }
  }
#ifdef __SANITIZE_ADDRESS__  // eight times slower
  std::erase_if(cases, [](const Case& c) { return c.update == Update::kFull; });
#endif
  return cases;
}

// Loss, then state (gradients) and parameters after one update, by name.
using Numbers = std::map<std::string, std::vector<float>>;

Numbers train(TrainingGraph training, const tt_kernels& kernels, ScheduleOptions options = {}) {
  const int passes = training.accumulation_steps;
  options.updates_last = passes > 1;
  options.placement_effort = 0;
  Executor executor(compile(with_own_tensors(training.graph), kernels, options),
                    {.kernels = &kernels});
  const Graph& graph = executor.graph();
  std::mt19937 rng(7);
  std::vector<float> losses{0};
  for (int pass = 0; pass < passes; ++pass) {
    for (float& v : executor.f32(graph.inputs.at(0))) {
      v = static_cast<float>(rng() % 2001) / 1000.0f - 1.0f;
    }
    if (graph.value(training.target).type.dtype == DType::kI32) {
      const auto classes = static_cast<uint32_t>(graph.value(training.prediction).type.dim(1));
      const auto labels = executor.i32(training.target);
      for (size_t i = 0; i < labels.size(); ++i) {
        labels[i] = static_cast<int32_t>((7 * (labels.size() * size_t(pass) + i) + 3) % classes);
      }
    } else {
      std::ranges::copy(executor.f32(graph.inputs.at(0)), executor.f32(training.target).begin());
    }
    for (const auto& [group, rate] : training.learning_rate) executor.f32(rate)[0] = 0.01f;
    executor.step(/*apply_updates=*/pass + 1 == passes);
    losses[0] += executor.f32(training.loss)[0] / static_cast<float>(passes);
  }
  Numbers numbers{{"loss", losses}};
  for (const Value& value : graph.values()) {
    if (value.role != Role::kState && !is_parameter(value.role)) continue;
    if (value.name.ends_with(".sum")) continue;  // of gradients, in parts only
    const auto data = value.data->f32();
    numbers[value.name] = {data.begin(), data.end()};
  }
  return numbers;
}

float largest(const std::vector<float>& values) {
  float result = 0;
  for (const float v : values) result = std::max(result, std::abs(v));
  return result;
}

float largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  float result = 0;
  for (size_t i = 0; i < a.size(); ++i) result = std::max(result, std::abs(a[i] - b[i]));
  return result;
}

// Sums in another order: apart by a part of the largest entry of each tensor. What is zero but for
// rounding (biases of keys: a softmax takes no notice of them) is measured by the largest of all
// gradients.
void expect_near(const Numbers& got, const Numbers& want, float tolerance) {
  float gradient = 0;
  for (const auto& [name, values] : want) {
    if (name.ends_with(".velocity")) gradient = std::max(gradient, largest(values));
  }
  for (const auto& [name, values] : want) {
    ASSERT_EQ(got.count(name), 1u) << name;
    ASSERT_EQ(got.at(name).size(), values.size()) << name;
    const float scale = std::max(largest(values), 1e-2f * gradient);
    EXPECT_LE(largest_difference(got.at(name), values), tolerance * scale) << name;
  }
}

// Of the regions that share no node with one before: each in so many pieces at most.
std::vector<Tiling> all_tilings(const Graph& network, int64_t pieces) {
  std::vector<Tiling> tilings;
  std::vector<bool> taken(network.nodes().size(), false);
  for (const Region& region : find_regions(network)) {
    const auto is_taken = [&](NodeId id) { return taken[index(id)]; };
    if (std::ranges::any_of(region.nodes, is_taken)) continue;
    for (const NodeId id : region.nodes) taken[index(id)] = true;
    tilings.push_back({region, std::min(pieces, region.extent)});
  }
  return tilings;
}

TrainingGraph recomputed(TrainingGraph training, const std::vector<ValueId>& values) {
  apply_recomputation(training, values);
  return training;
}

std::vector<ValueId> random_subset(const std::vector<ValueId>& ids, std::mt19937& rng) {
  std::vector<ValueId> subset;
  for (const ValueId id : ids) {
    if (rng() % 2 == 0) subset.push_back(id);
  }
  return subset;
}

// Levers that keep the order of additions: the same bits.
void expect_same_bits(const Case& c, const Numbers& want, const tt_kernels& kernels, int subsets) {
  const TrainingGraph training = c.training(c.import(kBatch));
  for (const bool reorder : {false, true}) {
    for (const bool share : {false, true}) {
      SCOPED_TRACE(testing::Message() << "reorder " << reorder << ", share " << share);
      EXPECT_TRUE(train(training, kernels, {.reorder = reorder, .share = share}) == want);
    }
  }
  const std::vector<ValueId> saved = saved_values(training.graph);
  EXPECT_TRUE(train(recomputed(training, saved), kernels) == want) << "all values again";
  std::mt19937 rng(1);
  for (int i = 0; i < subsets; ++i) {
    const std::vector<ValueId> subset = random_subset(saved, rng);
    EXPECT_TRUE(train(recomputed(training, subset), kernels) == want) << "subset " << i;
  }
}

// Those of sums in another order.
void expect_near_numbers(const Case& c, const tt_kernels& kernels, float tolerance,
                         bool each_region) {
  const Graph network = c.import(kBatch);
  const Numbers want = train(c.training(network), kernels, kPlain);
  for (const int64_t m : {1, 2}) {
    expect_near(train(c.training(c.import(m), kBatch / m), kernels), want, tolerance);
  }
  std::vector<std::vector<Tiling>> choices{all_tilings(network, 2), all_tilings(network, 7)};
  if (each_region) {
    for (const Region& region : find_regions(network)) {
      choices.push_back({{region, 2}});
      choices.push_back({{region, region.extent}});
    }
  }
  for (const std::vector<Tiling>& tilings : choices) {
    if (tilings.empty()) continue;
    expect_near(train(c.training(tile(network, tilings)), kernels), want, tolerance);
  }
  const Graph small = c.import(1);
  TrainingGraph all = c.training(tile(small, all_tilings(small, 4)), kBatch);
  all = recomputed(std::move(all), saved_values(all.graph));
  expect_near(train(std::move(all), kernels), want, tolerance);
}

TEST(Levers, KeepTheNumbersOfSmallNetworks) {
  for (const Case& c : golden_cases()) {
    for (const tt_kernels* kernels : {&tt_portable_kernels, tt_best_kernels()}) {
      SCOPED_TRACE(c.file + " " + std::string(name_of(c.update)) + " " + kernels->name);
      const Numbers want = train(c.training(c.import(kBatch)), *kernels, kPlain);
      expect_same_bits(c, want, *kernels, /*subsets=*/4);
      expect_near_numbers(c, *kernels, 1e-6f, /*each_region=*/true);
    }
  }
}

TEST(Levers, KeepTheNumbersOfPretrainedNetworks) {
  if (real_cases().empty()) GTEST_SKIP() << "TINYTL_DATA is not set";
  for (const Case& c : real_cases()) {
    SCOPED_TRACE(c.file + " " + std::string(name_of(c.update)));
    const tt_kernels& kernels = *tt_best_kernels();
    const Numbers want = train(c.training(c.import(kBatch)), kernels, kPlain);
    expect_same_bits(c, want, kernels, /*subsets=*/1);
    // A gradient of the first layers is a sum over 4 images of 4096 positions whose terms cancel,
    // behind fifty layers that round: sqrt(16384) * 2^-24 = 7.6e-6 of a term. Found: 7.6e-6.
    expect_near_numbers({.file = c.file, .update = c.update, .smooth = true}, kernels, 1e-5f,
                        /*each_region=*/false);
  }
}

// Outputs of two passes, then parameters and state.
std::vector<Bytes> interpreted(const Graph& graph, const tt_kernels& kernels, Memory memory,
                               bool updates_last) {
  Graph own = with_own_tensors(graph);
  for (size_t v = 0; v < own.values().size(); ++v) {
    Value& value = own.value(ValueId(v));
    if (value.role == Role::kState) value.data = std::make_shared<Tensor>(value.type);
  }
  const Program program = compile(
      std::move(own), kernels,
      {.updates_last = updates_last, .share = memory == Memory::kPoisoned, .placement_effort = 0});
  std::vector<Bytes> trace;
  for (uint32_t pass = 0; pass < 2; ++pass) {
    const Inputs inputs = random_inputs(program.graph, /*classes=*/2, pass);
    for (Bytes& output : interpret(program, kernels, memory, inputs)) {
      trace.push_back(std::move(output));
    }
  }
  for (Bytes& bytes : persistent_values(program.graph)) trace.push_back(std::move(bytes));
  return trace;
}

// Pieces, recomputation and accumulation at once, in an arena whose dead bytes are NaN, and
// unreadable to AddressSanitizer.
TEST(Levers, TogetherTouchOnlyLiveMemory) {
  for (const Case& c : golden_cases()) {
    for (const int64_t batch : {1, 2}) {
      SCOPED_TRACE(c.file + " " + std::string(name_of(c.update)) + " " + std::to_string(batch));
      const Graph network = c.import(batch);
      TrainingGraph all = c.training(tile(network, all_tilings(network, 3)), /*passes=*/2);
      all = recomputed(std::move(all), saved_values(all.graph));
      for (const tt_kernels* kernels : {&tt_portable_kernels, tt_best_kernels()}) {
        const auto want = interpreted(all.graph, *kernels, Memory::kUnshared, true);
        float loss = 0;
        std::memcpy(&loss, want.at(1).data(), sizeof loss);
        EXPECT_TRUE(std::isfinite(loss));
        EXPECT_TRUE(interpreted(all.graph, *kernels, Memory::kPoisoned, true) == want);
      }
    }
  }
}

}  // namespace
}  // namespace tinytl
