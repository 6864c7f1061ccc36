// Layers of 8-bit integers, compiled once for every instruction set. Sums are exact, so the bits
// are those of the portable kernels.
#include <algorithm>
#include <cstring>
#include <type_traits>

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

constexpr int kPixels = kLanes >= 16 ? 12 : 6;  // of a tile: what the registers hold
constexpr int kColumns = 2;                     // vectors of output channels of a tile
constexpr int32_t kMaxPairs = 768;              // of factors of one element of y

// Those of 0 .. count - 1 for which `first + i * step` lies in [0, end).
struct Range {
  int32_t begin, end;
};
Range inside(int32_t first, int32_t step, int32_t count, int32_t end) {
  const int32_t begin = first < 0 ? (-first + step - 1) / step : 0;
  const int32_t stop = end > first ? (end - first + step - 1) / step : 0;
  return {std::min(begin, count), std::min(stop, count)};
}

void shifted_levels(const int8_t* x, int32_t n, int32_t zero, int16_t* to) {
  const hn::Rebind<int8_t, D16> bytes;
  constexpr auto kStep = static_cast<int32_t>(hn::MaxLanes(kD16));
  const auto shift = hn::Set(kD16, static_cast<int16_t>(zero));
  int32_t i = 0;
  for (; i + kStep <= n; i += kStep) {
    hn::StoreU(hn::Sub(hn::PromoteTo(kD16, hn::LoadU(bytes, x + i)), shift), kD16, to + i);
  }
  constexpr hn::CappedTag<int16_t, 8> kFew;  // channels of small layers
  const hn::Rebind<int8_t, hn::CappedTag<int16_t, 8> > few_bytes;
  const auto few_shift = hn::Set(kFew, static_cast<int16_t>(zero));
  constexpr auto kFewStep = static_cast<int32_t>(hn::MaxLanes(kFew));
  for (; i + kFewStep <= n; i += kFewStep) {
    const auto levels = hn::PromoteTo(kFew, hn::LoadU(few_bytes, x + i));
    hn::StoreU(hn::Sub(levels, few_shift), kFew, to + i);
  }
  for (; i < n; ++i) to[i] = static_cast<int16_t>(x[i] - zero);
}

// One of y.
struct Pixel {
  int64_t image = 0;
  int32_t row = 0, column = 0;

  void advance(const tt_conv2d_shape& s) {
    if (++column < s.out_w) return;
    column = 0;
    if (++row < s.out_h) return;
    row = 0;
    ++image;
  }
};

// The factors (x - x_zero) of one pixel of y, in pairs, as the weights lie: [kh][kw][ci]. Those
// in the padding are 0.
void gather(const tt_conv2d_shape& s, const tt_requantize& q, const int8_t* x, const Pixel& pixel,
            int32_t* to) {
  const int32_t oh = pixel.row, ow = pixel.column;
  const int8_t* const from = x + pixel.image * s.in_h * s.in_w * s.in_c;
  const int32_t top = oh * s.stride_h - s.pad_top, left = ow * s.stride_w - s.pad_left;
  const int32_t c = s.in_c, row = s.kernel_w * c;
  auto* const factors = reinterpret_cast<int16_t*>(to);
  if (row * s.kernel_h % 2 != 0) factors[row * s.kernel_h] = 0;
  const Range columns = inside(left, s.dilation_w, s.kernel_w, s.in_w);
  const bool is_whole = columns.begin == 0 && columns.end == s.kernel_w;
  // Taps that lie together are taken at once.
  const int32_t run = s.dilation_w == 1 ? std::max(columns.end - columns.begin, 1) : 1;
  for (int32_t kh = 0; kh < s.kernel_h; ++kh) {
    const int32_t ih = top + kh * s.dilation_h;
    const bool is_outside = ih < 0 || ih >= s.in_h;
    int16_t* const taps = factors + kh * row;
    if (is_outside || !is_whole) std::memset(taps, 0, static_cast<size_t>(row) * sizeof(int16_t));
    if (is_outside) continue;
    for (int32_t kw = columns.begin; kw < columns.end; kw += run) {
      const int64_t tap = int64_t{ih} * s.in_w + left + kw * s.dilation_w;
      shifted_levels(from + tap * c, run * c, q.x_zero, taps + kw * c);
    }
  }
}

// kRows x (kColumns vectors) sums over the pairs [begin, end) of k factors. `load(v, row)`:
// weights.
template <int kRows, class Load>
HWY_INLINE void add_pairs(const int32_t* factors, int32_t begin, int32_t end, int32_t k,
                          const Load& load, VI (&sums)[kRows][kColumns],
                          VI (&rests)[kRows][kColumns]) {
  for (int32_t pair = begin; pair < end; ++pair) {
    VI weights[kColumns];
    unroll<kColumns>([&](auto v) TINYTL_INLINE {
      const VI second = 2 * pair + 1 < k ? load(v, 2 * pair + 1) : hn::Zero(kDI);
      weights[v] = pairs(load(v, 2 * pair), second);
    });
    unroll<kRows>([&](auto r) TINYTL_INLINE {
      const VI x = hn::Set(kDI, factors[r * ((k + 1) / 2) + pair]);
      unroll<kColumns>([&](auto v) TINYTL_INLINE {
        sums[r][v] = add_products(x, weights[v], sums[r][v], rests[r][v]);
      });
    });
  }
}

// kRows pixels x (kColumns vectors) elements of y.
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
  const auto row_of = [&](auto v, int32_t row)
                          TINYTL_INLINE { return w + int64_t{row} * out_c + channel + v * kLanes; };
  // Whole vectors may be read where they end within the weights: what is too much is not written.
  const int64_t over = int64_t{channel} + kColumns * kLanes;  // in a row
  const int64_t whole_rows = (int64_t{k} * out_c - over) / out_c + 1;
  const auto whole_pairs =
      static_cast<int32_t>(over > int64_t{k} * out_c ? 0 : std::min<int64_t>(k, whole_rows) / 2);
  add_pairs<kRows>(
      factors, 0, whole_pairs, k,
      [&](auto v, int32_t row) TINYTL_INLINE { return load_levels(row_of(v, row)); }, sums, rests);
  add_pairs<kRows>(
      factors, whole_pairs, (k + 1) / 2, k,
      [&](auto v, int32_t row) TINYTL_INLINE { return load_levels(row_of(v, row), width[v]); },
      sums, rests);
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
  Pixel at;
  const auto tiles = [&](auto rows, int64_t first) TINYTL_INLINE {
    for (int r = 0; r < rows; ++r, at.advance(*s)) {
      gather(*s, *q, x, at, factors + r * ((k + 1) / 2));
    }
    for (int32_t channel = 0; channel < s->out_c; channel += kColumns * kLanes) {
      tile<rows>(*q, factors, k, w, s->out_c, channel, y + first * s->out_c);
    }
    return first + rows;
  };
  int64_t pixel = 0;
  while (pixel + kPixels <= pixels) pixel = tiles(std::integral_constant<int, kPixels>(), pixel);
  while (pixel + 4 <= pixels) pixel = tiles(std::integral_constant<int, 4>(), pixel);
  while (pixel < pixels) pixel = tiles(std::integral_constant<int, 1>(), pixel);
}

constexpr int32_t kMaxTaps = 49;  // 7 x 7

// One block of kLanes channels of a depthwise convolution.
class DepthwiseBlock {
 public:
  DepthwiseBlock(const tt_conv2d_shape& s, const tt_requantize& q, const int8_t* w, int32_t channel)
      : s_(s),
        q_(q),
        channel_(channel),
        n_(static_cast<size_t>(std::min(kLanes, s.in_c - channel))),
        zero_(hn::Set(kDI, q.x_zero)) {
    for (int32_t t = 0; t < s.kernel_h * s.kernel_w; ++t) {
      // The upper half of a lane is the second factor of a pair, here 0.
      weights_[t] = pairs(load_levels(w + int64_t{t} * s.in_c + channel, n_), hn::Zero(kDI));
    }
  }

  // Row `oh` of y, of the rows of one image.
  void row(const int8_t* image, int32_t oh, int8_t* y) const {
    const int32_t top = oh * s_.stride_h - s_.pad_top;
    const Range rows = inside(top, s_.dilation_h, s_.kernel_h, s_.in_h);
    const int32_t reach = (s_.kernel_w - 1) * s_.dilation_w;
    const Range whole = inside(-s_.pad_left, s_.stride_w, s_.out_w, s_.in_w - reach);
    int32_t ow = 0;
    const bool fits = n_ == static_cast<size_t>(kLanes);  // vectors may be read whole
    for (; ow < std::min(whole.begin, s_.out_w); ++ow) edge(image, top, rows, ow, y);
    for (; fits && ow + kTogether <= whole.end; ow += kTogether) {
      pixels<kTogether>(image, top, rows, {0, s_.kernel_w}, ow, y);
    }
    for (; ow < s_.out_w; ++ow) edge(image, top, rows, ow, y);
  }

 private:
  static constexpr int kTogether = 4;

  void edge(const int8_t* image, int32_t top, Range rows, int32_t ow, int8_t* y) const {
    const int32_t left = ow * s_.stride_w - s_.pad_left;
    pixels<1>(image, top, rows, inside(left, s_.dilation_w, s_.kernel_w, s_.in_w), ow, y);
  }

  // kPixels neighbours of y from ow on, of the taps in these rows and columns. `top`: the row of x
  // under the first row of taps.
  template <int kPixels>
  HWY_INLINE void pixels(const int8_t* image, int32_t top, Range rows, Range columns, int32_t ow,
                         int8_t* y) const {
    VI sums[kPixels], rests[kPixels];
    unroll<kPixels>([&](auto p) TINYTL_INLINE { sums[p] = rests[p] = hn::Zero(kDI); });
    const int64_t c = s_.in_c;
    const int64_t left = ow * s_.stride_w - s_.pad_left, step = s_.stride_w * c;
    for (int32_t kh = rows.begin; kh < rows.end; ++kh) {
      const int64_t row = (top + int64_t{kh} * s_.dilation_h) * s_.in_w + left;
      for (int32_t kw = columns.begin; kw < columns.end; ++kw) {
        const VI weight = weights_[kh * s_.kernel_w + kw];
        const int8_t* const x = image + (row + int64_t{kw} * s_.dilation_w) * c + channel_;
        unroll<kPixels>([&](auto p) TINYTL_INLINE {
          const VI level = kPixels > 1 ? load_levels(x + p * step) : load_levels(x, n_);
          sums[p] = add_products(hn::Sub(level, zero_), weight, sums[p], rests[p]);
        });
      }
    }
    unroll<kPixels>([&](auto p) TINYTL_INLINE {
      finish(q_, whole(sums[p], rests[p]), channel_, n_,
             y + (ow + static_cast<int64_t>(p)) * c + channel_);
    });
  }

  const tt_conv2d_shape& s_;
  const tt_requantize& q_;
  const int32_t channel_;
  const size_t n_;  // channels
  const VI zero_;
  VI weights_[kMaxTaps];
};

void depthwise_q8(const tt_conv2d_shape* s, const tt_requantize* q, const int8_t* x,
                  const int8_t* w, int8_t* y) {
  if (s->kernel_h * s->kernel_w > kMaxTaps) return tt_depthwise_q8(s, q, x, w, y);
  for (int32_t channel = 0; channel < s->in_c; channel += kLanes) {
    const DepthwiseBlock block(*s, *q, w, channel);
    for (int64_t row = 0; row < int64_t{s->batch} * s->out_h; ++row) {
      const int64_t image = row / s->out_h;
      block.row(x + image * s->in_h * s->in_w * s->in_c, static_cast<int32_t>(row % s->out_h),
                y + row * s->out_w * s->in_c);
    }
  }
}

void mask_q8(const int8_t* y, int64_t n, int32_t low, int32_t high, uint8_t* mask) {
  const hn::ScalableTag<int8_t> d;
  const auto step = static_cast<int64_t>(hn::Lanes(d));
  const auto over = hn::Set(d, static_cast<int8_t>(low)),
             under = hn::Set(d, static_cast<int8_t>(high));
  int64_t i = 0;
  for (; i + step <= n; i += step) {
    const auto level = hn::LoadU(d, y + i);
    const auto within = hn::And(hn::Gt(level, over), hn::Lt(level, under));
    hn::StoreMaskBits(d, within, mask + i / 8);
  }
  tt_mask_q8(y + i, n - i, low, high, mask + i / 8);
}

}  // namespace

void fill_integers(tt_kernels& table) {
  table.mask_q8 = mask_q8;
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
