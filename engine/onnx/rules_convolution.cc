// Conv, the poolings, and Resize: the operators that want their channels last.

#include <algorithm>
#include <cmath>

#include "engine/onnx/rules.h"
#include "engine/onnx/window.h"

namespace tinytl::internal {
namespace {

Attributes convolution_attributes(const Window& w) {
  return {{"strides", w.strides}, {"pads", w.pads}, {"dilations", w.dilations}};
}

// OIHW (or OIL) of the file, as [kh,kw,ci,co] or, depthwise, [kh,kw,c]. `of_levels`: in 8 bits
// where the file has them so.
ValueId convolution_weight(Builder& builder, const Operand& weight, bool depthwise,
                           bool of_levels) {
  const Shape& s = weight.literal->shape;
  const int64_t height = s.size() == 4 ? s[2] : 1, width = s.back();
  const Order order = s.size() == 4 ? Order{2, 3, 1, 0} : Order{2, 1, 0};
  Shape shape{height, width, s[1], s[0]};
  if (depthwise) shape.erase(shape.begin() + 2);
  const Arrangement arrangement{s, order, shape};
  if (of_levels) {
    if (const auto w = builder.quantized_weight(weight, arrangement)) return *w;
  }
  return builder.parameter(weight, Role::kWeight, arrangement, "weight");
}

void conv(Builder& builder, const OnnxNode& node) {
  const Operand& x = builder.input(node, 0);
  const Operand& w = builder.input(node, 1);
  builder.constant_input(node, 1, "the weights");
  const Shape in = builder.shape_of(x), weight = w.literal->shape;
  require(in.size() == weight.size() && weight.size() > 2,
          "input " + to_string(in) + " and weights " + to_string(weight) + " differ in rank");
  Window window = window_of(node, in, Shape(weight.begin() + 2, weight.end()));
  const int64_t groups = node.integer("group", 1);
  require(groups >= 1 && in[1] == weight[1] * groups && weight[0] % groups == 0,
          "input " + to_string(in) + ", weights " + to_string(weight) + " and group " +
              std::to_string(groups) + " do not fit");

  const bool depthwise = groups > 1 && groups == in[1] && groups == weight[0];
  const ValueId value = absorb_pad(builder, spatial_value(builder, x), window);
  const bool of_levels = builder.producer(value, kDequantize) != nullptr;
  std::vector<ValueId> inputs{value, convolution_weight(builder, w, depthwise, of_levels)};
  if (node.has_input(2)) {
    const Operand& bias = builder.input(node, 2);
    const Shape shape = builder.constant_input(node, 2, "the bias")->shape;
    require(shape == Shape{weight[0]}, "the bias has shape " + to_string(shape));
    inputs.push_back(builder.parameter(bias, Role::kBias, {shape, {0}, shape}, "bias"));
    if (of_levels) builder.bias_levels[inputs.back()] = bias.literal->levels;
  }
  Attributes attributes = convolution_attributes(window);
  if (!depthwise) attributes.set("groups", groups);
  const ValueId y =
      builder.emit(depthwise ? kDepthwiseConv2d : kConv2d, std::move(inputs), attributes);
  spatial_result(builder, node, y, in.size());
}

bool pads_fit(const Window& w) {
  for (size_t d = 0; d < 4; ++d) {
    if (w.pads[d] >= w.kernel[d % 2]) return false;
  }
  return true;
}

// An average over the whole map of the file's resolution is one over the whole map of any.
void follow_resolution(const Builder& builder, const Shape& in, Window& window) {
  const auto [in_file, now] = builder.resolution;
  if (in_file == now || window.pads != std::vector<int64_t>(4, 0)) return;
  for (size_t d = 0; d < 2; ++d) {
    const int64_t length = in[d + 2];
    const bool covered = std::abs(window.kernel[d] * now - length * in_file) < in_file;
    if (covered) window.kernel[d] = length;
  }
}

void pool(Builder& builder, const OnnxNode& node) {
  const bool average = node.op() == "AveragePool";
  require(node.outputs() < 2 || node.output(1).empty(), "output of indices");
  node.ignore("storage_order");  // of the indices
  const Operand& x = builder.input(node, 0);
  const Shape in = builder.shape_of(x);
  Window window = window_of(node, in, {});
  require(window.dilations == std::vector<int64_t>(2, 1), "dilations");
  require(pads_fit(window), "padding is not smaller than the kernel");
  if (average && in.size() == 4) follow_resolution(builder, in, window);
  ValueId value = spatial_value(builder, x);
  Attributes attributes{{"ceil_mode", int64_t{node.flag("ceil_mode")}}};
  if (average) {
    bool include = node.flag("count_include_pad");
    // Zeros that a Pad node wrote are counted in the average.
    Window padded = window;
    const ValueId unpadded = absorb_pad(builder, value, padded);
    const bool may_absorb = include || window.pads == std::vector<int64_t>(4, 0);
    if (unpadded != value && may_absorb && pads_fit(padded)) {
      window = padded;
      value = unpadded;
      include = true;
    }
    attributes.set("count_include_pad", int64_t{include});
  }
  attributes.set("kernel", window.kernel);
  attributes.set("strides", window.strides);
  attributes.set("pads", window.pads);
  const ValueId y = builder.emit(average ? kAveragePool : kMaxPool, {value}, attributes);
  spatial_result(builder, node, y, in.size());
}

void global_average_pool(Builder& builder, const OnnxNode& node) {
  const Operand x = builder.plain(builder.input(node, 0));
  std::vector<int64_t> axes;
  for (size_t d = 2; d < x.order.size(); ++d) {
    axes.push_back(stored_position(x.order, static_cast<int64_t>(d)));
  }
  require(!axes.empty(), "input has no spatial dimensions");
  std::sort(axes.begin(), axes.end());
  const ValueId y =
      builder.emit(kReduceMean, {x.value}, {{"axes", axes}, {"keepdims", int64_t{1}}});
  builder.result(node, y, x.order);
}

void global_max_pool(Builder& builder, const OnnxNode& node) {
  const Operand& x = builder.input(node, 0);
  const ValueId value = spatial_value(builder, x);
  const Shape& shape = builder.type(value).shape;
  const std::vector<int64_t> all{shape[1], shape[2]}, ones{1, 1}, none(4, 0);
  const ValueId y =
      builder.emit(kMaxPool, {value},
                   {{"kernel", all}, {"strides", ones}, {"pads", none}, {"ceil_mode", int64_t{0}}});
  spatial_result(builder, node, y, builder.shape_of(x).size());
}

// The output's height and width, from `sizes` or `scales`, wherever this opset keeps them.
std::vector<int64_t> resized_shape(Builder& builder, const OnnxNode& node, const Shape& in) {
  const bool upsample = node.op() == "Upsample" || node.opset() < 11;
  const size_t scales_at = upsample ? 1 : 2;
  std::vector<int64_t> out;
  if (node.has_input(3)) {
    out = integers_of(*builder.constant_input(node, 3, "sizes"));
  } else {
    std::vector<float> scales = node.numbers("scales");
    if (scales.empty()) scales = floats_of(*builder.constant_input(node, scales_at, "scales"));
    require(scales.size() == in.size(), "scales has the wrong length");
    for (size_t d = 0; d < in.size(); ++d) {
      const double size = std::floor(static_cast<double>(in[d]) * scales[d]);
      require(size >= 1 && size < 1e6, "scales are out of range");
      // ONNX resamples by the scale as written, we by the ratio of the sizes.
      require(std::fabs(size - static_cast<double>(in[d]) * scales[d]) < 1e-4 * size,
              "scales that do not give a whole number of pixels");
      out.push_back(static_cast<int64_t>(size));
    }
  }
  require(out.size() == 4 && out[0] == in[0] && out[1] == in[1],
          "only height and width can be resized");
  require(out[2] > 0 && out[3] > 0, "sizes are out of range");
  return {out[2], out[3]};
}

void resize(Builder& builder, const OnnxNode& node) {
  const Operand& x = builder.input(node, 0);
  const Shape in = builder.shape_of(x);
  require(in.size() == 4, "input has shape " + to_string(in) + "; only rank 4 is supported");
  const auto size = resized_shape(builder, node, in);
  const bool old = node.op() == "Upsample" || node.opset() < 11;
  const std::string mode = node.text("mode", "nearest");
  const std::string transform =
      node.text("coordinate_transformation_mode", old ? "asymmetric" : "half_pixel");
  const std::string nearest = node.text("nearest_mode", old ? "floor" : "round_prefer_floor");
  for (const char* unused : {"cubic_coeff_a", "extrapolation_value", "exclude_outside"}) {
    node.ignore(unused);
  }
  require(node.integer("antialias", 0) == 0, "antialias");
  int64_t kind = 0;
  if (mode == "nearest") {
    // Where every pixel is repeated a whole number of times, all conventions but "ceil" agree.
    const bool whole = size[0] % in[2] == 0 && size[1] % in[3] == 0;
    const bool common = transform == "half_pixel" || transform == "pytorch_half_pixel"
                            ? nearest == "round_prefer_floor"
                            : transform == "asymmetric" && nearest == "floor";
    require(whole && common,
            "nearest neighbour other than repeating pixels a whole number of times");
  } else {
    require(mode == "linear", "mode \"" + mode + "\"");
    const bool half_pixel = transform == "half_pixel" ||
                            (transform == "pytorch_half_pixel" && size[0] > 1 && size[1] > 1);
    require(half_pixel || transform == "align_corners",
            "coordinate transformation \"" + transform + "\"");
    kind = half_pixel ? 1 : 2;
  }
  const ValueId y =
      builder.emit(kResize, {spatial_value(builder, x)}, {{"size", size}, {"mode", kind}});
  spatial_result(builder, node, y, 4);
}

}  // namespace

void add_convolution_rules(RuleTable& rules) {
  rules["Conv"] = conv;
  rules["AveragePool"] = pool;
  rules["MaxPool"] = pool;
  rules["GlobalAveragePool"] = global_average_pool;
  rules["GlobalMaxPool"] = global_max_pool;
  rules["Resize"] = resize;
  rules["Upsample"] = resize;
}

}  // namespace tinytl::internal
