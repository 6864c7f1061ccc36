// Residual sums in one node: which ones, and that no bit changes.

#include "engine/schedule/fuse_accumulate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "engine/ops/passes.h"
#include "engine/runtime/executor.h"
#include "optim/optimizer.h"
#include "tests/graph/support.h"

namespace tinytl {
namespace {

int64_t count(const Graph& graph, const OpDef& op) {
  return std::ranges::count_if(graph.nodes(), [&](const Node& node) { return node.op == &op; });
}

Graph fused(Graph graph) {
  fuse_accumulate(graph);
  graph = prune(graph);
  verify(graph);
  return graph;
}

Attributes convolution_attributes(int64_t stride = 1, int64_t pad = 0, int64_t groups = 1) {
  return {{"strides", std::vector<int64_t>{stride, stride}},
          {"pads", std::vector<int64_t>(4, pad)},
          {"dilations", std::vector<int64_t>{1, 1}},
          {"groups", groups}};
}

// The graph with every fused node as the two it was made of, and the ids of its old values.
Graph apart(const Graph& graph, std::vector<ValueId>& ids) {
  Graph result;
  ids.clear();
  for (const Value& value : graph.values()) {
    ids.push_back(ValueId{UINT32_MAX});
    if (value.role == Role::kInput) ids.back() = result.add_input(value.name, value.type);
    if (is_persistent(value.role)) {
      ids.back() = value.data != nullptr ? result.add_persistent(value.name, value.role, value.data)
                                         : result.add_state(value.name, value.type);
    }
  }
  for (const Node& node : graph.nodes()) {
    std::vector<ValueId> inputs;
    for (const ValueId id : node.inputs) inputs.push_back(ids[index(id)]);
    if (node.op == &kAveragePoolGradAdd) {
      const ValueId q =
          emit(result, kAveragePoolGrad, node.name, {inputs[1]}, node.attributes, node.phase);
      ids[index(node.output())] = emit(result, kAdd, node.name, {inputs[0], q}, {}, node.phase);
      continue;
    }
    if (node.op == &kPointwiseAccumulate) {
      const ValueId acc = inputs[0];
      const bool transposed = node.attributes.integer("transposed") != 0;
      inputs.erase(inputs.begin());
      Attributes attributes = convolution_attributes();
      attributes.set("shape", result.value(acc).type.shape);
      const ValueId q = emit(result, transposed ? kConv2dGradInput : kConv2d, node.name, inputs,
                             attributes, node.phase);
      ids[index(node.output())] = emit(result, kAdd, node.name, {acc, q}, {}, node.phase);
      continue;
    }
    const auto outputs = emit_all(result, *node.op, node.name, inputs, node.attributes, node.phase);
    for (size_t j = 0; j < outputs.size(); ++j) ids[index(node.outputs[j])] = outputs[j];
  }
  for (const ValueId id : graph.outputs) result.outputs.push_back(ids[index(id)]);
  return result;
}

std::vector<float> values_of(const Executor& executor) {
  std::vector<float> all;
  const Graph& graph = executor.graph();
  for (const ValueId id : graph.outputs) {
    all.insert(all.end(), executor.f32(id).begin(), executor.f32(id).end());
  }
  for (const Value& value : graph.values()) {
    if (!is_persistent(value.role)) continue;
    const auto data = executor.f32(id_of(graph, value));
    all.insert(all.end(), data.begin(), data.end());
  }
  return all;
}

// Outputs, parameters and state after some steps.
std::vector<float> run(const Graph& graph, const tt_kernels& kernels) {
  Executor executor(with_own_tensors(graph), {.kernels = &kernels, .arena = nullptr});
  for (uint32_t step = 0; step < 2; ++step) {
    for (const ValueId id : graph.inputs) {
      const TensorType& type = graph.value(id).type;
      std::mt19937 rng(step + 7);
      if (type.dtype == DType::kI32) {
        for (int32_t& v : executor.i32(id)) v = static_cast<int32_t>(rng() % 5);
      } else {
        for (float& v : executor.f32(id)) v = static_cast<float>(rng() % 1000) / 1000.0f;
      }
    }
    executor.step();
  }
  return values_of(executor);
}

void expect_same_bits(const Graph& one, const Graph& other) {
  for (const tt_kernels* kernels : {&tt_portable_kernels, tt_best_kernels()}) {
    SCOPED_TRACE(kernels->name);
    const auto a = run(one, *kernels), b = run(other, *kernels);
    ASSERT_EQ(a.size(), b.size());
    EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)), 0);
  }
}

UpdateScheme every_parameter(const Graph& graph) {
  UpdateScheme scheme;
  for (const ValueId id : parameters_of(graph)) scheme.parameters.push_back({id});
  return scheme;
}

// differentiate() fuses; the reference is its graph taken apart again.
void expect_training_changes_no_bit(const Graph& model, const Loss& loss) {
  const GradientGraph gradients = differentiate(model, loss, every_parameter(model));
  GradientGraph reference = gradients;
  std::vector<ValueId> ids;
  reference.graph = apart(gradients.graph, ids);
  reference.prediction = ids[index(reference.prediction)];
  reference.target = ids[index(reference.target)];
  reference.loss = ids[index(reference.loss)];
  for (ParameterGradient& g : reference.gradients) {
    g.parameter = ids[index(g.parameter)];
    g.gradient = ids[index(g.gradient)];
  }
  expect_same_bits(append_updates(gradients, {}).graph, append_updates(reference, {}).graph);
}

// A layer beside a branch at half the resolution, as a lite residual module is.
Graph with_pooled_branch() {
  Graph g;
  g.source = "pooled branch";
  const ValueId x = g.add_input("x", {DType::kF32, {2, 6, 6, 3}});
  const ValueId h = relu6(g, "relu", convolution(g, "stem", x, 8, /*kernel=*/3));
  const ValueId pool = emit(g, kAveragePool, "pool", {h},
                            {{"kernel", Shape{2, 2}},
                             {"strides", Shape{2, 2}},
                             {"pads", Shape{0, 0, 0, 0}},
                             {"ceil_mode", int64_t{0}},
                             {"count_include_pad", int64_t{0}}});
  const ValueId branch = convolution(g, "branch", pool, 8, /*kernel=*/3);
  const ValueId up =
      emit(g, kResize, "up", {branch}, {{"size", Shape{6, 6}}, {"mode", int64_t{1}}});
  const ValueId sum = emit(g, kAdd, "sum", {convolution(g, "main", h, 8, /*kernel=*/3), up});
  const ValueId mean = emit(g, kReduceMean, "mean", {sum},
                            {{"axes", std::vector<int64_t>{1, 2}}, {"keepdims", int64_t{0}}});
  g.outputs = {linear(g, "fc", mean, 5)};
  return g;
}

TEST(FuseAccumulate, AddsThePooledGradientWhereItMeetsTheOther) {
  const Graph model = with_pooled_branch();
  const GradientGraph gradients = differentiate(model, {}, every_parameter(model));
  EXPECT_EQ(count(gradients.graph, kAveragePoolGradAdd), 1);
  EXPECT_EQ(count(gradients.graph, kAveragePoolGrad), 0);
  expect_training_changes_no_bit(model, {});
}

TEST(FuseAccumulate, LeavesNoAddInASmallNetwork) {
  const Graph model = small_cnn(2), together = fused(model);
  EXPECT_EQ(count(model, kAdd), 2);
  EXPECT_EQ(count(together, kAdd), 0);
  EXPECT_EQ(count(together, kPointwiseAccumulate), 2);
  EXPECT_EQ(together.nodes().size() + 2, model.nodes().size());
  expect_same_bits(model, together);
}

TEST(FuseAccumulate, TrainsASmallNetworkToTheSameBits) {
  const Graph model = small_cnn(2);
  const Graph graph = differentiate(model, {}, every_parameter(model)).graph;
  EXPECT_EQ(count(graph, kAdd), 0);
  EXPECT_EQ(count(graph, kPointwiseAccumulate), 4);  // two sums, two pairs of gradients
  expect_training_changes_no_bit(model, {});
}

// A network of images [2,4,4,6] in which branches meet in every way.
Graph random_images(std::mt19937& rng) {
  constexpr int64_t kChannels = 6;
  Graph g;
  g.source = "random_images";
  std::vector<ValueId> values{g.add_input("x", {DType::kF32, {2, 4, 4, kChannels}})};
  for (size_t i = 0, n = 4 + rng() % 14; i < n; ++i) {
    const auto pick = [&] { return values[values.size() - 1 - rng() % values.size() / 2]; };
    const std::string name = std::to_string(i);
    const ValueId x = pick();
    switch (rng() % 8) {
      case 0:
        values.push_back(convolution(g, name, x, kChannels, /*kernel=*/3));
        break;
      case 1:
        values.push_back(relu6(g, name, x));
        break;
      case 2: {
        const ValueId wide = relu6(g, name + "r", convolution(g, name + "e", x, 9, /*kernel=*/1));
        values.push_back(convolution(g, name + "p", wide, kChannels, /*kernel=*/1));
        break;
      }
      case 3: {
        const ValueId flat = emit(g, kReshape, name, {x}, {{"shape", Shape{1, 8, 4, kChannels}}});
        values.push_back(emit(g, kReshape, name, {flat}, {{"shape", Shape{2, 4, 4, kChannels}}}));
        break;
      }
      case 4:
      case 5:
        values.push_back(convolution(g, name, x, kChannels, /*kernel=*/1));
        break;
      default:
        values.push_back(emit(g, kAdd, name, {x, pick()}));
    }
  }
  ValueId sum = values[0];
  for (size_t i = 1; i < values.size(); ++i) {
    if (readers(g)[index(values[i])].empty()) sum = emit(g, kAdd, "sum", {sum, values[i]});
  }
  g.outputs = {emit(g, kTanh, "output", {sum})};
  return g;
}

TEST(FuseAccumulate, ChangesNoBitOfRandomNetworks) {
  std::mt19937 rng(4);
  int64_t found = 0;
  for (int trial = 0; trial < 100; ++trial) {
    SCOPED_TRACE(trial);
    const Graph model = random_images(rng), together = fused(model);
    found += count(together, kPointwiseAccumulate);
    expect_same_bits(model, together);
    if (parameters_of(model).empty()) continue;
    expect_training_changes_no_bit(model, {.kind = Loss::Kind::kMeanSquaredError});
  }
  EXPECT_GT(found, 100);
}

class Pattern : public testing::Test {
 protected:
  ValueId input(Shape shape = {1, 4, 4, 6}) {
    return g_.add_input(std::to_string(g_.inputs.size()), {DType::kF32, std::move(shape)});
  }
  ValueId conv(ValueId x, int64_t channels = 6) {
    return convolution(g_, std::to_string(g_.nodes().size()), x, channels, /*kernel=*/1);
  }
  ValueId conv_with(ValueId x, Shape w, Attributes attributes) {
    const std::string name = std::to_string(g_.nodes().size());
    return emit(g_, kConv2d, name, {x, add_weight(g_, name, std::move(w))}, std::move(attributes));
  }
  ValueId tanh(ValueId x) { return emit(g_, kTanh, "tanh", {x}); }
  ValueId add(ValueId x, ValueId y, Phase phase = Phase::kForward) {
    return emit(g_, kAdd, "add", {x, y}, {}, phase);
  }
  // Of the graph that ends in `outputs`.
  int64_t fused_sums(std::vector<ValueId> outputs) {
    g_.outputs = std::move(outputs);
    return count(fused(prune(g_)), kPointwiseAccumulate);
  }

  Graph g_;
};

TEST_F(Pattern, EitherOperandMayBeTheConvolution) {
  const ValueId x = input(), y = add(x, conv(input()));
  EXPECT_EQ(fused_sums({add(conv(tanh(y)), y)}), 2);
}

TEST_F(Pattern, TheSumIsWrittenOverTheOtherOperand) {
  const ValueId x = input(), y = add(x, conv(input({1, 4, 4, 20})));
  g_.outputs = {y};
  fuse_accumulate(g_);
  const Graph graph = prune(g_);
  const Buffers buffers = assign_buffers(graph, schedule(graph), tt_portable_kernels);
  EXPECT_EQ(buffers.of_value[index(graph.outputs[0])], buffers.of_value[index(graph.inputs[0])]);
  EXPECT_EQ(buffers.lifetimes.size(), 2u);
}

TEST_F(Pattern, OfTwoConvolutionsTheLaterIsTaken) {
  const ValueId early = conv(input()), late = conv(input());
  const ValueId y = add(late, early);
  EXPECT_EQ(fused_sums({y}), 1);
  EXPECT_EQ(g_.node(g_.value(early).producer).op, &kConv2d);
  fuse_accumulate(g_);
  EXPECT_EQ(g_.node(g_.value(y).producer).input(0), early);
}

TEST_F(Pattern, NotWhereTheConvolutionIsReadElsewhere) {
  const ValueId q = conv(input());
  EXPECT_EQ(fused_sums({add(input(), q), tanh(q)}), 0);
  EXPECT_EQ(fused_sums({add(input(), conv(q)), q}), 1);
}

TEST_F(Pattern, NotWhereTheConvolutionIsAnOutput) {
  const ValueId q = conv(input());
  EXPECT_EQ(fused_sums({add(input(), q), q}), 0);
}

TEST_F(Pattern, NotAConvolutionAddedToItself) {
  const ValueId q = conv(input());
  EXPECT_EQ(fused_sums({add(q, q)}), 0);
}

TEST_F(Pattern, NotWhereTheSumBroadcasts) {
  EXPECT_EQ(fused_sums({add(input({1, 1, 1, 6}), conv(input()))}), 0);
  EXPECT_EQ(fused_sums({add(input(), conv(input({1, 1, 1, 6})))}), 0);
}

TEST_F(Pattern, NotOtherConvolutions) {
  EXPECT_EQ(fused_sums({add(input(), convolution(g_, "3x3", input(), 6, /*kernel=*/3))}), 0);
  const ValueId half = conv_with(input({1, 7, 7, 6}), {1, 1, 6, 6}, convolution_attributes(2));
  const ValueId padded = conv_with(input({1, 2, 2, 6}), {1, 1, 6, 6}, convolution_attributes(1, 1));
  const ValueId grouped =
      conv_with(input(), {1, 1, 3, 6}, convolution_attributes(1, 0, /*groups=*/2));
  for (const ValueId q : {half, padded, grouped}) EXPECT_EQ(fused_sums({add(input(), q)}), 0);
}

// Its kernel writes over what it still reads.
TEST_F(Pattern, NotOntoItsOwnInput) {
  const ValueId x = input();
  EXPECT_EQ(fused_sums({add(x, conv(x))}), 0);
  const ValueId view = emit(g_, kReshape, "view", {x}, {{"shape", Shape{1, 8, 2, 6}}});
  const ValueId q = emit(g_, kReshape, "back", {tanh(view)}, {{"shape", Shape{1, 4, 4, 6}}});
  EXPECT_EQ(fused_sums({add(x, conv(q))}), 1);
  const ValueId back = emit(g_, kReshape, "back", {view}, {{"shape", Shape{1, 4, 4, 6}}});
  EXPECT_EQ(fused_sums({add(back, conv(x))}), 0);
  const ValueId left = tanh(input({1, 4, 4, 2})), right = tanh(input({1, 4, 4, 4}));
  const ValueId both = emit(g_, kConcat, "both", {left, right}, {{"axis", int64_t{3}}});
  EXPECT_EQ(fused_sums({add(both, conv(left))}), 0);
}

// It would be saved for the backward pass.
TEST_F(Pattern, NotAForwardConvolutionInTheBackwardPass) {
  const ValueId q = conv(input());
  EXPECT_EQ(fused_sums({add(input(), q, Phase::kBackward)}), 0);
}

TEST_F(Pattern, NotWhereALargeInputWouldLiveLonger) {
  const ValueId large = tanh(input({1, 4, 4, 20})), q = conv(large);
  const ValueId between = tanh(input());
  EXPECT_EQ(fused_sums({add(between, q)}), 0);
  const ValueId y = add(between, q);
  EXPECT_EQ(fused_sums({y, tanh(large)}), 1);  // lives on anyway
  const ValueId small = conv(tanh(input({1, 4, 4, 3})));
  EXPECT_EQ(fused_sums({add(tanh(input()), small)}), 1);
}

}  // namespace
}  // namespace tinytl
