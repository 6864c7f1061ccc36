// QuantizeLinear and DequantizeLinear of constants: x = (q - zero_point) * scale, per tensor or per
// slice of one axis.

#include <algorithm>
#include <cmath>

#include "engine/onnx/fold.h"

namespace tinytl::internal {
namespace {

Levels levels_of(const OnnxNode& node, const Literals& inputs) {
  require(inputs.size() >= 2 && inputs[0] && inputs[1], "needs a constant scale");
  const Shape& shape = inputs[0]->shape;
  Levels q{inputs[0], floats_of(*inputs[1]), {}};
  q.zero_point = inputs.size() > 2 && inputs[2] ? integers_of(*inputs[2])
                                                : std::vector<int64_t>(q.scale.size(), 0);
  require(q.zero_point.size() == q.scale.size(), "scale and zero point differ in size");
  require(node.integer("block_size", 0) == 0, "block_size");
  node.ignore("axis");
  if (q.scale.size() == 1) return q;
  const auto axis = static_cast<size_t>(normal_axis(node.integer("axis", 1), shape.size()));
  require(static_cast<int64_t>(q.scale.size()) == shape[axis],
          "scale has " + std::to_string(q.scale.size()) + " entries for axis " +
              std::to_string(axis) + " of " + to_string(shape));
  for (size_t d = axis + 1; d < shape.size(); ++d) q.inner *= shape[d];
  return q;
}

}  // namespace

LiteralPtr fold_dequantize(const OnnxNode& node, const Literals& inputs) {
  auto to = std::make_shared<Literal>();
  to->levels = std::make_shared<Levels>(levels_of(node, inputs));
  to->shape = inputs[0]->shape;
  return to;
}

LiteralPtr fold_quantize(const OnnxNode& node, const Literals& inputs) {
  const Levels q = levels_of(node, inputs);
  node.ignore("saturate");
  node.ignore("output_dtype");
  const bool is_signed = inputs.size() > 2 && inputs[2] && inputs[2]->type == ElementType::kI8;
  const float low = is_signed ? -128 : 0, high = is_signed ? 127 : 255;
  const auto from = floats_of(*inputs[0]);
  std::vector<int64_t> to(from.size());
  for (size_t i = 0; i < from.size(); ++i) {
    const size_t s = q.slice(i);
    const float level = std::nearbyint(from[i] / q.scale[s]) + static_cast<float>(q.zero_point[s]);
    to[i] = static_cast<int64_t>(std::isnan(level) ? 0 : std::clamp(level, low, high));
  }
  return make_literal(inputs[0]->shape, to);
}

}  // namespace tinytl::internal
