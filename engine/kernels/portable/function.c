// Functions of one number with their gradients, and arithmetic with broadcasting.
#include <math.h>

#include "engine/kernels/portable/portable.h"

static const float kSqrtHalf = 0.707106781f;
static const float kInvSqrtTwoPi = 0.398942280f;
static const float kTwoOverSqrtPi = 1.12837917f;
static const float kSqrtTwoOverPi = 0.797884561f;
static const float kCubic = 0.044715f;

static float clamp(float x, float low, float high) {
  const float v = x < low ? low : x;
  return v > high ? high : v;
}

static float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

// erfc and the sigmoid keep the digits of a small tail, which 1 + erf and 1 + tanh lose.
static float normal_cdf(float x) { return 0.5f * erfcf(-x * kSqrtHalf); }

static float sigmoid_of_2u(float x) {
  return sigmoid(2.0f * kSqrtTwoOverPi * (x + kCubic * x * x * x));
}

static float value(tt_function f, float x, float alpha, float beta) {
  switch (f) {
    case TT_LINEAR:
      return (x + beta) * alpha;
    case TT_ABS:
      return fabsf(x);
    case TT_LEAKY_RELU:
      return x > 0.0f ? x : x * alpha;
    case TT_HARD_SIGMOID:
      return clamp(alpha * x + beta, 0.0f, 1.0f);
    case TT_HARD_SWISH:
      return x * clamp(x * (1.0f / 6.0f) + 0.5f, 0.0f, 1.0f);
    case TT_EXP:
      return expf(x);
    case TT_LOG:
      return logf(x);
    case TT_SIGMOID:
      return sigmoid(x);
    case TT_TANH:
      return tanhf(x);
    case TT_ERF:
      return erff(x);
    case TT_ELU:
      return x > 0.0f ? x : alpha * expm1f(x);
    case TT_SOFTPLUS:
      return (x > 0.0f ? x : 0.0f) + log1pf(expf(-fabsf(x)));
    case TT_SILU:
      return x / (1.0f + expf(-x));
    case TT_GELU:
      return x * normal_cdf(x);
    case TT_GELU_TANH:
      return x * sigmoid_of_2u(x);
  }
  return x;
}

static float hard_swish_grad(float dy, float x) {
  if (x <= -3.0f) return 0.0f;
  return x >= 3.0f ? dy : dy * (x * (1.0f / 3.0f) + 0.5f);
}

static float silu_slope(float x) {
  const float s = sigmoid(x);
  return s * (1.0f + x * (1.0f - s));
}

static float gelu_slope(float x) { return normal_cdf(x) + x * kInvSqrtTwoPi * expf(-0.5f * x * x); }

static float gelu_tanh_slope(float x) {
  const float s = sigmoid_of_2u(x);
  const float du = kSqrtTwoOverPi * (1.0f + 3.0f * kCubic * x * x);
  return s * (1.0f + 2.0f * x * (1.0f - s) * du);
}

// `v` is x or y, as kernels.h says.
static float gradient(tt_function f, float dy, float v, float alpha) {
  switch (f) {
    case TT_HARD_SWISH:
      return hard_swish_grad(dy, v);
    case TT_SIGMOID:
      return dy * v * (1.0f - v);
    case TT_TANH:
      return dy * (1.0f - v * v);
    case TT_ERF:
      return dy * kTwoOverSqrtPi * expf(-v * v);
    case TT_ELU:
      return v > 0.0f ? dy : dy * (v + alpha);
    case TT_SOFTPLUS:
      return -dy * expm1f(-v);
    case TT_SILU:
      return dy * silu_slope(v);
    case TT_GELU:
      return dy * gelu_slope(v);
    case TT_GELU_TANH:
      return dy * gelu_tanh_slope(v);
    default:
      return dy;
  }
}

void tt_map_f32(tt_function f, const float* x, int64_t n, float alpha, float beta, float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = value(f, x[i], alpha, beta);
}

void tt_map_grad_f32(tt_function f, const float* dy, const float* saved, int64_t n, float alpha,
                     float* dx) {
  for (int64_t i = 0; i < n; ++i) dx[i] = gradient(f, dy[i], saved[i], alpha);
}

void tt_mask_scale_f32(const float* x, const uint8_t* mask, int64_t n, float set, float clear,
                       float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] * (mask[i / 8] >> (i % 8) & 1 ? set : clear);
}

void tt_combine_f32(tt_arithmetic op, const tt_operand* x, const tt_operand* y, int64_t rows,
                    int64_t cols, float* z) {
  for (int64_t i = 0; i < rows; ++i, z += cols) {
    const float* a = x->data + i * x->row;
    const float* b = y->data + i * y->row;
    for (int64_t j = 0; j < cols; ++j) {
      const float u = a[j * x->col], v = b[j * y->col];
      z[j] = op == TT_ADD ? u + v : op == TT_SUB ? u - v : op == TT_MUL ? u * v : u / v;
    }
  }
}
