#include "engine/xnnpack/layer.h"

#include <xnnpack.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <tuple>
#include <vector>

#include "engine/ops/layer_parts.h"
#include "engine/ops/op_helpers.h"
#include "engine/ops/op_table.h"
#include "engine/xnnpack/heap.h"

namespace tinytl::xnnpack {
namespace {

static_assert(kReadBehind == XNN_EXTRA_BYTES);

enum { kX, kW, kB };
using Kind = LayerShape::Kind;

xnn_operator_t operator_of(void* op) { return static_cast<xnn_operator_t>(op); }

// XNNPACK has [co][kh][kw][ci/g].
std::vector<float> output_channels_first(const tt_conv2d_shape& s, const float* w) {
  const auto rows = static_cast<size_t>(s.kernel_h * s.kernel_w * (s.in_c / s.groups));
  const auto columns = static_cast<size_t>(s.out_c);
  std::vector<float> result(rows * columns);
  for (size_t r = 0; r < rows; ++r) {
    for (size_t c = 0; c < columns; ++c) result[c * rows + r] = w[r * columns + c];
  }
  return result;
}

// Not a number that any weight is, and another one for every channel.
uint32_t marker(size_t channel) { return 0x7fc01001u + static_cast<uint32_t>(channel); }

}  // namespace

bool operator<(const LayerShape& a, const LayerShape& b) {
  const auto key = [](const LayerShape& s) {
    const tt_conv2d_shape& c = s.conv;
    return std::tuple(
        std::tuple(s.w, s.bias, s.bias_changes, s.kind, s.low, s.high, s.pad_bottom, s.pad_right),
        std::tuple(c.batch, c.in_h, c.in_w, c.in_c, c.out_h, c.out_w, c.out_c, c.groups),
        std::tuple(c.kernel_h, c.kernel_w, c.stride_h, c.stride_w, c.pad_top, c.pad_left,
                   c.dilation_h, c.dilation_w));
  };
  return key(a) < key(b);
}

bool is_layer(const Node& node) {
  return node.op == &kConv2d || node.op == &kDepthwiseConv2d || node.op == &kLinear;
}

std::optional<LayerShape> layer_shape(const Node& node, const KernelArgs& args, bool bias_changes) {
  if (!is_layer(node)) return std::nullopt;
  const bool depthwise = node.op == &kDepthwiseConv2d;
  if (args.type(kW).dtype != DType::kF32 || has_keep(node)) return std::nullopt;
  const auto y = reinterpret_cast<uintptr_t>(args.out_f32());
  const auto x = reinterpret_cast<uintptr_t>(args.f32(kX));
  if (x < y + args.out_type().bytes() && y < x + args.type(kX).bytes()) return std::nullopt;

  LayerShape s;
  if (node.op == &kLinear) {
    s.kind = Kind::kMatrix;
    s.conv.batch = static_cast<int32_t>(rows_of(args.type(kX)));
    s.conv.in_c = static_cast<int32_t>(args.type(kW).dim(0));
    s.conv.out_c = static_cast<int32_t>(args.type(kW).dim(1));
  } else {
    s.kind = depthwise ? Kind::kDepthwise : Kind::kConvolution;
    s.conv = conv2d_shape(node, args.type(kX).shape, args.type(kW).shape, depthwise);
    const auto pads = node.attributes.integers("pads");
    s.pad_bottom = static_cast<int32_t>(pads[2]);
    s.pad_right = static_cast<int32_t>(pads[3]);
    if (is_pointwise(s.conv)) {
      s.kind = Kind::kMatrix;
      s.conv.batch *= s.conv.in_h * s.conv.in_w;
      s.conv.in_h = s.conv.in_w = s.conv.out_h = s.conv.out_w = 1;
    }
  }
  const tt_epilogue end = epilogue_of(node, args, kB);
  if (end.clip != 0 && !(end.low < end.high)) return std::nullopt;
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  s.low = end.clip != 0 ? end.low : -kInfinity;
  s.high = end.clip != 0 ? end.high : kInfinity;
  s.w = args.f32(kW);
  s.bias = end.bias;
  s.bias_changes = bias_changes && end.bias != nullptr;
  return s;
}

void Layer::Delete::operator()(void* op) const { xnn_delete_operator(operator_of(op)); }

Layer::~Layer() = default;

std::shared_ptr<Layer> Layer::make(const LayerShape& shape, const float* x, float* y,
                                   pthreadpool* threads) {
  if (!start()) return nullptr;
  std::shared_ptr<Layer> layer(new Layer(shape, threads));
  const size_t before = bytes_held();
  watch_blocks();
  if (shape.bias_changes) {
    std::vector<float> markers(layer->channels());
    for (size_t c = 0; c < markers.size(); ++c) markers[c] = std::bit_cast<float>(marker(c));
    if (!layer->create(markers.data()) || !layer->find_bias()) return nullptr;
  } else if (!layer->create(shape.bias)) {
    return nullptr;
  }
  if (!layer->set_up(x, y)) return nullptr;
  layer->bytes_ = bytes_held() - before;
  if (layer->bytes_ == 0) return nullptr;
  return layer;
}

bool Layer::create(const float* bias) {
  const tt_conv2d_shape& s = shape_.conv;
  const auto u32 = [](int32_t v) { return static_cast<uint32_t>(v); };
  const auto in_c = static_cast<size_t>(s.in_c), out_c = channels();
  xnn_operator_t op = nullptr;
  xnn_status status;
  if (shape_.kind == Kind::kMatrix) {
    status = xnn_create_fully_connected_nc_f32(in_c, out_c, in_c, out_c, shape_.w, bias, shape_.low,
                                               shape_.high, XNN_FLAG_TRANSPOSE_WEIGHTS, &op);
  } else {
    const bool depthwise = shape_.kind == Kind::kDepthwise;
    const std::vector<float> w =
        depthwise ? std::vector<float>() : output_channels_first(s, shape_.w);
    const auto groups = static_cast<size_t>(s.groups);
    status = xnn_create_convolution2d_nhwc_f32(
        u32(s.pad_top), u32(shape_.pad_right), u32(shape_.pad_bottom), u32(s.pad_left),
        u32(s.kernel_h), u32(s.kernel_w), u32(s.stride_h), u32(s.stride_w), u32(s.dilation_h),
        u32(s.dilation_w), u32(s.groups), in_c / groups, out_c / groups, in_c, out_c,
        depthwise ? shape_.w : w.data(), bias, shape_.low, shape_.high,
        depthwise ? XNN_FLAG_DEPTHWISE_CONVOLUTION : 0, &op);
  }
  if (status != xnn_status_success) return false;
  op_.reset(op);
  return true;
}

// XNNPACK keeps a pointer to every pixel that a convolution reads, as distances from the x of its
// first set-up: another x costs nothing.
bool Layer::set_up(const float* x, float* y) noexcept {
  const tt_conv2d_shape& s = shape_.conv;
  const xnn_operator_t op = operator_of(op_.get());
  const auto size = [](int32_t v) { return static_cast<size_t>(v); };
  if (shape_.kind == Kind::kMatrix) {
    return xnn_setup_fully_connected_nc_f32(op, size(s.batch), x, y, threads_) ==
           xnn_status_success;
  }
  return xnn_setup_convolution2d_nhwc_f32(op, size(s.batch), size(s.in_h), size(s.in_w), x, y,
                                          threads_) == xnn_status_success;
}

float* Layer::BiasPlaces::operator[](size_t channel) const {
  const size_t group = channel / channels_of_group, of_group = channel % channels_of_group;
  return first + group * group_step + of_group / width * block_step + of_group % width;
}

// Where the markers are in the packed weights, each of them once, in a regular order.
bool Layer::find_bias_in(std::span<std::byte> block) {
  auto* const packed = reinterpret_cast<float*>(block.data());
  constexpr size_t kNowhere = SIZE_MAX;
  std::vector<size_t> at(channels(), kNowhere);
  for (size_t i = 0; i < block.size() / sizeof(float); ++i) {
    const size_t channel = std::bit_cast<uint32_t>(packed[i]) - marker(0);
    if (channel >= at.size()) continue;
    if (at[channel] != kNowhere) return false;
    at[channel] = i;
  }
  if (std::ranges::find(at, kNowhere) != at.end()) return false;

  const bool grouped = shape_.kind == Kind::kConvolution;
  places_.first = packed + at[0];
  places_.channels_of_group =
      grouped ? channels() / static_cast<size_t>(shape_.conv.groups) : channels();
  places_.group_step =
      places_.channels_of_group < channels() ? at[places_.channels_of_group] - at[0] : 0;
  places_.width = 1;
  while (places_.width < places_.channels_of_group && at[places_.width] == at[0] + places_.width) {
    ++places_.width;
  }
  places_.block_step = places_.width < places_.channels_of_group ? at[places_.width] - at[0] : 0;
  for (size_t c = 0; c < at.size(); ++c) {
    if (places_[c] != packed + at[c]) return false;
  }
  return true;
}

bool Layer::find_bias() {
  return std::ranges::any_of(watched_blocks(), [&](auto block) { return find_bias_in(block); });
}

void Layer::write_bias() noexcept {
  for (size_t c = 0; c < channels();) {
    const size_t of_group = c % places_.channels_of_group;
    const size_t count =
        std::min(places_.width - of_group % places_.width, places_.channels_of_group - of_group);
    std::memcpy(places_[c], shape_.bias + c, count * sizeof(float));
    c += count;
  }
}

void Layer::run(const float* x, float* y) noexcept {
  if (shape_.bias_changes) write_bias();
  TT_ASSERT(set_up(x, y) &&
            xnn_run_operator(operator_of(op_.get()), threads_) == xnn_status_success);
}

}  // namespace tinytl::xnnpack
