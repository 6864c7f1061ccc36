// Parameter updates. The formulas are in kernels.h.
#include <float.h>
#include <math.h>

#include "engine/kernels/portable/requantize.h"

void tt_sgd_f32(float* p, const float* g, float* v, int64_t n, float rate, float grad_scale,
                float momentum, int32_t nesterov, float weight_decay) {
  for (int64_t i = 0; i < n; ++i) {
    float d = g[i] * grad_scale + weight_decay * p[i];
    if (v) {
      v[i] = momentum * v[i] + d;
      d = nesterov ? d + momentum * v[i] : v[i];
    }
    p[i] -= rate * d;
  }
}

void tt_adam_f32(float* p, const float* g, float* m, float* v, int64_t n, float rate,
                 float grad_scale, float beta1, float beta2, float epsilon, float correction1,
                 float correction2, int32_t decoupled, float weight_decay) {
  const float step = rate / correction1, scale = sqrtf(correction2);
  const float shrink = decoupled ? rate * weight_decay : 0.0f;
  const float decay = decoupled ? 0.0f : weight_decay;
  for (int64_t i = 0; i < n; ++i) {
    const float start = p[i] - shrink * p[i];
    const float d = g[i] * grad_scale + decay * p[i];
    m[i] = beta1 * m[i] + (1.0f - beta1) * d;
    v[i] = beta2 * v[i] + (1.0f - beta2) * (d * d);
    p[i] = start - step * m[i] / (sqrtf(v[i]) / scale + epsilon);
  }
}

// How far a step of 1 along the gradient of the real parameter moves the integer one, which is
// `scale` times smaller; 0 where the parameter is 0 whatever its integer.
static float unit_of(float scale, int32_t qas) {
  const float inverse = scale > 0.0f ? 1.0f / scale : 0.0f;
  if (!(inverse <= FLT_MAX)) return 0.0f;
  return qas ? inverse : scale;
}

// In [0, 1): by the place and the bits of the gradient.
static float dither(int64_t place, float g) {
  uint32_t bits;
  memcpy(&bits, &g, sizeof bits);
  uint32_t h = (uint32_t)place * 0x9e3779b1u ^ bits * 0x85ebca6bu;
  h = (h ^ h >> 15) * 0xc2b2ae35u;
  h = (h ^ h >> 13) * 0x27d4eb2fu;
  return (float)((h ^ h >> 16) >> 8) * (1.0f / (1 << 24));
}

void tt_sgd_q8(int8_t* p, const float* g, const float* scale, int64_t rows, int64_t columns,
               int64_t first, const tt_integer_step* s) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      const int64_t i = r * columns + c;
      const float moved = (float)p[i] - s->rate * s->grad_scale * g[i] * unit_of(scale[c], s->qas);
      const float up = s->stochastic ? floorf(moved + dither(first + i, g[i])) : moved;
      if (moved == moved) p[i] = (int8_t)tt_nearest(up, -127.0f, 127.0f);
    }
  }
}

void tt_sgd_i32(int32_t* p, const float* g, const float* scale, float factor, int64_t n,
                const tt_integer_step* s) {
  for (int64_t i = 0; i < n; ++i) {
    const float step = s->rate * s->grad_scale * g[i] * unit_of(scale[i] * factor, s->qas);
    if (step != step) continue;
    const double moved = (double)p[i] - (double)step;
    const double whole = s->stochastic ? floor(moved + (double)dither(i, g[i])) : rint(moved);
    p[i] = (int32_t)(whole < INT32_MIN ? INT32_MIN : whole > INT32_MAX ? INT32_MAX : whole);
  }
}
