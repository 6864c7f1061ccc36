#include "engine/schedule/micro_batch.h"

#include <algorithm>
#include <cstring>
#include <span>

#include "engine/ops/op_table.h"

namespace tinytl {
namespace {

// Each element of the result depends on the element of each operand that stands in its place, under
// broadcasting.
bool is_elementwise(const OpDef* op) {
  static constexpr const OpDef* kOps[] = {
      &kAdd,       &kSub,        &kMul,        &kDiv, &kScale,       &kClip,      &kClipMask,
      &kMaskApply, &kMaskScale,  &kLeakyRelu,  &kAbs, &kHardSigmoid, &kHardSwish, &kSigmoid,
      &kSilu,      &kGelu,       &kTanh,       &kElu, &kSoftplus,    &kErf,       &kExp,
      &kLog,       &kSqrt,       &kReciprocal, &kPow, &kNeg,         &kDropout,   &kBroadcastTo,
      &kQuantize,  &kDequantize, &kQAdd};
  return std::ranges::find(kOps, op) != std::end(kOps);
}

// Works on each image [H,W,C] of its first input alone; the others are parameters.
bool is_imagewise(const OpDef* op) {
  static constexpr const OpDef* kOps[] = {
      &kConv2d,      &kDepthwiseConv2d,  &kGroupNorm,         &kBatchNormInference,
      &kAveragePool, &kMaxPool,          &kMaxPoolArgmax,     &kResize,
      &kQConv2d,     &kQDepthwiseConv2d, &kQGlobalAveragePool};
  return std::ranges::find(kOps, op) != std::end(kOps);
}

class BatchCheck {
 public:
  explicit BatchCheck(const Graph& graph)
      : graph_(graph), has_samples_(graph.values().size(), false) {
    const TensorType& input = graph.value(graph.inputs.at(0)).type;
    samples_ = input.rank() == 0 ? 1 : input.dim(0);
    has_samples_[index(graph.inputs[0])] = true;
  }

  std::optional<NodeId> first_mixing() {
    for (size_t n = 0; n < graph_.nodes().size(); ++n) {
      const Node& node = graph_.nodes()[n];
      if (node.phase != Phase::kForward) continue;
      if (std::ranges::none_of(node.inputs, [&](ValueId id) { return has_samples(id); })) continue;
      if (!keeps_apart(node)) return NodeId{static_cast<uint32_t>(n)};
      for (const ValueId id : node.outputs) has_samples_[index(id)] = true;
    }
    return std::nullopt;
  }

 private:
  bool has_samples(ValueId id) const { return has_samples_[index(id)]; }
  const Shape& shape(ValueId id) const { return graph_.value(id).type.shape; }
  int64_t extent(const Shape& s, size_t d) const { return d < s.size() ? s[d] : 1; }

  // The number of outermost dimensions that number the samples: as few as give a multiple of them.
  size_t lead(const Shape& s) const {
    int64_t rows = 1;
    size_t d = 0;
    while (d < s.size() && rows % samples_ != 0) rows *= s[d++];
    return d;
  }
  // Dimension `axis` lies within a sample, or has nothing to mix.
  bool is_inner(const Shape& s, int64_t axis) const {
    return static_cast<size_t>(axis) >= lead(s) || extent(s, static_cast<size_t>(axis)) == 1;
  }
  bool only_first_has_samples(const Node& node) const {
    return has_samples(node.input(0)) && std::none_of(node.inputs.begin() + 1, node.inputs.end(),
                                                      [&](ValueId id) { return has_samples(id); });
  }

  bool keeps_apart(const Node& node) const {
    if (is_elementwise(node.op)) return broadcasts_apart(node);
    if (node.op == &kMatMul) return multiplies_apart(node);
    if (node.op == &kConcat) return joins_apart(node);
    if (!only_first_has_samples(node)) return false;
    const Shape& x = shape(node.input(0));
    if (is_imagewise(node.op)) return lead(x) <= 1;
    if (node.op == &kReshape) return true;  // the elements stay where they are
    if (node.op == &kLinear || node.op == &kLayerNorm) return lead(x) < x.size();
    if (node.op == &kSoftmax || node.op == &kLogSoftmax || node.op == &kGather) {
      return is_inner(x, node.attributes.integer("axis"));
    }
    if (node.op == &kReduceSum || node.op == &kReduceMean) return reduces_apart(node, x);
    if (node.op == &kTranspose) return transposes_apart(node, x);
    if (node.op == &kSlice) return cuts_apart(node, x);
    if (node.op == &kPad) return pads_apart(node, x);
    return false;
  }

  bool reduces_apart(const Node& node, const Shape& x) const {
    return std::ranges::all_of(node.attributes.integers("axes"),
                               [&](int64_t axis) { return is_inner(x, axis); });
  }

  // The dimensions of the samples stay outermost and in order; those of extent 1 may go anywhere.
  bool transposes_apart(const Node& node, const Shape& x) const {
    std::vector<int64_t> order;
    for (const int64_t axis : node.attributes.integers("perm")) {
      if (x[static_cast<size_t>(axis)] != 1) order.push_back(axis);
    }
    size_t at = 0;
    for (size_t d = 0; d < lead(x); ++d) {
      if (x[d] != 1 && order.at(at++) != static_cast<int64_t>(d)) return false;
    }
    return true;
  }

  bool cuts_apart(const Node& node, const Shape& x) const {
    const auto starts = node.attributes.integers("starts");
    const auto sizes = node.attributes.integers("sizes");
    const auto steps = node.attributes.integers("steps");
    for (size_t d = 0; d < lead(x); ++d) {
      const bool whole = starts[d] == 0 && sizes[d] == x[d] && (steps[d] == 1 || x[d] == 1);
      if (!whole) return false;
    }
    return true;
  }

  bool pads_apart(const Node& node, const Shape& x) const {
    const auto before = node.attributes.integers("before");
    const auto after = node.attributes.integers("after");
    for (size_t d = 0; d < lead(x); ++d) {
      if (before[d] != 0 || after[d] != 0) return false;
    }
    return true;
  }

  bool joins_apart(const Node& node) const {
    const int64_t axis = node.attributes.integer("axis");
    return std::ranges::all_of(node.inputs, [&](ValueId id) {
      return has_samples(id) ? static_cast<size_t>(axis) >= lead(shape(id)) : repeats(id);
    });
  }

  bool broadcasts_apart(const Node& node) const {
    const Shape& out = shape(node.output());
    return std::ranges::all_of(node.inputs, [&](ValueId id) {
      if (graph_.value(id).type.dtype == DType::kI32) return !has_samples(id);  // a seed
      return has_samples(id) ? spans(shape(id), out, lead(out))
                             : is_one_for_all(id, out, lead(out));
    });
  }

  // Matrices of samples against one that serves all, or each sample's own against its own.
  bool multiplies_apart(const Node& node) const {
    const ValueId a = node.input(0), b = node.input(1);
    const Shape& out = shape(node.output());
    const bool rows_stay = node.attributes.integer("transpose_a") == 0;
    const bool one_matrix = !has_samples(b) && shape(b).size() == 2;
    if (one_matrix && rows_stay) return lead(shape(a)) < shape(a).size();
    const size_t lead_out = lead(out);
    if (lead_out + 2 > out.size()) return false;
    return std::ranges::all_of(node.inputs, [&](ValueId id) {
      if (!has_samples(id)) return is_one_for_all(id, out, lead_out);
      return spans(shape(id), out, lead_out) && lead(shape(id)) + 2 <= shape(id).size();
    });
  }

  // An operand of samples has all of the first `count` dimensions of the result.
  static bool spans(const Shape& operand, const Shape& out, size_t count) {
    const size_t missing = out.size() - operand.size();
    for (size_t d = 0; d < count; ++d) {
      if (d < missing ? out[d] != 1 : operand[d - missing] != out[d]) return false;
    }
    return true;
  }

  // An operand without samples is the same for each: broadcast over them, or a copy for each.
  bool is_one_for_all(ValueId id, const Shape& out, size_t count) const {
    const Shape& operand = shape(id);
    const size_t missing = out.size() - operand.size();
    bool broadcast = true;
    for (size_t d = missing; d < count; ++d) broadcast &= operand[d - missing] == 1;
    return broadcast || (spans(operand, out, count) && repeats(id));
  }

  // A value without samples that holds the same bytes for each of them.
  bool repeats(ValueId id) const {
    const Value& value = graph_.value(id);
    if (value.role == Role::kConstant && value.data != nullptr) return has_equal_parts(*value.data);
    if (value.producer == kNoNode) return false;
    const Node& producer = graph_.node(value.producer);
    if (producer.op == &kReshape) return repeats(producer.input(0));
    return producer.op == &kBroadcastTo &&
           is_one_for_all(producer.input(0), value.type.shape, lead(value.type.shape));
  }

  bool has_equal_parts(const Tensor& tensor) const {
    const auto bytes = tensor.bytes();
    const size_t part = bytes.size() / static_cast<size_t>(samples_);
    if (part * static_cast<size_t>(samples_) != bytes.size()) return false;
    return std::memcmp(bytes.data(), bytes.data() + part, bytes.size() - part) == 0;
  }

  const Graph& graph_;
  std::vector<bool> has_samples_;  // by value: depends on the first input
  int64_t samples_ = 1;
};

}  // namespace

std::optional<NodeId> mixes_batch(const Graph& graph) { return BatchCheck(graph).first_mixing(); }

}  // namespace tinytl
