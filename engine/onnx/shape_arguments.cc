#include "engine/onnx/shape_arguments.h"

#include <algorithm>
#include <numeric>

namespace tinytl::internal {
namespace {

LiteralPtr constant_input(const OnnxNode& node, const Literals& literals, size_t i) {
  if (!node.has_input(i)) return nullptr;
  require(literals.at(i) != nullptr, "input " + std::to_string(i) + " must be a constant");
  return literals[i];
}

Shape squeezed(const OnnxNode& node, const Shape& in, const Literals& literals) {
  const auto given = list_argument(node, literals, "axes", 1);
  const auto axes = given ? normal_axes(*given, in.size()) : std::vector<int64_t>{};
  Shape out;
  for (size_t d = 0; d < in.size(); ++d) {
    const bool named = std::binary_search(axes.begin(), axes.end(), static_cast<int64_t>(d));
    require(!named || in[d] == 1, "dimension " + std::to_string(d) + " of " + to_string(in) +
                                      " is not 1 and cannot be squeezed");
    if (given ? !named : in[d] != 1) out.push_back(in[d]);
  }
  return out;
}

Shape unsqueezed(const OnnxNode& node, const Shape& in, const Literals& literals) {
  const auto given = list_argument(node, literals, "axes", 1);
  require(given.has_value(), "needs axes");
  const auto axes = normal_axes(*given, in.size() + given->size());
  require(axes.size() == given->size(), "axes repeat");
  Shape out = in;
  for (const int64_t axis : axes) out.insert(out.begin() + axis, 1);
  return out;
}

Shape flattened(const OnnxNode& node, const Shape& in) {
  int64_t axis = node.integer("axis", 1);
  const auto rank = static_cast<int64_t>(in.size());
  if (axis < 0) axis += rank;
  require(axis >= 0 && axis <= rank, "axis is outside the rank of " + to_string(in));
  Shape out{1, 1};
  for (int64_t d = 0; d < rank; ++d) out[d < axis ? 0 : 1] *= in[static_cast<size_t>(d)];
  return out;
}

}  // namespace

std::optional<std::vector<int64_t>> list_argument(const OnnxNode& node, const Literals& literals,
                                                  std::string_view attribute, size_t i) {
  if (node.has(attribute)) return node.integers(attribute);
  const LiteralPtr literal = constant_input(node, literals, i);
  if (literal == nullptr) return std::nullopt;
  return integers_of(*literal);
}

std::optional<float> number_argument(const OnnxNode& node, const Literals& literals,
                                     std::string_view attribute, size_t i) {
  if (node.has(attribute)) return node.number(attribute, 0);
  const LiteralPtr literal = constant_input(node, literals, i);
  if (literal == nullptr || literal->elements() == 0) return std::nullopt;
  require(literal->elements() == 1, "input " + std::to_string(i) + " must be a scalar");
  return floats_of(*literal)[0];
}

int64_t normal_axis(int64_t axis, size_t rank) {
  const auto limit = static_cast<int64_t>(rank);
  require(axis >= -limit && axis < limit,
          "axis " + std::to_string(axis) + " is outside a tensor of rank " + std::to_string(rank));
  return axis < 0 ? axis + limit : axis;
}

std::vector<int64_t> normal_axes(std::vector<int64_t> axes, size_t rank) {
  for (int64_t& axis : axes) axis = normal_axis(axis, rank);
  std::sort(axes.begin(), axes.end());
  axes.erase(std::unique(axes.begin(), axes.end()), axes.end());
  return axes;
}

Shape reshape_target(const OnnxNode& node, const Shape& in, const std::vector<int64_t>& target) {
  const bool keep_zero = node.flag("allowzero");
  const std::string misfit = to_string(in) + " cannot be reshaped to " + to_string(target);
  Shape out = target;
  std::optional<size_t> open;
  for (size_t d = 0; d < out.size(); ++d) {
    if (out[d] == 0 && !keep_zero) {
      require(d < in.size(), misfit);
      out[d] = in[d];
    }
    if (out[d] != -1) continue;
    require(!open, misfit);
    open = d;
    out[d] = 1;
  }
  const int64_t count = checked_elements(in), known = checked_elements(out);
  if (open) {
    require(known > 0 && count % known == 0, misfit);
    out[*open] = count / known;
  }
  require(checked_elements(out) == count, misfit);
  return out;
}

Shape reshaped_shape(const OnnxNode& node, const Shape& in, const Literals& literals) {
  if (node.op() == "Flatten") return flattened(node, in);
  if (node.op() == "Squeeze") return squeezed(node, in, literals);
  if (node.op() == "Unsqueeze") return unsqueezed(node, in, literals);
  const auto target = list_argument(node, literals, "shape", 1);
  require(target.has_value(), "needs a shape");
  return reshape_target(node, in, *target);
}

SliceRange slice_range(const OnnxNode& node, const Shape& in, const Literals& literals) {
  const auto starts = list_argument(node, literals, "starts", 1);
  const auto ends = list_argument(node, literals, "ends", 2);
  require(starts && ends && starts->size() == ends->size(), "needs as many ends as starts");
  std::vector<int64_t> all(starts->size());
  std::iota(all.begin(), all.end(), 0);
  const auto axes = list_argument(node, literals, "axes", 3).value_or(all);
  const auto steps =
      list_argument(node, literals, "steps", 4).value_or(std::vector<int64_t>(all.size(), 1));
  require(axes.size() == all.size() && steps.size() == all.size(), "lists differ in length");

  SliceRange range{Shape(in.size(), 0), in, Shape(in.size(), 1)};
  for (size_t i = 0; i < all.size(); ++i) {
    const auto d = static_cast<size_t>(normal_axis(axes[i], in.size()));
    const int64_t extent = in[d], step = steps[i];
    require(step != 0 && step > -(int64_t{1} << 31) && step < (int64_t{1} << 31),
            "step is invalid");
    const auto bounded = [&](int64_t v, int64_t low, int64_t high) {
      return std::clamp(v < 0 ? v + extent : v, low, high);
    };
    const int64_t low = step > 0 ? 0 : -1, high = step > 0 ? extent : extent - 1;
    const int64_t start = bounded((*starts)[i], step > 0 ? 0 : std::min<int64_t>(0, high), high);
    // A negative step may run past element 0, and -1 already means the last element.
    const int64_t end = bounded((*ends)[i], low, high);
    const int64_t span = step > 0 ? end - start : start - end;
    const int64_t stride = step > 0 ? step : -step;
    range.starts[d] = start;
    range.steps[d] = step;
    range.sizes[d] = span > 0 ? (span + stride - 1) / stride : 0;
  }
  return range;
}

std::vector<int64_t> split_sizes(const OnnxNode& node, int64_t extent, const Literals& literals) {
  std::vector<int64_t> sizes;
  if (const auto given = list_argument(node, literals, "split", 1)) {
    sizes = *given;
  } else {
    const auto parts = static_cast<int64_t>(node.outputs());
    require(parts > 0 && node.integer("num_outputs", parts) == parts,
            "outputs do not fit num_outputs");
    const int64_t chunk = (extent + parts - 1) / parts;  // the last one may be smaller
    for (int64_t p = 0; p < parts; ++p) {
      sizes.push_back(std::clamp<int64_t>(extent - p * chunk, 0, chunk));
    }
  }
  int64_t left = extent;
  for (const int64_t size : sizes) {
    require(size >= 0 && size <= left, "parts do not add up to the dimension");
    left -= size;
  }
  require(left == 0 && sizes.size() == node.outputs(), "parts do not add up to the dimension");
  return sizes;
}

Shape broadcast_of(const Shape& a, const Shape& b) {
  Shape out(std::max(a.size(), b.size()), 1);
  for (size_t i = 1; i <= out.size(); ++i) {
    const int64_t x = i <= a.size() ? a[a.size() - i] : 1, y = i <= b.size() ? b[b.size() - i] : 1;
    require(x == y || x == 1 || y == 1,
            "shapes " + to_string(a) + " and " + to_string(b) + " do not fit");
    out[out.size() - i] = x == 1 ? y : x;
  }
  return out;
}

}  // namespace tinytl::internal
