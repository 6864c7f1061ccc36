#include "engine/onnx/fuse_integers.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "engine/ops/op_table.h"

namespace tinytl::internal {
namespace {

// An i8 value, and what its levels stand for.
struct Source {
  ValueId levels;
  float scale;
  int64_t zero;
};

class IntegerFusion {
 public:
  IntegerFusion(Builder& builder, bool fixed_point)
      : builder_(builder), graph_(builder.graph), fixed_point_(fixed_point) {}

  void run() {
    for (size_t n = 0; n < graph_.nodes().size(); ++n) {
      const NodeId id{static_cast<uint32_t>(n)};
      if (graph_.node(id).op == &kQuantize) fuse_into(id);
    }
    leave_scores_unrounded();
    take_levels_as_input();
    if (convolutions_ > 0) return;
    throw InputError(
        graph_.source +
        ": has no convolution between DequantizeLinear and QuantizeLinear nodes, so it "
        "has no 8-bit form; quantize it first (onnxruntime's quantize_static writes "
        "such files), or leave out --precision int8");
  }

 private:
  std::optional<Source> source(ValueId value) const {
    const Node* node = builder_.producer(value, kDequantize);
    if (node == nullptr) return std::nullopt;
    return Source{node->input(0), node->attributes.number("x_scale"),
                  node->attributes.integer("x_zero")};
  }

  void fuse_into(NodeId quantize) {
    const Node& end = graph_.node(quantize);
    ValueId y = end.input(0);
    Attributes attributes = end.attributes;  // y_scale and y_zero
    attributes.set("y_low", int64_t{-128});
    attributes.set("y_high", int64_t{127});
    attributes.set("fixed_point", int64_t{fixed_point_});
    if (const Node* clip = builder_.producer(y, kClip)) {
      for (const char* limit : {"low", "high"}) {
        attributes.set(std::string("y_") + limit, level(clip->attributes.number(limit), end));
      }
      y = clip->input(0);
    }
    if (const Node* layer = builder_.producer(y, kConv2d)) {
      fuse_layer(quantize, *layer, kQConv2d, std::move(attributes));
    } else if (const Node* depthwise = builder_.producer(y, kDepthwiseConv2d)) {
      fuse_layer(quantize, *depthwise, kQDepthwiseConv2d, std::move(attributes));
    } else if (const Node* add = builder_.producer(y, kAdd)) {
      fuse_add(quantize, *add, std::move(attributes));
    } else if (const Node* mean = builder_.producer(y, kReduceMean)) {
      fuse_mean(quantize, *mean, std::move(attributes));
    }
  }

  // A limit of an activation as a level of its rounded result.
  static int64_t level(float limit, const Node& quantize) {
    const float scaled = std::nearbyint(limit / quantize.attributes.number("y_scale"));
    const auto zero = static_cast<float>(quantize.attributes.integer("y_zero"));
    return static_cast<int64_t>(std::clamp(scaled + zero, -128.0f, 127.0f));
  }

  static void set_source(Attributes& attributes, const std::string& name, const Source& source) {
    attributes.set(name + "_scale", source.scale);
    attributes.set(name + "_zero", source.zero);
  }

  void fuse_layer(NodeId quantize, const Node& layer, const OpDef& op, Attributes attributes) {
    const auto x = source(layer.input(0));
    if (!x || builder_.type(layer.input(1)).dtype != DType::kQ8) return;
    std::vector<ValueId> inputs{x->levels, layer.input(1)};
    if (layer.inputs.size() > 2) {
      if (builder_.is_shared(layer.input(2))) return;
      inputs.push_back(integer_bias(layer.input(2), layer.input(1), x->scale));
    }
    set_source(attributes, "x", *x);
    for (const auto& [name, value] : layer.attributes.items()) attributes.set(name, value);
    replace(quantize, op, std::move(inputs), std::move(attributes));
    ++convolutions_;
  }

  // The bias in steps of x_scale times the scale of the weights. Those of the file where they are.
  ValueId integer_bias(ValueId bias, ValueId weight, float x_scale) {
    const Tensor& w = *graph_.value(weight).data;
    const auto* const w_scale =
        reinterpret_cast<const float*>(w.bytes().data() + w.type().scale_offset());
    const auto known = builder_.bias_levels.find(bias);
    const Levels* const levels =
        known != builder_.bias_levels.end() ? known->second.get() : nullptr;
    const std::vector<int64_t> of_file =
        levels != nullptr ? integers_of(*levels->of) : std::vector<int64_t>();
    const auto real = graph_.value(bias).data->f32();
    auto tensor = std::make_shared<Tensor>(TensorType{DType::kI32, graph_.value(bias).type.shape});
    for (size_t c = 0; c < real.size(); ++c) {
      const double step = double{x_scale} * double{w_scale[c]};
      const bool same_step = levels != nullptr && levels->zero_point[levels->slice(c)] == 0 &&
                             std::abs(levels->scale[levels->slice(c)] - step) <= 1e-4 * step;
      const double level = same_step  ? static_cast<double>(of_file[c])
                           : step > 0 ? std::nearbyint(real[c] / step)
                                      : 0.0;
      constexpr double kLeast = std::numeric_limits<int32_t>::min();
      constexpr double kMost = std::numeric_limits<int32_t>::max();
      tensor->i32()[c] = static_cast<int32_t>(std::clamp(level, kLeast, kMost));
    }
    return graph_.add_persistent(graph_.value(bias).name, Role::kBias, std::move(tensor));
  }

  void fuse_add(NodeId quantize, const Node& add, Attributes attributes) {
    const auto a = source(add.input(0)), b = source(add.input(1));
    if (!a || !b || builder_.type(a->levels) != builder_.type(b->levels)) return;
    set_source(attributes, "a", *a);
    set_source(attributes, "b", *b);
    replace(quantize, kQAdd, {a->levels, b->levels}, std::move(attributes));
  }

  void fuse_mean(NodeId quantize, const Node& mean, Attributes attributes) {
    const auto x = source(mean.input(0));
    const auto axes = mean.attributes.integers("axes");
    const bool is_global = axes.size() == 2 && axes[0] == 1 && axes[1] == 2;
    if (!x || !is_global || builder_.type(x->levels).rank() != 4 ||
        mean.attributes.integer("keepdims") == 0) {
      return;
    }
    set_source(attributes, "x", *x);
    replace(quantize, kQGlobalAveragePool, {x->levels}, std::move(attributes));
  }

  void replace(NodeId id, const OpDef& op, std::vector<ValueId> inputs, Attributes attributes) {
    Node& node = graph_.node(id);
    node.op = &op;
    node.inputs = std::move(inputs);
    node.attributes = std::move(attributes);
    node.op->infer(node, types_of(graph_, node.inputs));
  }

  // Behind the last f32 layer, with at most a view or a softmax in between.
  void leave_scores_unrounded() {
    for (ValueId& output : graph_.outputs) {
      ValueId* at = &output;
      for (const Node* node = producer(*at); node != nullptr; node = producer(*at)) {
        if (node->op == &kReshape || node->op == &kSoftmax) {
          at = &graph_.node(graph_.value(*at).producer).inputs[0];
          continue;
        }
        const auto rounded = source(*at);
        const Node* quantize = rounded ? builder_.producer(rounded->levels, kQuantize) : nullptr;
        if (quantize != nullptr) {
          const std::string name = graph_.value(*at).name;
          *at = quantize->input(0);
          graph_.value(*at).name = name;
        }
        break;
      }
    }
  }

  // Where the network begins by rounding its input, whoever writes the input rounds.
  void take_levels_as_input() {
    if (graph_.inputs.size() != 1) return;
    const ValueId input = graph_.inputs[0];
    const Node* quantize = nullptr;
    for (const Node& node : graph_.nodes()) {
      if (std::ranges::find(node.inputs, input) == node.inputs.end()) continue;
      if (quantize != nullptr || node.op != &kQuantize) return;
      quantize = &node;
    }
    if (quantize == nullptr || graph_.outputs[0] == quantize->output()) return;
    const ValueId levels = quantize->output();
    for (size_t n = 0; n < graph_.nodes().size(); ++n) {
      std::ranges::replace(graph_.node(NodeId{static_cast<uint32_t>(n)}).inputs, levels, input);
    }
    graph_.value(input).type.dtype = DType::kI8;
  }

  const Node* producer(ValueId value) const {
    const NodeId id = graph_.value(value).producer;
    return id == kNoNode ? nullptr : &graph_.node(id);
  }

  Builder& builder_;
  Graph& graph_;
  const bool fixed_point_;
  int convolutions_ = 0;
};

}  // namespace

void fuse_integers(Builder& builder, bool fixed_point) {
  IntegerFusion(builder, fixed_point).run();
}

}  // namespace tinytl::internal
