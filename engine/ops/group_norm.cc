// Group norm (Wu & He, ECCV 2018) of an NHWC tensor, in plain loops: the reference.

#include <cmath>

#include "engine/ops/op_helpers.h"
#include "engine/ops/op_table.h"
namespace tinytl {
namespace {
struct G {
  int64_t n, hw, c, groups, gs;
  float eps;
};
G geo(const Node& node, const TensorType& x) {
  G g;
  g.n = x.dim(0);
  g.c = columns_of(x);
  g.hw = x.elements() / g.n / g.c;
  g.groups = node.attributes.integer("groups");
  g.gs = g.c / g.groups;
  g.eps = node.attributes.number("epsilon");
  return g;
}
template <class F>
void each(const G& g, const float* x, F&& f) {
  for (int64_t n = 0; n < g.n; ++n)
    for (int64_t k = 0; k < g.groups; ++k) {
      const int64_t base = n * g.hw * g.c + k * g.gs;
      double s = 0, q = 0;
      const double m = double(g.hw * g.gs);
      for (int64_t p = 0; p < g.hw; ++p)
        for (int64_t j = 0; j < g.gs; ++j) s += x[base + p * g.c + j];
      const float mean = float(s / m);
      for (int64_t p = 0; p < g.hw; ++p)
        for (int64_t j = 0; j < g.gs; ++j) {
          const float d = x[base + p * g.c + j] - mean;
          q += d * d;
        }
      f(base, k * g.gs, mean, 1.0f / std::sqrt(float(q / m) + g.eps));
    }
}
void forward(const Node& node, const KernelArgs& t) {
  const G g = geo(node, t.type(0));
  const float *x = t.f32(0), *sc = t.f32(1), *b = t.f32(2);
  float* y = t.out_f32();
  each(g, x, [&](int64_t base, int64_t c0, float mean, float r) {
    for (int64_t p = 0; p < g.hw; ++p)
      for (int64_t j = 0; j < g.gs; ++j) {
        const int64_t i = base + p * g.c + j;
        y[i] = (x[i] - mean) * r * sc[c0 + j] + b[c0 + j];
      }
  });
}
void grad_input(const Node& node, const KernelArgs& t) {
  const G g = geo(node, t.type(1));
  const float *dy = t.f32(0), *x = t.f32(1), *sc = t.f32(2);
  float* dx = t.out_f32();
  each(g, x, [&](int64_t base, int64_t c0, float mean, float r) {
    double s = 0, d = 0;
    const double m = double(g.hw * g.gs);
    for (int64_t p = 0; p < g.hw; ++p)
      for (int64_t j = 0; j < g.gs; ++j) {
        const int64_t i = base + p * g.c + j;
        const float v = dy[i] * sc[c0 + j];
        s += v;
        d += v * ((x[i] - mean) * r);
      }
    const float ms = float(s / m), md = float(d / m);
    for (int64_t p = 0; p < g.hw; ++p)
      for (int64_t j = 0; j < g.gs; ++j) {
        const int64_t i = base + p * g.c + j;
        const float nx = (x[i] - mean) * r;
        dx[i] = r * (dy[i] * sc[c0 + j] - ms - nx * md);
      }
  });
}
void grad_scale(const Node& node, const KernelArgs& t) {
  const G g = geo(node, t.type(1));
  const float *dy = t.f32(0), *x = t.f32(1);
  float* ds = t.out_f32();
  for (int64_t c = 0; c < g.c; ++c) ds[c] = 0;
  each(g, x, [&](int64_t base, int64_t c0, float mean, float r) {
    for (int64_t p = 0; p < g.hw; ++p)
      for (int64_t j = 0; j < g.gs; ++j) {
        const int64_t i = base + p * g.c + j;
        ds[c0 + j] += dy[i] * (x[i] - mean) * r;
      }
  });
}
OutputTypes infer(const Node&, InputTypes in) { return {in[0]}; }
OutputTypes infer_scale(const Node&, InputTypes in) { return {{DType::kF32, {columns_of(in[1])}}}; }
void vjp(GradBuilder& grad) {
  const Node& node = grad.node();
  const ValueId x = node.input(0), scale = node.input(1);
  if (grad.wants(2))
    grad.set(2, grad.emit(kSumTo, {grad.dy()}, {{"shape", grad.input_type(2).shape}}));
  if (grad.wants(1)) grad.set(1, grad.emit(kGroupNormGradScale, {grad.dy(), x}, node.attributes));
  if (grad.wants(0))
    grad.set(0, grad.emit(kGroupNormGradInput, {grad.dy(), x, scale}, node.attributes));
}
}  // namespace
const OpDef kGroupNorm{
    .name = "GroupNorm", .infer = infer, .forward = forward, .vjp = vjp, .in_place = 1};
const OpDef kGroupNormGradInput{
    .name = "GroupNormGradInput", .infer = infer, .forward = grad_input, .in_place = 0b11};
const OpDef kGroupNormGradScale{
    .name = "GroupNormGradScale", .infer = infer_scale, .forward = grad_scale};
}  // namespace tinytl
