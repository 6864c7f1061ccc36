// Reshape: the same bytes under the attribute "shape". Runs no kernel. Gradient: reshape back.

#include "engine/ops/op_helpers.h"
#include "engine/ops/op_table.h"

namespace tinytl {
namespace {

OutputTypes infer(const Node& node, InputTypes in) {
  check(in.size() == 1, node, in, "takes one tensor");
  const auto shape = node.attributes.integers("shape");
  const TensorType type{in[0].dtype, Shape(shape.begin(), shape.end())};
  check(type.elements() == in[0].elements(), node, in,
        "cannot be reshaped to " + to_string(type.shape));
  return {type};
}

void vjp(GradBuilder& grad) {
  if (grad.wants(0)) {
    grad.set(0, grad.emit(kReshape, {grad.dy()}, {{"shape", grad.input_type(0).shape}}));
  }
}

std::optional<size_t> view_offset(const Node&, InputTypes) { return 0; }

}  // namespace

const OpDef kReshape{
    .name = "Reshape", .infer = infer, .forward = nullptr, .vjp = vjp, .view_offset = view_offset};

}  // namespace tinytl
