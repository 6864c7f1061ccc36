// MaxPool: y[n,p,q,c] = max of x[n,h,v,c] over the window of (p,q), NHWC.
//
// Gradient: dy goes to the first pixel of the window that holds the maximum. That is its number
// within the window, one byte an element of y (four where a window has more than 127 elements), so
// that neither x nor y is kept for the backward pass:
//   MaxPoolArgmax(x) -> i8        MaxPoolGrad(dy, argmax) -> dx

#include <algorithm>

#include "engine/ops/op_table.h"
#include "engine/ops/pool.h"

namespace tinytl {
namespace {

void forward(const Node& node, const KernelArgs& t) {
  const PoolShape s = pool_shape(node, t.type(0).shape);
  const int64_t channels = s.channels;
  for_each_window(s, [&](int64_t n, int64_t out, const PoolSpan& rows, const PoolSpan& columns) {
    float* y = t.out_f32() + out;
    const float* image = t.f32(0) + n * s.in_h * s.in_w * channels;
    std::copy_n(image + (rows.first * s.in_w + columns.first) * channels, channels, y);
    for (int64_t h = rows.first; h < rows.last; ++h) {
      for (int64_t v = columns.first; v < columns.last; ++v) {
        const float* x = image + (h * s.in_w + v) * channels;
        for (int64_t c = 0; c < channels; ++c) y[c] = std::max(y[c], x[c]);
      }
    }
  });
}

void vjp(GradBuilder& grad) {
  if (!grad.wants(0)) return;
  Attributes attributes = grad.node().attributes;
  const ValueId argmax = grad.emit(kMaxPoolArgmax, {grad.node().input(0)}, attributes);
  attributes.set("shape", grad.input_type(0).shape);
  grad.set(0, grad.emit(kMaxPoolGrad, {grad.dy(), argmax}, attributes));
}

DType index_type(const Node& node) {
  const auto kernel = node.attributes.integers("kernel");
  return kernel[0] * kernel[1] <= 127 ? DType::kI8 : DType::kI32;
}

OutputTypes infer_argmax(const Node& node, InputTypes in) {
  return {{index_type(node), infer_pool(node, in)[0].shape}};
}

// The largest value so far, per channel.
size_t argmax_scratch_bytes(const Node&, InputTypes in, const tt_kernels&) {
  return static_cast<size_t>(in[0].dim(3)) * sizeof(float);
}

template <typename Index>
void argmax(const Node& node, const KernelArgs& t, Index* indices) {
  const PoolShape s = pool_shape(node, t.type(0).shape);
  const int64_t channels = s.channels;
  float* best = static_cast<float*>(t.scratch());
  for_each_window(s, [&](int64_t n, int64_t out, const PoolSpan& rows, const PoolSpan& columns) {
    const float* image = t.f32(0) + n * s.in_h * s.in_w * channels;
    Index* y = indices + out;
    const auto number = [&](int64_t h, int64_t v) {
      return static_cast<Index>((h - rows.start) * s.kernel_w + v - columns.start);
    };
    std::copy_n(image + (rows.first * s.in_w + columns.first) * channels, channels, best);
    std::fill_n(y, channels, number(rows.first, columns.first));
    for (int64_t h = rows.first; h < rows.last; ++h) {
      for (int64_t v = columns.first; v < columns.last; ++v) {
        const float* x = image + (h * s.in_w + v) * channels;
        const Index here = number(h, v);
        for (int64_t c = 0; c < channels; ++c) {
          y[c] = x[c] > best[c] ? here : y[c];
          best[c] = std::max(best[c], x[c]);
        }
      }
    }
  });
}

void forward_argmax(const Node& node, const KernelArgs& t) {
  if (t.out_type().dtype == DType::kI8) {
    argmax(node, t, t.out_bits());
  } else {
    argmax(node, t, t.out_i32());
  }
}

OutputTypes infer_grad(const Node& node, InputTypes in) {
  check(in.size() == 2 && in[1].dtype == index_type(node) && in[0].shape == in[1].shape, node, in,
        "takes dy and the argmax of the same shape");
  return infer_pool_grad(node, in);
}

template <typename Index>
void scatter(const Node& node, const KernelArgs& t, const Index* indices) {
  const PoolShape s = pool_shape(node, t.out_type().shape);
  const int64_t channels = s.channels;
  std::fill_n(t.out_f32(), t.out_type().elements(), 0.0f);
  for_each_window(s, [&](int64_t n, int64_t out, const PoolSpan& rows, const PoolSpan& columns) {
    const float* dy = t.f32(0) + out;
    float* image = t.out_f32() + n * s.in_h * s.in_w * channels;
    for (int64_t c = 0; c < channels; ++c) {
      const int64_t number = indices[out + c];
      const int64_t h = rows.start + number / s.kernel_w;
      const int64_t v = columns.start + number % s.kernel_w;
      image[(h * s.in_w + v) * channels + c] += dy[c];
    }
  });
}

void backward(const Node& node, const KernelArgs& t) {
  if (t.type(1).dtype == DType::kI8) {
    scatter(node, t, t.bits(1));
  } else {
    scatter(node, t, t.i32(1));
  }
}

}  // namespace

const OpDef kMaxPool{.name = "MaxPool", .infer = infer_pool, .forward = forward, .vjp = vjp};
const OpDef kMaxPoolArgmax{.name = "MaxPoolArgmax",
                           .infer = infer_argmax,
                           .forward = forward_argmax,
                           .scratch_bytes = argmax_scratch_bytes};
const OpDef kMaxPoolGrad{.name = "MaxPoolGrad", .infer = infer_grad, .forward = backward};

}  // namespace tinytl
