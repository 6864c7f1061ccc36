// Real quantized networks as 8-bit integers against the float networks of their numbers.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <map>
#include <optional>

#include "engine/onnx/export.h"
#include "engine/onnx/import.h"
#include "engine/ops/op_table.h"
#include "engine/ops/passes.h"
#include "tinytl/data/dataset.h"
#include "tinytl/train/inference.h"

namespace tinytl {
namespace {

struct NetworkCase {
  std::string model, data;
  float mean, deviation;
  int64_t convolutions;
};

void PrintTo(const NetworkCase& c, std::ostream* out) { *out << c.model; }

const std::vector<NetworkCase>& cases() {
  static const std::vector<NetworkCase> all{
      {"mbv2-w0.35_imagenet128", "flowers17", 127.5f, 127.5f, 51},
      {"mcunet-5fps_imagenet128", "flowers17", 127.5f, 127.5f, 42},
      {"mobilenet_v2_1.0_imagenet224", "flowers17", 127.5f, 127.5f, 52},
      {"mlperf_vww96_mobilenetv1_0.25", "flowers17", 0, 255, 27},
      {"mlperf_ic_resnet8_cifar10", "cifar10_sub", 0, 1, 9}};
  return all;
}

class IntegerNetwork : public testing::TestWithParam<NetworkCase> {
 protected:
  void SetUp() override {
    const char* root = std::getenv("TINYTL_DATA");
    if (root == nullptr) GTEST_SKIP() << "set TINYTL_DATA to the folder of models and data sets";
    const std::filesystem::path folder(root);
    file_ = folder / "models" / (GetParam().model + "_qdq_int8.onnx");
    data_ = open_dataset(folder / "datasets" / GetParam().data);
  }
  Normalisation normalisation() const {
    Normalisation result;
    result.mean.fill(GetParam().mean);
    result.deviation.fill(GetParam().deviation);
    return result;
  }

  std::filesystem::path file_;
  DatasetSplits data_;
};

INSTANTIATE_TEST_SUITE_P(Models, IntegerNetwork, testing::ValuesIn(cases()), [](const auto& test) {
  std::string name = test.param.model;
  std::ranges::replace_if(
      name, [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
});

int64_t count_nodes(const Graph& graph, std::initializer_list<const OpDef*> ops) {
  return std::ranges::count_if(
      graph.nodes(), [&](const Node& n) { return std::ranges::find(ops, n.op) != ops.end(); });
}

TEST_P(IntegerNetwork, HasNoFloatLayerButTheClassifier) {
  const Graph graph = import_onnx(file_, {.precision = Precision::kInt8});
  EXPECT_EQ(count_nodes(graph, {&kQConv2d, &kQDepthwiseConv2d}), GetParam().convolutions);
  EXPECT_EQ(count_nodes(graph, {&kConv2d, &kDepthwiseConv2d, &kAdd, &kClip, &kReduceMean}), 0);
  EXPECT_EQ(count_nodes(graph, {&kLinear}), 1);
  EXPECT_EQ(graph.value(graph.inputs.at(0)).type.dtype, DType::kI8);
  EXPECT_EQ(count_nodes(graph, {&kQuantize}), 0);
  EXPECT_EQ(count_nodes(graph, {&kDequantize}), 1) << "in front of the classifier";
}

// The float layers that integer layers stand for: what the nodes of the file say.
class RealLayers {
 public:
  explicit RealLayers(const Graph& integers) : graph(integers) {}

  Graph graph;  // the integers, and what is added

 protected:
  // The float double of an integer layer, of the levels `levels(i)` of its input i, rounded to
  // levels; empty for other nodes.
  template <class LevelsOf>
  std::optional<ValueId> real_layer(const Node& node, LevelsOf&& levels) {
    const Attributes& a = node.attributes;
    const auto real = [&](size_t i, const std::string& name) {
      return emit(graph, kDequantize, node.name, {levels(i)},
                  {{"x_scale", a.number(name + "_scale")}, {"x_zero", a.integer(name + "_zero")}});
    };
    if (node.op == &kQConv2d || node.op == &kQDepthwiseConv2d) {
      const bool depthwise = node.op == &kQDepthwiseConv2d;
      return rounded(node, emit(graph, depthwise ? kDepthwiseConv2d : kConv2d, node.name,
                                {real(0, "x"), node.input(1), real_bias(node)}, a));
    }
    if (node.op == &kQAdd) {
      return rounded(node, emit(graph, kAdd, node.name, {real(0, "a"), real(1, "b")}));
    }
    if (node.op == &kQGlobalAveragePool) {
      return rounded(node, emit(graph, kReduceMean, node.name, {real(0, "x")},
                                {{"axes", std::vector<int64_t>{1, 2}}, {"keepdims", int64_t{1}}}));
    }
    return std::nullopt;
  }

  ValueId real_bias(const Node& node) {
    const Tensor& w = *graph.value(node.input(1)).data;
    const Tensor& b = *graph.value(node.input(2)).data;
    const auto* const scale =
        reinterpret_cast<const float*>(w.bytes().data() + w.type().scale_offset());
    std::vector<float> values;
    for (const int32_t level : b.i32()) {
      values.push_back(static_cast<float>(level) * node.attributes.number("x_scale") *
                       scale[values.size()]);
    }
    return graph.add_persistent(node.name + ".real_bias", Role::kBias,
                                make_tensor(b.type().shape, values));
  }

  ValueId rounded(const Node& node, ValueId real) {
    const Attributes& a = node.attributes;
    const auto limit = [&](const char* name) {
      return static_cast<float>(a.integer(name) - a.integer("y_zero")) * a.number("y_scale");
    };
    const ValueId limited =
        emit(graph, kClip, node.name, {real}, {{"low", limit("y_low")}, {"high", limit("y_high")}});
    return emit(graph, kQuantize, node.name, {limited},
                {{"y_scale", a.number("y_scale")}, {"y_zero", a.integer("y_zero")}});
  }
};

// Beside every integer layer its float double, of the same levels.
class LayersBesides : public RealLayers {
 public:
  explicit LayersBesides(const Graph& integers) : RealLayers(integers) {
    const std::vector<Node> layers(integers.nodes().begin(), integers.nodes().end());
    for (const Node& node : layers) {
      const auto rounded = real_layer(node, [&](size_t i) { return node.input(i); });
      if (!rounded.has_value()) continue;
      pairs.emplace_back(as_numbers(node.output()), as_numbers(*rounded));
      graph.outputs.push_back(pairs.back().first);
      graph.outputs.push_back(pairs.back().second);
    }
  }

  std::vector<std::pair<ValueId, ValueId>> pairs;  // levels as f32, of the layer and its double

 private:
  ValueId as_numbers(ValueId levels) {
    return emit(graph, kDequantize, "levels", {levels},
                {{"x_scale", 1.0f}, {"x_zero", int64_t{0}}});
  }
};

// The network of float doubles alone: floats between every DequantizeLinear and QuantizeLinear.
class DequantizedNetwork : public RealLayers {
 public:
  explicit DequantizedNetwork(const Graph& integers) : RealLayers(integers) {
    const std::vector<Node> layers(integers.nodes().begin(), integers.nodes().end());
    std::map<ValueId, ValueId> of;
    const auto now = [&](ValueId id) { return of.contains(id) ? of.at(id) : id; };
    for (const Node& node : layers) {
      if (const auto rounded = real_layer(node, [&](size_t i) { return now(node.input(i)); })) {
        of[node.output()] = *rounded;
        continue;
      }
      std::vector<ValueId> inputs;
      for (const ValueId id : node.inputs) inputs.push_back(now(id));
      of[node.output()] = emit(graph, *node.op, node.name, inputs, node.attributes);
    }
    for (ValueId& id : graph.outputs) id = now(id);
    graph = prune(graph);
  }
};

TEST_P(IntegerNetwork, RoundsEveryLayerAsFloatsDoButForTies) {
  for (const bool fixed_point : {false, true}) {
    const LayersBesides both(
        import_onnx(file_, {.precision = Precision::kInt8, .fixed_point = fixed_point}));
    Executor executor(both.graph);
    const NetworkInput input(both.graph);
    Loader loader(*data_.val, loader_for(input.type(), /*training=*/false));
    Batch batch;
    ASSERT_TRUE(loader.next(batch));
    input.write(batch, normalisation(), executor);
    executor.step();
    int64_t elements = 0, other = 0;
    for (const auto& [layer, real] : both.pairs) {
      const auto a = executor.f32(layer), b = executor.f32(real);
      for (size_t i = 0; i < a.size(); ++i) {
        ASSERT_LE(std::abs(a[i] - b[i]), 1) << both.graph.value(layer).name << ", element " << i;
        other += a[i] != b[i];
      }
      elements += static_cast<int64_t>(a.size());
    }
    std::cout << GetParam().model << ": " << other << " of " << elements << " levels differ\n";
    EXPECT_LT(static_cast<double>(other), 1e-4 * static_cast<double>(elements));
  }
}

Inference inference_of(Graph graph) {
  constexpr Loss::Kind kLoss = Loss::Kind::kSoftmaxCrossEntropy;
  return {inference_program(std::move(graph), kLoss, *tt_best_kernels()), kLoss};
}

TEST_P(IntegerNetwork, HasTheSameBitsAfterExportAndImport) {
  const Graph graph = import_onnx(file_, {.precision = Precision::kInt8});
  const std::filesystem::path again =
      std::filesystem::path(testing::TempDir()) / (GetParam().model + "_again.onnx");
  export_onnx(graph, again);
  Inference first = inference_of(graph);
  Inference second =
      inference_of(import_onnx(again, {.precision = Precision::kInt8, .run_onnx_checker = true}));
  // What any other reader makes of it.
  Inference real = inference_of(import_onnx(again)), real_first = inference_of(import_onnx(file_));
  std::filesystem::remove(again);
  Loader loader(*data_.val, loader_for(first.input_type(), /*training=*/false));
  Batch batch;
  const auto scores = [&](Inference& network) {
    const auto s = network.predict(batch, normalisation());
    return std::vector<float>(s.begin(), s.end());
  };
  double error = 0, size = 0;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(loader.next(batch));
    EXPECT_EQ(scores(first), scores(second));
    const auto a = scores(real), b = scores(real_first);
    for (size_t j = 0; j < a.size(); ++j) {
      error += std::pow(double{a[j]} - double{b[j]}, 2);
      size += double{b[j]} * double{b[j]};
    }
  }
  // The limits of the levels stand for those of an activation.
  EXPECT_LT(std::sqrt(error / size), 0.05);
}

// Scores of an integer network and of the float network of its numbers, which does not round its
// activations, for the same images.
struct Agreement {
  void add(std::span<const float> got, std::span<const float> want) {
    double mean = 0;
    for (const float v : want) mean += double{v} / static_cast<double>(want.size());
    for (size_t i = 0; i < want.size(); ++i) {
      error += std::pow(double{got[i]} - double{want[i]}, 2);
      spread += std::pow(double{want[i]} - mean, 2);
    }
    const auto named = static_cast<size_t>(std::ranges::max_element(got) - got.begin());
    const float margin = *std::ranges::max_element(want) - want[named];
    ++images;
    scores += static_cast<int64_t>(want.size());
    same += margin == 0;
    widest = std::max(widest, double{margin});
  }
  double relative_error() const { return std::sqrt(error / spread); }
  double score_error() const { return std::sqrt(error / static_cast<double>(scores)); }

  int64_t images = 0, same = 0, scores = 0;
  double error = 0, spread = 0;
  double widest = 0;  // that the class named by the one is behind in the other's scores
};

// The nodes of the file in floats sum up in another order, which turns some levels at ties, and one
// turned level in an early layer turns others behind it. So does the order of the sums of another
// float implementation: the integers are as near to one as these are to each other.
TEST_P(IntegerNetwork, IsAsNearToTheDequantizedNetworkAsTwoOrdersOfItsSumsAre) {
  constexpr int64_t kImages = 300;
  constexpr Loss::Kind kLoss = Loss::Kind::kSoftmaxCrossEntropy;
  const Graph graph = import_onnx(file_, {.precision = Precision::kInt8});
  Inference integers = inference_of(graph);
  Inference floats = inference_of(DequantizedNetwork(graph).graph);
  Executor others(inference_program(DequantizedNetwork(graph).graph, kLoss, tt_portable_kernels),
                  {.kernels = &tt_portable_kernels});
  const NetworkInput input(others.graph());
  Loader loader(*data_.val, loader_for(floats.input_type(), /*training=*/false));
  Batch batch;
  Agreement of_integers, of_floats;
  while (of_integers.images < kImages && loader.next(batch)) {
    const auto want = floats.predict(batch, normalisation());
    of_integers.add(integers.predict(batch, normalisation()), want);
    input.write(batch, normalisation(), others);
    others.step();
    of_floats.add(others.f32(others.graph().outputs[0]), want);
  }
  ASSERT_EQ(of_integers.images, kImages);
  std::cout << GetParam().model << ": same class of " << of_integers.same << " of " << kImages
            << " images, error " << of_integers.relative_error()
            << " of the spread; two floats: " << of_floats.same << ", "
            << of_floats.relative_error() << "\n";
  EXPECT_GE(of_integers.same, 0.92 * kImages);
  EXPECT_LT(of_integers.relative_error(), 0.1);
  EXPECT_LT(of_integers.relative_error(), 2 * of_floats.relative_error() + 0.005);
}

// Rounding 50 layers is noise of several hundredths of the spread of the scores, in any
// implementation: only where classes are that near may another one win.
TEST_P(IntegerNetwork, NamesAnotherClassThanTheFloatNetworkOnlyWhereTwoAreNear) {
  constexpr int64_t kImages = 300;
  Inference integers = inference_of(import_onnx(file_, {.precision = Precision::kInt8}));
  Inference fixed =
      inference_of(import_onnx(file_, {.precision = Precision::kInt8, .fixed_point = true}));
  Inference floats = inference_of(import_onnx(file_));
  Loader loader(*data_.val, loader_for(floats.input_type(), /*training=*/false));
  Batch batch;
  Agreement of_integers, of_fixed;
  while (of_integers.images < kImages && loader.next(batch)) {
    const auto want = floats.predict(batch, normalisation());
    of_integers.add(integers.predict(batch, normalisation()), want);
    of_fixed.add(fixed.predict(batch, normalisation()), want);
  }
  ASSERT_EQ(of_integers.images, kImages);
  for (const Agreement& a : {of_integers, of_fixed}) {
    std::cout << GetParam().model << ": same class of " << a.same << " of " << a.images
              << " images, error " << a.relative_error() << " of the spread of the scores\n";
    EXPECT_LT(a.relative_error(), 0.25) << "a wrong layer is off by the spread itself";
    EXPECT_LT(a.widest, 6 * a.score_error());
    EXPECT_GE(a.same, 0.85 * kImages);
  }
}

}  // namespace
}  // namespace tinytl
