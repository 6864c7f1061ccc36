// Parameter updates. The formulas are in kernels.h.
#include <math.h>

#include "engine/kernels/portable/portable.h"

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
