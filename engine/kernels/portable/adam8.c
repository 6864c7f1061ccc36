// Adam with its state in 8 bits. The formulas are in kernels.h, the codes in adam8.h.
#include "engine/kernels/portable/adam8.h"

#include <math.h>

#include "engine/kernels/portable/portable.h"

static float decode(uint32_t code, int32_t mantissa) {
  const uint32_t bits = (code + ((uint32_t)TT_ADAM8_EXPONENT << mantissa)) << (23 - mantissa);
  return tt_float_of_bits(bits) - kTtAdam8Shift;
}

// Up with the probability of the part that is lost: `random` is below 2^(23 - mantissa).
static uint32_t encode(float x, int32_t mantissa, uint32_t most, uint32_t random) {
  const uint32_t bits = tt_float_bits(x + kTtAdam8Shift) + random;
  const uint32_t code = (bits >> (23 - mantissa)) - ((uint32_t)TT_ADAM8_EXPONENT << mantissa);
  return code < most ? code : most;
}

static uint32_t hash(uint32_t element, uint32_t gradient, uint32_t salt) {
  uint32_t h = element * 0x9e3779b1u ^ gradient ^ salt;
  h = (h ^ h >> 16) * 0x85ebca6bu;
  h = (h ^ h >> 13) * 0xc2b2ae35u;
  return h ^ h >> 16;
}

static float decode_mean(uint8_t code, float scale) {
  const float x = decode(code & 0x7fu, TT_ADAM8_MEAN_BITS) * scale;
  return code & 0x80u ? -x : x;
}

static float decode_root(uint8_t code, float scale) {
  const float x = decode(code, TT_ADAM8_ROOT_BITS);
  return (x > kTtAdam8LeastRoot ? x : kTtAdam8LeastRoot) * scale;
}

static void block(float* p, const float* g, uint8_t* m, uint8_t* v, float* m_scale, float* v_scale,
                  int64_t first, int64_t n, const tt_adam_step* s) {
  float mean[TT_ADAM8_BLOCK], root[TT_ADAM8_BLOCK], most_mean = 0.0f, most_root = 0.0f;
  const float step = s->rate / s->correction1, scale = sqrtf(s->correction2);
  const float shrink = s->decoupled ? s->rate * s->weight_decay : 0.0f;
  const float decay = s->decoupled ? 0.0f : s->weight_decay;
  for (int64_t i = 0; i < n; ++i) {
    const float start = p[i] - shrink * p[i];
    const float d = g[i] * s->grad_scale + decay * p[i];
    const float old_root = decode_root(v[i], *v_scale);
    mean[i] = s->beta1 * decode_mean(m[i], *m_scale) + (1.0f - s->beta1) * d;
    root[i] = sqrtf(s->beta2 * (old_root * old_root) + (1.0f - s->beta2) * (d * d));
    p[i] = start - step * mean[i] / (root[i] / scale + s->epsilon);
    most_mean = fabsf(mean[i]) > most_mean ? fabsf(mean[i]) : most_mean;
    most_root = root[i] > most_root ? root[i] : most_root;
  }
  *m_scale = tt_adam8_scale(most_mean);
  *v_scale = tt_adam8_scale(most_root);
  const float to_mean = tt_adam8_inverse(*m_scale), to_root = tt_adam8_inverse(*v_scale);
  const uint32_t salt = tt_adam8_salt(s);
  for (int64_t i = 0; i < n; ++i) {
    const uint32_t h = hash((uint32_t)(first + i), tt_float_bits(g[i]), salt);
    const uint32_t sign = tt_float_bits(mean[i]) >> 24 & 0x80u;
    const uint32_t code = encode(fabsf(mean[i]) * to_mean, TT_ADAM8_MEAN_BITS, 127, h >> 12);
    m[i] = (uint8_t)(code | sign);
    v[i] = (uint8_t)encode(root[i] * to_root, TT_ADAM8_ROOT_BITS, 255, h & 0x7ffffu);
  }
}

void tt_adam8_f32(float* p, const float* g, uint8_t* m, uint8_t* v, float* m_scale, float* v_scale,
                  int64_t first, int64_t n, const tt_adam_step* s) {
  for (int64_t i = 0; i < n; i += TT_ADAM8_BLOCK) {
    const int64_t size = n - i < TT_ADAM8_BLOCK ? n - i : TT_ADAM8_BLOCK;
    block(p + i, g + i, m + i, v + i, m_scale++, v_scale++, first + i, size, s);
  }
}
