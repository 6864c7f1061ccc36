// The inner loop of depthwise convolution and of its input gradient: one vector of channels walks
// along a few rows of the result. Every input is loaded once and added to all sums it belongs to,
// which wait in registers until their last input has passed.
//
// Each result is its bias plus its products in the order in which their columns, and in a column
// the rows, are passed; products outside the image are left out. So its bits depend on nothing
// else: not on which rows or channels are computed together.
#include "engine/kernels/simd/vector-inl.h"

#if defined(TINYTL_ENGINE_KERNELS_SIMD_DEPTHWISE_WALK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TINYTL_ENGINE_KERNELS_SIMD_DEPTHWISE_WALK_INL_H_
#undef TINYTL_ENGINE_KERNELS_SIMD_DEPTHWISE_WALK_INL_H_
#else
#define TINYTL_ENGINE_KERNELS_SIMD_DEPTHWISE_WALK_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace tinytl {
namespace HWY_NAMESPACE {

// How inputs meet outputs along an axis, for K taps and a stride S. Outputs come in groups of
// kWrite; a group reads kSpan inputs, and the next group reads from kRead inputs further on.
// Forward, an output is a group, and input i of a group meets tap i. Backward (the input gradient:
// inputs are dy, outputs dx), S outputs are a group, and input kSpan - 1 - i meets taps i * S + s.
template <int K, int S, bool kBackward>
struct Taps {
  static constexpr int kSize = K;
  static constexpr int kRead = kBackward ? 1 : S;
  static constexpr int kWrite = kBackward ? S : 1;
  static constexpr int kSteps = (K + S - 1) / S;  // a group is complete after as many steps
  static constexpr int kSpan = kBackward ? kSteps : K;
  static constexpr int kSums = kSteps * kWrite;  // outputs of a row under way

  // The tap between input `i`, counted from the first one of group 0, and output `o` of group `g`;
  // not in [0, K) where there is none.
  static constexpr int tap(int i, int g, int o) {
    return kBackward ? (g + kSpan - 1 - i) * S + o : i - g * S;
  }
};

// One axis: `in` inputs, `out` outputs, and where group 0 reads and writes, maybe outside.
struct Axis {
  int64_t in, out, groups, read, write;
};

constexpr int64_t kBandFloats = 64 * 1024;  // of inputs that stay in L2 while channels pass

// Walks jump from pixel to pixel, which the processor's own prefetching does not follow. Where an
// image does not stay in L2, every column passed fetches one line of each of kRows rows that will
// be walked later. A vector of channels fetches its share of each row, one line after the other.
constexpr int64_t kLine = 16;                      // floats
constexpr int64_t kLargeFloats = 4 * kBandFloats;  // of an image

template <int kRows>
class Ahead {
 public:
  Ahead(const float* share, int64_t row, int64_t step)
      : at_(share ? share + row * step : nullptr), step_(step) {}
  HWY_INLINE void fetch() {
    if (at_ == nullptr) return;
    unroll<kRows>([&](auto i) TINYTL_INLINE { __builtin_prefetch(at_ + i * step_, 0, 2); });
    at_ += kLine;
  }

 private:
  const float* at_;
  int64_t step_;
};

// What walks: one vector of channels of one image.
struct Walk {
  const float* x;  // input row and column 0, of the vector's channels
  int64_t x_row, x_col;
  const float* w = nullptr;  // [taps][kLanes], aligned
  const float* bias = nullptr;
  float* y;  // output row and column 0
  int64_t y_row, y_col;
  // Null, or what to fetch into L2 while this walks (Ahead).
  const float *x_ahead = nullptr, *y_ahead = nullptr;
  const Axis *rows, *cols;
  size_t lanes;
};

HWY_INLINE int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }
HWY_INLINE int64_t floor_mod(int64_t a, int64_t b) { return a - floor_div(a, b) * b; }
HWY_INLINE bool within(int64_t i, int64_t size) {
  return static_cast<uint64_t>(i) < static_cast<uint64_t>(size);
}

// Walks along the groups of rows [group, group + kGroups). Where several rows all lie inside, the
// usual case, no column asks again.
template <class W, int kGroups, bool kPartial>
HWY_NOINLINE void walk(const Walk& k, int64_t group) {
  constexpr int kInRows = (kGroups - 1) * W::kRead + W::kSpan;
  constexpr int kOutRows = kGroups * W::kWrite;
  constexpr int kLast = W::kSteps - 1;
  constexpr bool kHold = W::kSize == 3;  // the weights in registers

  const int64_t in_row = k.rows->read + group * W::kRead;
  const int64_t out_row = k.rows->write + group * W::kWrite;
  unsigned in_rows = 0, out_rows = 0;  // which of them lie inside
  unroll<kInRows>([&](auto i) TINYTL_INLINE {
    in_rows |= static_cast<unsigned>(within(in_row + i, k.rows->in)) << i;
  });
  unroll<kOutRows>([&](auto o) TINYTL_INLINE {
    out_rows |= static_cast<unsigned>(within(out_row + o, k.rows->out)) << o;
  });

  V held[kHold ? W::kSize * W::kSize : 1];
  if constexpr (kHold) {
    unroll<W::kSize * W::kSize>([&](auto t)
                                    TINYTL_INLINE { held[t] = hn::Load(kD, k.w + t * kLanes); });
  }
  const float* const weights = k.w;
  const auto weight = [&](auto t) TINYTL_INLINE {
    if constexpr (kHold) return held[t];
    return hn::Load(kD, weights + t * kLanes);
  };
  const size_t lanes = k.lanes;
  const V start = k.bias ? load_some<kPartial>(k.bias, lanes) : hn::Zero(kD);
  V sum[kOutRows][W::kSums];
  unroll<kOutRows>([&](auto o) TINYTL_INLINE {
    unroll<W::kSums>([&](auto j) TINYTL_INLINE { sum[o][j] = start; });
  });

  // Unsigned, so that they may be negative, and UBSan need not check each.
  using Index = uint64_t;
  const Index x_row = Index(k.x_row), x_col = Index(k.x_col);
  const Index y_row = Index(k.y_row), y_col = Index(k.y_col);
  const Index in_cols = Index(k.cols->in), out_cols = Index(k.cols->out);
  const float* const x = k.x;
  float* const y = k.y;
  Index read = Index(k.cols->read), write = Index(k.cols->write - kLast * W::kWrite);
  Index from = Index(in_row) * x_row + read * x_col, to = Index(out_row) * y_row + write * y_col;
  Ahead<kGroups * W::kRead> x_ahead(k.x_ahead, in_row + W::kSpan - W::kRead, k.x_row);
  Ahead<kOutRows> y_ahead(k.y_ahead, out_row, k.y_row);
  const auto run = [&](auto all) TINYTL_INLINE {
    for (int64_t step = k.cols->groups + kLast; step > 0; --step) {
      unroll<W::kRead>([&](auto f) TINYTL_INLINE {
        if (read + f < in_cols) {
          unroll<kInRows>([&](auto i) TINYTL_INLINE {
            if (all || in_rows >> i & 1) {
              const V value = load_some<kPartial>(x + from + i * x_row, lanes);
              unroll<kOutRows>([&](auto o) TINYTL_INLINE {
                constexpr int kRowTap = W::tap(i, o / W::kWrite, o % W::kWrite);
                unroll<W::kSums>([&](auto j) TINYTL_INLINE {
                  constexpr int kColTap =
                      W::tap(f + kLast * W::kRead, j / W::kWrite, j % W::kWrite);
                  if constexpr (kRowTap >= 0 && kRowTap < W::kSize && kColTap >= 0 &&
                                kColTap < W::kSize) {
                    constexpr std::integral_constant<int, kRowTap * W::kSize + kColTap> kTap;
                    sum[o][j] = hn::MulAdd(value, weight(kTap), sum[o][j]);
                  }
                });
              });
            }
          });
        }
        from += x_col;
        x_ahead.fetch();
      });
      unroll<W::kWrite>([&](auto f) TINYTL_INLINE {
        if (write + f < out_cols) {
          unroll<kOutRows>([&](auto o) TINYTL_INLINE {
            if (all || out_rows >> o & 1) {
              store_some<kPartial>(sum[o][f], y + to + o * y_row, lanes);
            }
          });
        }
        to += y_col;
        if constexpr (W::kRead == W::kWrite) y_ahead.fetch();  // with a stride, x takes most time
      });
      unroll<kOutRows>([&](auto o) TINYTL_INLINE {
        unroll<W::kSums>([&](auto j) TINYTL_INLINE {
          if constexpr (j + W::kWrite < W::kSums) {
            sum[o][j] = sum[o][j + W::kWrite];
          } else {
            sum[o][j] = start;
          }
        });
      });
      read += W::kRead;
      write += W::kWrite;
    }
  };
  if constexpr (kGroups > 1) {
    if (in_rows + 1 == 1u << kInRows && out_rows + 1 == 1u << kOutRows) {
      return run(std::true_type());
    }
  }
  run(std::false_type());
}

}  // namespace HWY_NAMESPACE
}  // namespace tinytl
HWY_AFTER_NAMESPACE();

#endif
