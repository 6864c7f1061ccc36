// Norms of groups of channels: the reference.
#include <math.h>

#include "engine/kernels/portable/portable.h"

enum { kBlock = 64 };  // terms summed in float, or those of one pixel; longer sums lose digits

typedef struct {
  float mean, variance, inverse_std;
} tt_moments;

// Where one group of one sample is: its first element, and its first channel.
typedef struct {
  int64_t at;
  int32_t channel;
} tt_place;

static tt_place place_of(const tt_group_norm* s, int64_t group) {
  const int64_t groups = s->channels / s->group;
  const int32_t channel = (int32_t)(group % groups) * s->group;
  const tt_place place = {group / groups * s->pixels * s->channels + channel, channel};
  return place;
}

static int64_t rows_of_block(const tt_group_norm* s) {
  return s->group < kBlock ? kBlock / s->group : 1;
}

// Sum over a group of (x - shift)^power, power 1 or 2.
static double sum_group(const tt_group_norm* s, const float* x, float shift, int power) {
  const int64_t rows = rows_of_block(s);
  double total = 0;
  for (int64_t i = 0; i < s->pixels; i += rows) {
    const int64_t end = s->pixels - i < rows ? s->pixels : i + rows;
    float block = 0.0f;
    for (int64_t p = i; p < end; ++p) {
      for (int32_t c = 0; c < s->group; ++c) {
        const float v = x[p * s->channels + c] - shift;
        block += power == 1 ? v : v * v;
      }
    }
    total += (double)block;
  }
  return total;
}

static tt_moments moments_of(const tt_group_norm* s, const float* x) {
  const double n = (double)s->pixels * s->group;
  tt_moments m;
  // From the first element on, so that numbers far from zero keep their digits.
  m.mean = (float)((double)x[0] + sum_group(s, x, x[0], 1) / n);
  m.variance = (float)(sum_group(s, x, m.mean, 2) / n);
  m.inverse_std = 1.0f / sqrtf(m.variance + s->epsilon);
  return m;
}

void tt_group_norm_f32(const tt_group_norm* s, int64_t first, int64_t last, const float* x,
                       const float* scale, const float* bias, float* moments, float* y) {
  for (int64_t g = first; g < last; ++g) {
    const tt_place place = place_of(s, g);
    const tt_moments m = moments_of(s, x + place.at);
    if (moments) {
      moments[2 * g] = m.mean;
      moments[2 * g + 1] = m.variance;
    }
    for (int64_t p = 0; p < s->pixels; ++p) {
      for (int32_t c = 0; c < s->group; ++c) {
        const int64_t i = place.at + p * s->channels + c;
        const int32_t k = place.channel + c;
        y[i] = (x[i] - m.mean) * m.inverse_std * scale[k] + bias[k];
      }
    }
  }
}

void tt_group_norm_grad_input_f32(const tt_group_norm* s, int64_t first, int64_t last,
                                  const float* dy, const float* x, const float* scale, float* dx) {
  const int64_t rows = rows_of_block(s);
  for (int64_t g = first; g < last; ++g) {
    const tt_place place = place_of(s, g);
    const tt_moments m = moments_of(s, x + place.at);
    double sum = 0, dot = 0;
    for (int64_t i = 0; i < s->pixels; i += rows) {
      const int64_t end = s->pixels - i < rows ? s->pixels : i + rows;
      float block_sum = 0.0f, block_dot = 0.0f;
      for (int64_t p = i; p < end; ++p) {
        for (int32_t c = 0; c < s->group; ++c) {
          const int64_t j = place.at + p * s->channels + c;
          const float t = dy[j] * scale[place.channel + c];
          block_sum += t;
          block_dot += t * ((x[j] - m.mean) * m.inverse_std);
        }
      }
      sum += (double)block_sum;
      dot += (double)block_dot;
    }
    const double n = (double)s->pixels * s->group;
    const float mean_g = (float)(sum / n), mean_gn = (float)(dot / n);
    for (int64_t p = 0; p < s->pixels; ++p) {
      for (int32_t c = 0; c < s->group; ++c) {
        const int64_t i = place.at + p * s->channels + c;
        const float normal = (x[i] - m.mean) * m.inverse_std;
        dx[i] = m.inverse_std * (dy[i] * scale[place.channel + c] - mean_g - normal * mean_gn);
      }
    }
  }
}

// Sum over the pixels of one channel of dy (x - mean).
static double channel_product(const tt_group_norm* s, const float* dy, const float* x, float mean) {
  double total = 0;
  for (int64_t i = 0; i < s->pixels; i += kBlock) {
    const int64_t end = s->pixels - i < kBlock ? s->pixels : i + kBlock;
    float block = 0.0f;
    for (int64_t p = i; p < end; ++p) block += dy[p * s->channels] * (x[p * s->channels] - mean);
    total += (double)block;
  }
  return total;
}

void tt_group_norm_grad_scale_f32(const tt_group_norm* s, int64_t samples, int64_t first,
                                  int64_t last, const float* dy, const float* x, float* dscale) {
  const int64_t groups = s->channels / s->group;
  for (int64_t g = first; g < last; ++g) {
    float* out = dscale + g * s->group;
    for (int32_t c = 0; c < s->group; ++c) out[c] = 0.0f;
    for (int64_t sample = 0; sample < samples; ++sample) {
      const tt_place place = place_of(s, sample * groups + g);
      const tt_moments m = moments_of(s, x + place.at);
      for (int32_t c = 0; c < s->group; ++c) {
        const int64_t at = place.at + c;
        const double sum = channel_product(s, dy + at, x + at, m.mean);
        out[c] += (float)(sum * (double)m.inverse_std);
      }
    }
  }
}
