// Norms of groups of channels. Whole groups that fit into a strip of channels are worked on
// together, and a wider group strip by strip: a strip stays in the second-level cache from one pass
// over it to the next, and all sums have room on the stack. Sums have lanes in float for a block of
// pixels and totals in double, of one channel each: what a channel gives does not depend on the
// strip it is in.
#include "engine/kernels/simd/math-inl.h"

#if defined(TINYTL_ENGINE_KERNELS_SIMD_GROUP_NORM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TINYTL_ENGINE_KERNELS_SIMD_GROUP_NORM_INL_H_
#undef TINYTL_ENGINE_KERNELS_SIMD_GROUP_NORM_INL_H_
#else
#define TINYTL_ENGINE_KERNELS_SIMD_GROUP_NORM_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace tinytl {
namespace HWY_NAMESPACE {

constexpr int64_t kStrip = 64;        // channels
constexpr int64_t kPixelBlock = 128;  // summed in float

// Channels that are worked on together: whole groups, at most a strip, or one wider group.
struct GroupSpan {
  int64_t first, groups;  // numbered through the samples
  int64_t at;             // of its first element
  int64_t channel, width;
};

// fn(span) for the groups [first, last).
template <class F>
HWY_INLINE void for_spans(const tt_group_norm& s, int64_t first, int64_t last, F&& fn) {
  const int64_t of_sample = s.channels / s.group;
  const int64_t together = std::max<int64_t>(1, kStrip / s.group);
  while (first < last) {
    const int64_t sample = first / of_sample, g = first % of_sample;
    const int64_t count = std::min({last - first, of_sample - g, together});
    const int64_t channel = g * s.group;
    fn(GroupSpan{first, count, sample * s.pixels * s.channels + channel, channel, count * s.group});
    first += count;
  }
}

// fn(c, n) for the strips of a span: n channels from its channel c on.
template <class F>
HWY_INLINE void for_strips(const GroupSpan& span, F&& fn) {
  for (int64_t c = 0; c < span.width; c += kStrip) fn(c, std::min(kStrip, span.width - c));
}

using StripSums = double[kStrip];

// fn(j, vectors, at) for the n channels of a strip, so many vectors from channel j on at a time.
template <int kVecs, class F>
HWY_INLINE void for_columns(int64_t n, F&& fn) {
  int64_t j = 0;
  for (; j + kVecs * kLanes <= n; j += kVecs * kLanes) {
    fn(j, std::integral_constant<int, kVecs>{}, WholeVector{});
  }
  for (; j + kLanes <= n; j += kLanes) fn(j, std::integral_constant<int, 1>{}, WholeVector{});
  if (j < n) {
    fn(j, std::integral_constant<int, 1>{}, FirstLanes{static_cast<size_t>(n - j)});
  }
}

// total[t][j] = sum over pixels of terms(element, j, at)[t], for channels j < n of a strip.
template <size_t kTerms, class F>
HWY_INLINE void sum_pixels(const tt_group_norm& s, int64_t n, StripSums (&total)[kTerms],
                           F&& terms) {
  constexpr int kVecs = kTerms == 1 ? 4 : 2;
  for (StripSums& sums : total) std::fill_n(sums, n, 0.0);
  for (int64_t first = 0; first < s.pixels; first += kPixelBlock) {
    const int64_t last = std::min(s.pixels, first + kPixelBlock);
    float block[kTerms][kStrip + kLanes];
    for_columns<kVecs>(n, [&](int64_t j, auto vectors, auto at) TINYTL_INLINE {
      V sum[kTerms][vectors], odd[kTerms][vectors];
      for (size_t t = 0; t < kTerms; ++t) {
        unroll<vectors>([&](auto v) TINYTL_INLINE { sum[t][v] = odd[t][v] = hn::Zero(kD); });
      }
      const auto add = [&](V(&to)[kTerms][vectors], int64_t i) TINYTL_INLINE {
        unroll<vectors>([&](auto v) TINYTL_INLINE {
          const auto more = terms(i * s.channels + j + v * kLanes, j + v * kLanes, at);
          for (size_t t = 0; t < kTerms; ++t) to[t][v] = hn::Add(to[t][v], more.v[t]);
        });
      };
      int64_t i = first;
      for (; i + 2 <= last; i += 2) {
        add(sum, i);
        add(odd, i + 1);
      }
      if (i < last) add(sum, i);
      for (size_t t = 0; t < kTerms; ++t) {
        unroll<vectors>([&](auto v) TINYTL_INLINE {
          store(hn::Add(sum[t][v], odd[t][v]), block[t] + j + v * kLanes);
        });
      }
    });
    for (size_t t = 0; t < kTerms; ++t) {
      for (int64_t j = 0; j < n; ++j) total[t][j] += double{block[t][j]};
    }
  }
}

template <size_t kTerms>
struct Terms {
  V v[kTerms];
};

// By channel of every strip of a span.
struct GroupMoments {
  float mean[kStrip], inverse_std[kStrip];
};

// Of n values of one group: their mean, and the sum of squared distances from it.
struct Spread {
  double n = 0, mean = 0, squares = 0;
};

// Both sets together (Chan, Golub, LeVeque 1983).
HWY_INLINE Spread together(const Spread& a, const Spread& b) {
  if (a.n == 0) return b;
  const double n = a.n + b.n, distance = b.mean - a.mean;
  return {n, a.mean + distance * (b.n / n),
          a.squares + b.squares + distance * distance * (a.n * b.n / n)};
}

// Of `count` channels with the given means, each of `pixels` values.
HWY_INLINE Spread spread_of(const double* mean, const double* squares, int64_t count,
                            int64_t pixels) {
  double sum = 0, within = 0, between = 0;
  for (int64_t c = 0; c < count; ++c) sum += mean[c];
  const double center = sum / static_cast<double>(count);
  for (int64_t c = 0; c < count; ++c) {
    within += squares[c];
    between += (mean[c] - center) * (mean[c] - center);
  }
  const auto n = static_cast<double>(pixels);
  return {n * static_cast<double>(count), center, within + n * between};
}

// A number near those of each channel of a strip: the mean of its first pixels.
HWY_INLINE void first_means(const tt_group_norm& s, const float* x, int64_t n, float* near) {
  const int64_t pixels = std::min<int64_t>(8, s.pixels);
  const V share = set(1.0f / static_cast<float>(pixels));
  for_vectors(n, [&](int64_t j, auto at) TINYTL_INLINE {
    V sum = hn::Zero(kD);
    for (int64_t i = 0; i < pixels; ++i) sum = hn::Add(sum, at.get(x + i * s.channels + j));
    at.put(hn::Mul(sum, share), near + j);
  });
}

// mean[c] and squares[c] of every channel of a strip: sums of distances from a number near, so that
// one pass keeps the digits of numbers far from zero.
HWY_INLINE void channel_spreads(const tt_group_norm& s, const float* x, int64_t n, StripSums& mean,
                                StripSums& squares) {
  float near[kStrip];
  first_means(s, x, n, near);
  StripSums total[2];
  sum_pixels(s, n, total, [&](int64_t i, int64_t j, auto at) TINYTL_INLINE {
    const V d = hn::Sub(at.get(x + i), at.get(near + j));
    return Terms<2>{{d, hn::Mul(d, d)}};
  });
  const double share = 1.0 / static_cast<double>(s.pixels);
  for (int64_t c = 0; c < n; ++c) {
    mean[c] = double{near[c]} + total[0][c] * share;
    squares[c] = std::max(0.0, total[1][c] - total[0][c] * total[0][c] * share);
  }
}

// `moments` may be null; else it is that of tt_kernels::group_norm.
HWY_INLINE void moments_of(const tt_group_norm& s, const float* x, const GroupSpan& span,
                           GroupMoments* m, float* moments = nullptr) {
  Spread spreads[kStrip];
  for_strips(span, [&](int64_t c, int64_t n) TINYTL_INLINE {
    StripSums mean, squares;
    channel_spreads(s, x + span.at + c, n, mean, squares);
    const int64_t of_group = std::min<int64_t>(s.group, n);
    for (int64_t g = 0; g < span.groups; ++g) {
      const int64_t at = g * of_group;
      spreads[g] = together(spreads[g], spread_of(mean + at, squares + at, of_group, s.pixels));
    }
  });
  const int64_t width = std::min<int64_t>(s.group, kStrip);
  for (int64_t g = 0; g < span.groups; ++g) {
    const auto mean = static_cast<float>(spreads[g].mean);
    const auto variance = static_cast<float>(spreads[g].squares / spreads[g].n);
    std::fill_n(m->mean + g * width, width, mean);
    std::fill_n(m->inverse_std + g * width, width, 1.0f / std::sqrt(variance + s.epsilon));
    if (moments == nullptr) continue;
    moments[2 * (span.first + g)] = mean;
    moments[2 * (span.first + g) + 1] = variance;
  }
}

// fn(element, channel of the strip, at) for every vector of a strip.
template <class F>
HWY_INLINE void for_strip_vectors(const tt_group_norm& s, int64_t n, F&& fn) {
  for (int64_t i = 0; i < s.pixels; ++i) {
    for_vectors(n, [&](int64_t j, auto at) TINYTL_INLINE { fn(i * s.channels + j, j, at); });
  }
}

inline void group_norm(const tt_group_norm* shape, int64_t first, int64_t last, const float* x,
                       const float* scale, const float* bias, float* moments, float* y) {
  const tt_group_norm& s = *shape;
  for_spans(s, first, last, [&](const GroupSpan& span) TINYTL_INLINE {
    GroupMoments m;
    moments_of(s, x, span, &m, moments);
    for_strips(span, [&](int64_t c, int64_t n) TINYTL_INLINE {
      const float *from = x + span.at + c, *shift = bias + span.channel + c;
      float* to = y + span.at + c;
      float factor[kStrip];
      for (int64_t j = 0; j < n; ++j) factor[j] = m.inverse_std[j] * scale[span.channel + c + j];
      for_strip_vectors(s, n, [&](int64_t i, int64_t j, auto at) TINYTL_INLINE {
        const V d = hn::Sub(at.get(from + i), at.get(m.mean + j));
        at.put(hn::MulAdd(d, at.get(factor + j), at.get(shift + j)), to + i);
      });
    });
  });
}

// Of every channel of a strip: the sums of dy and of dy (x - mean).
HWY_INLINE void product_sums(const tt_group_norm& s, const float* dy, const float* x,
                             const GroupMoments& m, int64_t n, StripSums (&total)[2]) {
  sum_pixels(s, n, total, [&](int64_t i, int64_t j, auto at) TINYTL_INLINE {
    const V g = at.get(dy + i);
    return Terms<2>{{g, hn::Mul(g, hn::Sub(at.get(x + i), at.get(m.mean + j)))}};
  });
}

// What dx takes from each element besides dy: inverse_std mean(g), and inverse_std mean(g normal)
// for each unit of x - mean.
struct GroupMeans {
  float g[kStrip], gn[kStrip];
};

HWY_INLINE void gradient_means(const tt_group_norm& s, const float* dy, const float* x,
                               const float* scale, const GroupSpan& span, const GroupMoments& m,
                               GroupMeans* means) {
  double sums[kStrip] = {}, dots[kStrip] = {};
  for_strips(span, [&](int64_t c, int64_t n) TINYTL_INLINE {
    StripSums total[2];
    product_sums(s, dy + span.at + c, x + span.at + c, m, n, total);
    const int64_t of_group = std::min<int64_t>(s.group, n);
    const float* factor = scale + span.channel + c;
    for (int64_t g = 0; g < span.groups; ++g) {
      for (int64_t j = g * of_group; j < (g + 1) * of_group; ++j) {
        sums[g] += double{factor[j]} * total[0][j];
        dots[g] += double{factor[j]} * total[1][j];
      }
    }
  });
  const int64_t width = std::min<int64_t>(s.group, kStrip);
  const double count = static_cast<double>(s.pixels) * s.group;
  for (int64_t g = 0; g < span.groups; ++g) {
    const double inverse = double{m.inverse_std[g * width]};
    std::fill_n(means->g + g * width, width, static_cast<float>(inverse * sums[g] / count));
    std::fill_n(means->gn + g * width, width,
                static_cast<float>(inverse * inverse * inverse * dots[g] / count));
  }
}

inline void group_norm_grad_input(const tt_group_norm* shape, int64_t first, int64_t last,
                                  const float* dy, const float* x, const float* scale, float* dx) {
  const tt_group_norm& s = *shape;
  for_spans(s, first, last, [&](const GroupSpan& span) TINYTL_INLINE {
    GroupMoments m;
    GroupMeans means;
    moments_of(s, x, span, &m);
    gradient_means(s, dy, x, scale, span, m, &means);
    for_strips(span, [&](int64_t c, int64_t n) TINYTL_INLINE {
      const float *g = dy + span.at + c, *from = x + span.at + c;
      float* to = dx + span.at + c;
      float factor[kStrip];
      for (int64_t j = 0; j < n; ++j) factor[j] = m.inverse_std[j] * scale[span.channel + c + j];
      for_strip_vectors(s, n, [&](int64_t i, int64_t j, auto at) TINYTL_INLINE {
        const V d = hn::Sub(at.get(from + i), at.get(m.mean + j));
        const V own = hn::MulSub(at.get(g + i), at.get(factor + j), at.get(means.g + j));
        at.put(hn::NegMulAdd(d, at.get(means.gn + j), own), to + i);
      });
    });
  });
}

inline void group_norm_grad_scale(const tt_group_norm* shape, int64_t samples, int64_t first,
                                  int64_t last, const float* dy, const float* x, float* dscale) {
  const tt_group_norm& s = *shape;
  const int64_t of_sample = s.channels / s.group;
  std::fill(dscale + first * s.group, dscale + last * s.group, 0.0f);
  for (int64_t sample = 0; sample < samples; ++sample) {
    const int64_t base = sample * of_sample;
    for_spans(s, base + first, base + last, [&](const GroupSpan& span) TINYTL_INLINE {
      GroupMoments m;
      moments_of(s, x, span, &m);
      for_strips(span, [&](int64_t c, int64_t n) TINYTL_INLINE {
        StripSums total[2];
        product_sums(s, dy + span.at + c, x + span.at + c, m, n, total);
        float* out = dscale + span.channel + c;
        for (int64_t j = 0; j < n; ++j) {
          out[j] += static_cast<float>(total[1][j] * double{m.inverse_std[j]});
        }
      });
    });
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tinytl
HWY_AFTER_NAMESPACE();

#endif
