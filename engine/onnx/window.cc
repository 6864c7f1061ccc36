#include "engine/onnx/window.h"

#include <algorithm>

#include "engine/ops/op_table.h"

namespace tinytl::internal {
namespace {

constexpr int64_t kLargest = 1 << 15;

std::vector<int64_t> per_dimension(const OnnxNode& node, const char* attribute, size_t count,
                                   int64_t otherwise, int64_t smallest) {
  auto list = node.integers(attribute, std::vector<int64_t>(count, otherwise));
  require(list.size() == count, std::string(attribute) + " has the wrong length");
  for (const int64_t v : list) {
    require(v >= smallest && v <= kLargest,
            std::string(attribute) + " " + to_string(list) + " is outside the supported range");
  }
  return list;
}

int64_t extent_of(const Window& w, size_t d) { return (w.kernel[d] - 1) * w.dilations[d] + 1; }

void resolve_auto_pad(const std::string& mode, const Shape& in, Window& w) {
  const size_t dims = w.kernel.size();
  if (mode == "VALID") w.pads.assign(2 * dims, 0);
  if (mode != "SAME_UPPER" && mode != "SAME_LOWER") return;
  for (size_t d = 0; d < dims; ++d) {
    const int64_t out = (in[d + 2] + w.strides[d] - 1) / w.strides[d];
    const int64_t total =
        std::max<int64_t>(0, (out - 1) * w.strides[d] + extent_of(w, d) - in[d + 2]);
    const int64_t before = mode == "SAME_UPPER" ? total / 2 : total - total / 2;
    w.pads[d] = before;
    w.pads[d + dims] = total - before;
  }
}

}  // namespace

Window window_of(const OnnxNode& node, const Shape& in, const Shape& kernel) {
  require(in.size() == 3 || in.size() == 4,
          "input has shape " + to_string(in) + "; only 1-D and 2-D windows are supported");
  const size_t dims = in.size() - 2;
  Window w;
  w.kernel = node.integers("kernel_shape", kernel);
  require(w.kernel.size() == dims, "kernel_shape has the wrong length");
  for (const int64_t k : w.kernel) require(k >= 1 && k <= kLargest, "kernel_shape is out of range");
  require(kernel.empty() || kernel == w.kernel, "kernel_shape is not the shape of the weights");
  w.strides = per_dimension(node, "strides", dims, 1, 1);
  w.dilations = per_dimension(node, "dilations", dims, 1, 1);
  w.pads = per_dimension(node, "pads", 2 * dims, 0, 0);
  const std::string auto_pad = node.text("auto_pad", "NOTSET");
  require(auto_pad == "NOTSET" || auto_pad == "VALID" || auto_pad == "SAME_UPPER" ||
              auto_pad == "SAME_LOWER",
          "auto_pad \"" + auto_pad + "\"");
  resolve_auto_pad(auto_pad, in, w);
  if (dims == 1) {
    for (auto* list : {&w.kernel, &w.strides, &w.dilations}) list->insert(list->begin(), 1);
    w.pads = {0, w.pads[0], 0, w.pads[1]};
  }
  return w;
}

ValueId spatial_value(Builder& builder, const Operand& operand) {
  const Shape shape = builder.shape_of(operand);
  require(shape.size() == 3 || shape.size() == 4,
          "input has shape " + to_string(shape) + "; only rank 3 and 4 are supported");
  const ValueId value = builder.stored(operand, channels_last(shape.size()));
  if (shape.size() == 4) return value;
  return builder.view(value, {shape[0], 1, shape[2], shape[1]});
}

void spatial_result(Builder& builder, const OnnxNode& node, ValueId value, size_t rank) {
  if (rank == 3) {
    const Shape shape = builder.type(value).shape;
    value = builder.view(value, {shape[0], shape[2], shape[3]});
  }
  builder.result(node, value, channels_last(rank));
}

ValueId absorb_pad(Builder& builder, ValueId value, Window& window) {
  const Node* view = builder.producer(value, kReshape);
  const Node* pad = builder.producer(view != nullptr ? view->input(0) : value, kPad);
  if (pad == nullptr || pad->attributes.number("value") != 0) return value;
  const ValueId unpadded = pad->input(0);
  const auto before = pad->attributes.integers("before");
  const auto after = pad->attributes.integers("after");
  const size_t last = before.size() - 1;
  if (before.size() != (view != nullptr ? 3u : 4u)) return value;
  if (before[0] + after[0] + before[last] + after[last] != 0) return value;
  // A view of a padded [N,L,C] counts only as the [N,1,L,C] of a 1-D window.
  if (view != nullptr && builder.type(value).dim(1) != 1) return value;
  const size_t offset = last == 3 ? 0 : 1;
  for (size_t d = 1; d < last; ++d) {
    window.pads[d - 1 + offset] += before[d];
    window.pads[d + 1 + offset] += after[d];
  }
  if (view == nullptr) return unpadded;
  const Shape shape = builder.type(unpadded).shape;
  return builder.view(unpadded, {shape[0], 1, shape[1], shape[2]});
}

}  // namespace tinytl::internal
