// AveragePool: y[n,p,q,c] = mean of x[n,h,v,c] over the window of (p,q), NHWC.
//
// Where the window reaches into the padding, the integer "count_include_pad" says whether padded
// zeros count (1) or only pixels of the input do (0). What reaches past the padding (ceil_mode)
// never counts. Gradient: every pixel of the window gets dy / count. Saves nothing.

#include <algorithm>

#include "engine/ops/op_table.h"
#include "engine/ops/pool.h"

namespace tinytl {
namespace {

// 1 / count for every window.
class WindowWeight {
 public:
  WindowWeight(const Node& node, const PoolShape& shape)
      : shape_(shape), with_pad_(node.attributes.integer("count_include_pad") != 0) {}

  float operator()(const PoolSpan& rows, const PoolSpan& columns) const {
    const int64_t h =
        with_pad_
            ? std::min(rows.start + shape_.kernel_h, shape_.in_h + shape_.pad_bottom) - rows.start
            : rows.last - rows.first;
    const int64_t w =
        with_pad_ ? std::min(columns.start + shape_.kernel_w, shape_.in_w + shape_.pad_right) -
                        columns.start
                  : columns.last - columns.first;
    return 1.0f / static_cast<float>(h * w);
  }

 private:
  const PoolShape& shape_;
  bool with_pad_;
};

void forward(const Node& node, const KernelArgs& t) {
  const PoolShape s = pool_shape(node, t.type(0).shape);
  const WindowWeight weight(node, s);
  const int64_t channels = s.channels;
  for_each_window(s, [&](int64_t n, int64_t out, const PoolSpan& rows, const PoolSpan& columns) {
    float* y = t.out_f32() + out;
    std::fill(y, y + channels, 0.0f);
    for (int64_t h = rows.first; h < rows.last; ++h) {
      for (int64_t v = columns.first; v < columns.last; ++v) {
        const float* x = t.f32(0) + ((n * s.in_h + h) * s.in_w + v) * channels;
        for (int64_t c = 0; c < channels; ++c) y[c] += x[c];
      }
    }
    const float scale = weight(rows, columns);
    for (int64_t c = 0; c < channels; ++c) y[c] *= scale;
  });
}

void vjp(GradBuilder& grad) {
  if (!grad.wants(0)) return;
  Attributes attributes = grad.node().attributes;
  attributes.set("shape", grad.input_type(0).shape);
  grad.set(0, grad.emit(kAveragePoolGrad, {grad.dy()}, attributes));
}

void backward(const Node& node, const KernelArgs& t) {
  const PoolShape s = pool_shape(node, t.out_type().shape);
  const WindowWeight weight(node, s);
  const int64_t channels = s.channels;
  std::fill_n(t.out_f32(), t.out_type().elements(), 0.0f);
  for_each_window(s, [&](int64_t n, int64_t out, const PoolSpan& rows, const PoolSpan& columns) {
    const float* dy = t.f32(0) + out;
    const float scale = weight(rows, columns);
    for (int64_t h = rows.first; h < rows.last; ++h) {
      for (int64_t v = columns.first; v < columns.last; ++v) {
        float* dx = t.out_f32() + ((n * s.in_h + h) * s.in_w + v) * channels;
        for (int64_t c = 0; c < channels; ++c) dx[c] += dy[c] * scale;
      }
    }
  });
}

}  // namespace

const OpDef kAveragePool{
    .name = "AveragePool", .infer = infer_pool, .forward = forward, .vjp = vjp};
const OpDef kAveragePoolGrad{
    .name = "AveragePoolGrad", .infer = infer_pool_grad, .forward = backward};

}  // namespace tinytl
