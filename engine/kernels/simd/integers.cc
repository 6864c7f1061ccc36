// Layers of 8-bit integers, compiled once for every instruction set. Sums are exact, so the bits
// are those of the portable kernels.
#include <algorithm>
#include <cstring>

#include "engine/kernels/portable/requantize.h"
#include "engine/kernels/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/simd/integers.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#if HWY_TARGET == HWY_EMU128 || HWY_TARGET == HWY_SCALAR

namespace tinytl::HWY_NAMESPACE {
void fill_integers(tt_kernels&) {}
}  // namespace tinytl::HWY_NAMESPACE

#else

#include "engine/kernels/simd/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tinytl {
namespace HWY_NAMESPACE {
namespace {

using DI = hn::RebindToSigned<D>;
using VI = hn::Vec<DI>;
using D16 = hn::Repartition<int16_t, DI>;
constexpr DI kDI;
constexpr D16 kD16;

// Products are summed in pairs: a lane of 32 bits holds two factors of 16.
HWY_INLINE VI pairs(VI first, VI second) {
  return hn::Or(hn::And(first, hn::Set(kDI, 0xffff)), hn::ShiftLeft<16>(second));
}

HWY_INLINE VI load_levels(const int8_t* p) { return hn::PromoteTo(kDI, hn::LoadU(kBytes, p)); }

HWY_INLINE VI load_levels(const int8_t* p, size_t n) {
  if (n >= static_cast<size_t>(kLanes)) return load_levels(p);
  int8_t lanes[kLanes] = {};
  for (size_t i = 0; i < n; ++i) lanes[i] = p[i];
  return load_levels(lanes);
}

// sum + a[0] b[0] + a[1] b[1] of every lane; `rest` takes what this set adds elsewhere.
HWY_INLINE VI add_products(VI a, VI b, VI sum, VI& rest) {
  return hn::ReorderWidenMulAccumulate(kDI, hn::BitCast(kD16, a), hn::BitCast(kD16, b), sum, rest);
}

// Where a product of neighbours lands in two sums (NEON), lanes have to be brought together again.
HWY_INLINE VI whole(VI sum, VI rest) { return hn::RearrangeToOddPlusEven(sum, rest); }

HWY_INLINE VI biased(VI sum, VI bias) {
  const VI total = hn::Add(sum, bias);
  const VI over = hn::And(hn::Xor(total, sum), hn::Xor(total, bias));
  const VI limit = hn::Xor(hn::ShiftRight<31>(bias), hn::Set(kDI, INT32_MAX));
  return hn::IfThenElse(hn::Lt(over, hn::Zero(kDI)), limit, total);
}

// The levels of y of `n` channels from `channel` on.
HWY_INLINE void finish(const tt_requantize& q, VI sum, int32_t channel, size_t n, int8_t* y) {
  const bool partial = n < static_cast<size_t>(kLanes);
  if (q.fixed_point != 0 || (partial && !kMaskedMemory)) {
    int32_t lanes[kLanes];
    hn::StoreU(sum, kDI, lanes);
    for (size_t i = 0; i < n; ++i) {
      y[i] = tt_requantized(&q, lanes[i], channel + static_cast<int32_t>(i));
    }
    return;
  }
  const auto lanes = hn::FirstN(kDI, n);
  if (q.bias != nullptr) sum = biased(sum, hn::MaskedLoad(lanes, kDI, q.bias + channel));
  V m = hn::Set(kD, q.factor);
  if (q.scale != nullptr)
    m = hn::Mul(m, partial ? load_first(q.scale + channel, n) : load(q.scale + channel));
  const V low = hn::Set(kD, static_cast<float>(q.low - q.y_zero));
  const V high = hn::Set(kD, static_cast<float>(q.high - q.y_zero));
  const V level = hn::Min(hn::Max(hn::Mul(hn::ConvertTo(kD, sum), m), low), high);
  const VI rounded = hn::Add(hn::ConvertTo(kDI, hn::Round(level)), hn::Set(kDI, q.y_zero));
  const auto bytes = hn::DemoteTo(kBytes, rounded);
  if (!partial) return hn::StoreU(bytes, kBytes, y);
  int8_t some[kLanes];
  hn::StoreU(bytes, kBytes, some);
  std::memcpy(y, some, n);
}

constexpr int kPixels = 6;          // of a tile
constexpr int kColumns = 2;         // vectors of output channels of a tile
constexpr int32_t kMaxPairs = 768;  // of factors of one element of y

// The factors (x - x_zero) of one pixel of y, in pairs, as the weights lie: [kh][kw][ci]. Those
// in the padding are 0. Returns how many pairs.
int32_t gather(const tt_conv2d_shape& s, const tt_requantize& q, const int8_t* x, int64_t pixel,
               int32_t* to) {
  const int32_t ow = static_cast<int32_t>(pixel % s.out_w);
  const int32_t oh = static_cast<int32_t>(pixel / s.out_w % s.out_h);
  const int64_t image = pixel / (int64_t{s.out_h} * s.out_w);
  const int8_t* const from = x + image * s.in_h * s.in_w * s.in_c;
  auto* const factors = reinterpret_cast<int16_t*>(to);
  int32_t n = 0;
  for (int32_t kh = 0; kh < s.kernel_h; ++kh) {
    const int32_t ih = oh * s.stride_h - s.pad_top + kh * s.dilation_h;
    for (int32_t kw = 0; kw < s.kernel_w; ++kw) {
      const int32_t iw = ow * s.stride_w - s.pad_left + kw * s.dilation_w;
      const bool inside = ih >= 0 && ih < s.in_h && iw >= 0 && iw < s.in_w;
      if (!inside) {
        std::memset(factors + n, 0, static_cast<size_t>(s.in_c) * sizeof(int16_t));
      } else {
        const int8_t* const tap = from + (int64_t{ih} * s.in_w + iw) * s.in_c;
        for (int32_t c = 0; c < s.in_c; ++c) {
          factors[n + c] = static_cast<int16_t>(tap[c] - q.x_zero);
        }
      }
      n += s.in_c;
    }
  }
  if (n % 2 != 0) factors[n] = 0;
  return (n + 1) / 2;
}

// kPixels x (kColumns vectors) elements of y.
template <int kRows>
void tile(const tt_requantize& q, const int32_t* factors, int32_t k, const int8_t* w, int32_t out_c,
          int32_t channel, int8_t* y) {
  VI sums[kRows][kColumns], rests[kRows][kColumns];
  size_t width[kColumns];
  for (int v = 0; v < kColumns; ++v) {
    const int32_t left = out_c - channel - v * kLanes;
    width[v] = static_cast<size_t>(std::clamp(left, 0, kLanes));
  }
  unroll<kRows>([&](auto r) TINYTL_INLINE {
    unroll<kColumns>([&](auto v) TINYTL_INLINE { sums[r][v] = rests[r][v] = hn::Zero(kDI); });
  });
  for (int32_t pair = 0; 2 * pair < k; ++pair) {
    const int8_t* const row = w + int64_t{2} * pair * out_c + channel;
    const bool has_second = 2 * pair + 1 < k;
    VI weights[kColumns];
    unroll<kColumns>([&](auto v) TINYTL_INLINE {
      const VI first = load_levels(row + v * kLanes, width[v]);
      const VI second =
          has_second ? load_levels(row + out_c + v * kLanes, width[v]) : hn::Zero(kDI);
      weights[v] = pairs(first, second);
    });
    unroll<kRows>([&](auto r) TINYTL_INLINE {
      const VI x = hn::Set(kDI, factors[r * kMaxPairs + pair]);
      unroll<kColumns>([&](auto v) TINYTL_INLINE {
        sums[r][v] = add_products(x, weights[v], sums[r][v], rests[r][v]);
      });
    });
  }
  unroll<kRows>([&](auto r) TINYTL_INLINE {
    unroll<kColumns>([&](auto v) TINYTL_INLINE {
      if (width[v] == 0) return;
      finish(q, whole(sums[r][v], rests[r][v]), channel + static_cast<int32_t>(v) * kLanes,
             width[v], y + int64_t{r} * out_c + channel + v * kLanes);
    });
  });
}

void conv2d_q8(const tt_conv2d_shape* s, const tt_requantize* q, const int8_t* x, const int8_t* w,
               int8_t* y) {
  const int32_t k = s->kernel_h * s->kernel_w * s->in_c;
  if (s->groups != 1 || k > 2 * kMaxPairs) return tt_conv2d_q8(s, q, x, w, y);
  HWY_ALIGN int32_t factors[kPixels * kMaxPairs];
  const int64_t pixels = int64_t{s->batch} * s->out_h * s->out_w;
  for (int64_t pixel = 0; pixel < pixels; pixel += kPixels) {
    const auto rows = static_cast<int>(std::min<int64_t>(kPixels, pixels - pixel));
    for (int r = 0; r < rows; ++r) gather(*s, *q, x, pixel + r, factors + r * kMaxPairs);
    int8_t* const to = y + pixel * s->out_c;
    for (int32_t channel = 0; channel < s->out_c; channel += kColumns * kLanes) {
      if (rows == kPixels) {
        tile<kPixels>(*q, factors, k, w, s->out_c, channel, to);
        continue;
      }
      for (int r = 0; r < rows; ++r) {
        tile<1>(*q, factors + r * kMaxPairs, k, w, s->out_c, channel, to + int64_t{r} * s->out_c);
      }
    }
  }
}

constexpr int32_t kMaxTaps = 50;  // 7 x 7, and one for an even number

void depthwise_q8(const tt_conv2d_shape* s, const tt_requantize* q, const int8_t* x,
                  const int8_t* w, int8_t* y) {
  const int32_t taps = s->kernel_h * s->kernel_w, channels = s->in_c;
  if (taps >= kMaxTaps) return tt_depthwise_q8(s, q, x, w, y);
  const VI zero = hn::Set(kDI, q->x_zero);
  for (int32_t channel = 0; channel < channels; channel += kLanes) {
    const auto n = static_cast<size_t>(std::min(kLanes, channels - channel));
    VI weights[kMaxTaps];
    for (int32_t t = 0; t < taps; ++t) {
      weights[t] = load_levels(w + int64_t{t} * channels + channel, n);
    }
    for (int64_t pixel = 0; pixel < int64_t{s->batch} * s->out_h * s->out_w; ++pixel) {
      const int32_t ow = static_cast<int32_t>(pixel % s->out_w);
      const int32_t oh = static_cast<int32_t>(pixel / s->out_w % s->out_h);
      const int8_t* const image =
          x + pixel / (int64_t{s->out_h} * s->out_w) * s->in_h * s->in_w * channels + channel;
      VI sum = hn::Zero(kDI), rest = hn::Zero(kDI), held_x = sum, held_w = sum;
      bool holds = false;  // the first of a pair
      for (int32_t kh = 0; kh < s->kernel_h; ++kh) {
        const int32_t ih = oh * s->stride_h - s->pad_top + kh * s->dilation_h;
        if (ih < 0 || ih >= s->in_h) continue;
        for (int32_t kw = 0; kw < s->kernel_w; ++kw) {
          const int32_t iw = ow * s->stride_w - s->pad_left + kw * s->dilation_w;
          if (iw < 0 || iw >= s->in_w) continue;
          const VI level =
              hn::Sub(load_levels(image + (int64_t{ih} * s->in_w + iw) * channels, n), zero);
          const VI weight = weights[kh * s->kernel_w + kw];
          if (!holds) {
            held_x = level;
            held_w = weight;
          } else {
            sum = add_products(pairs(held_x, level), pairs(held_w, weight), sum, rest);
          }
          holds = !holds;
        }
      }
      if (holds) {
        sum = add_products(pairs(held_x, hn::Zero(kDI)), pairs(held_w, hn::Zero(kDI)), sum, rest);
      }
      finish(*q, whole(sum, rest), channel, n, y + pixel * channels + channel);
    }
  }
}

}  // namespace

void fill_integers(tt_kernels& table) {
  table.conv2d_q8 = conv2d_q8;
  table.depthwise_q8 = depthwise_q8;
}

}  // namespace HWY_NAMESPACE
}  // namespace tinytl
HWY_AFTER_NAMESPACE();

#endif

#if HWY_ONCE
namespace tinytl {

HWY_EXPORT(fill_integers);

void add_integers(tt_kernels& table) { HWY_DYNAMIC_DISPATCH(fill_integers)(table); }

}  // namespace tinytl
#endif
