#include "engine/ops/row8_layers.h"

#include <cstring>

#include "engine/ops/product.h"

namespace tinytl {
namespace {

constexpr int64_t kLeastPixels = 8;  // of a product, which lays out its weights for each strip

int64_t product_rows(const tt_gemm& g) { return strip_rows(g.m, int64_t{g.k} + g.n, kLeastPixels); }

size_t bytes_of(int64_t floats) { return static_cast<size_t>(floats) * sizeof(float); }

// Of dy that `rows` rows of dx read, at most.
int32_t window_rows(const tt_conv2d_shape& s, int32_t rows) {
  const int32_t reach = (s.kernel_h - 1) * s.dilation_h;
  return std::min(s.out_h, (rows - 1 + reach) / s.stride_h + 1);
}

int32_t rows_of_dx(const tt_conv2d_shape& s) {
  return static_cast<int32_t>(strip_rows(s.in_h, int64_t{s.in_w} * s.in_c, 1));
}

// What an epilogue leaves of `n` elements from element `from` on.
void keep(const KernelArgs& t, const tt_epilogue& epilogue, int64_t from, int64_t n, float* dx) {
  const tt_epilogue end = shifted(epilogue, from);
  if (end.keep != nullptr) t.kernels().mask_apply(dx, end.keep, n, dx);
  if (end.keep_within != nullptr) {
    t.kernels().clip_grad(dx, end.keep_within, n, end.low, end.high, dx);
  }
}

}  // namespace

size_t row8_product_scratch(const tt_gemm& g, const TensorType& w, Row8Sides sides,
                            const tt_kernels& kernels) {
  const int64_t rows = product_rows(g);
  const int64_t floats = (sides.dx ? padded(rows * g.n) : 0) + (sides.dy ? padded(rows * g.k) : 0);
  return bytes_of(floats) + product_scratch(g, w, kernels);
}

void row8_product(const KernelArgs& t, const tt_gemm& g, size_t a, std::optional<size_t> acc) {
  const int64_t step = product_rows(g);
  auto* const room = static_cast<float*>(t.scratch());
  float* const a_room = room + (is_row8(t.out_type()) ? padded(step * g.n) : 0);
  float* const scratch = a_room + (is_row8(t.type(a)) ? padded(step * g.k) : 0);
  for_each_strip(t, t.share(g.m, kLeastPixels), step, room, [&](Share rows, float* y) {
    if (acc.has_value()) copy_rows(t, *acc, rows, y);
    tt_gemm part = g;
    part.m = static_cast<int32_t>(rows.size());
    part.a = rows_of_input(t, a, rows, a_room);
    part.c = y;
    part.epilogue = shifted(g.epilogue, rows.begin * g.n);
    t.kernels().gemm(&part, scratch);
  });
}

size_t row8_conv2d_scratch(const tt_conv2d_shape& s, bool is_q8, Row8Sides sides,
                           const tt_kernels& kernels) {
  const int32_t rows = rows_of_dx(s);
  const int64_t dx = int64_t{rows} * s.in_w * s.in_c;
  const int64_t dy = int64_t{window_rows(s, rows)} * s.out_w * s.out_c;
  return bytes_of((sides.dx ? padded(dx) : 0) + (sides.dy ? padded(dy) : 0)) +
         kernels.conv2d_grad_input_scratch_bytes(&s, is_q8 ? 1 : 0);
}

void row8_conv2d_grad_input(const KernelArgs& t, const tt_conv2d_shape& s,
                            const tt_epilogue& epilogue) {
  const int32_t step = rows_of_dx(s);
  const tt_weights w = t.weights(1);
  auto* const room = static_cast<float*>(t.scratch());
  float* const dy_room =
      room + (is_row8(t.out_type()) ? padded(int64_t{step} * s.in_w * s.in_c) : 0);
  const int64_t dy_floats = int64_t{window_rows(s, step)} * s.out_w * s.out_c;
  float* const scratch = dy_room + (is_row8(t.type(0)) ? padded(dy_floats) : 0);
  const Share all = t.share(int64_t{s.batch} * s.in_h, s.stride_h);
  for_each_run_of_rows(all.begin, all.end, s.in_h, [&](int64_t image, int32_t row, int32_t count) {
    for (int32_t r = row; r < row + count; r += step) {
      const RowsPart part = grad_input_rows(s, r, std::min(step, row + count - r));
      const int64_t from = (image * s.out_h + part.first) * s.out_w;
      const int64_t to = (image * s.in_h + r) * s.in_w;
      const Share pixels{to, to + int64_t{part.shape.in_h} * s.in_w};
      const float* dy =
          rows_of_input(t, 0, {from, from + int64_t{part.shape.out_h} * s.out_w}, dy_room);
      float* const dx = place_of_rows(t, to, room);
      const tt_epilogue end = shifted(epilogue, to * s.in_c);
      t.kernels().conv2d_grad_input(&part.shape, dy, &w, &end, dx, scratch);
      finish_rows(t, pixels, dx);
    }
  });
}

namespace {

// How a depthwise gradient is cut up, and where its parts lie in scratch.
struct DepthwiseStrips {
  DepthwiseStrips(const tt_conv2d_shape& s, bool is_q8, Row8Sides sides,
                  std::optional<int32_t> delay) {
    constexpr int64_t kGrain = 16, kFloats = kStripFloats / 2;  // for dx, and for the rest
    const int64_t dx_row = int64_t{s.in_w} * s.in_c;
    rows = delay.has_value()
               ? 1
               : static_cast<int32_t>(std::clamp<int64_t>(kFloats / dx_row, 1, s.in_h));
    const int64_t window = int64_t{window_rows(s, rows)} * s.out_w, pixels = int64_t{rows} * s.in_w;
    const int64_t taps = int64_t{s.kernel_h} * s.kernel_w, of_w = is_q8 ? (taps + 3) / 4 : taps;
    const int64_t most = kFloats / (window + pixels + of_w) / kGrain * kGrain;
    channels = sides.dy ? std::min<int64_t>(s.in_c, std::max(kGrain, most)) : s.in_c;
    const bool whole = channels == s.in_c;
    block = sides.dx ? padded(pixels * s.in_c) : 0;
    dy = block + (whole ? 0 : padded(pixels * channels));
    w = dy + (sides.dy ? padded(window * channels) : 0);
    ring = w + (whole ? 0 : padded(of_w * channels));
    slot_bytes = bytes_of(s.in_w) + static_cast<size_t>(dx_row + 3) / 4 * 4;
    slots = delay.has_value() ? *delay + 1 : 0;
  }
  size_t bytes() const { return bytes_of(ring) + static_cast<size_t>(slots) * slot_bytes; }

  int32_t rows;                // of dx at a time
  int64_t channels;            // of dy at a time
  int64_t block, dy, w, ring;  // floats before: some channels of dx, of dy, of w, finished rows
  int32_t slots;               // rows of dx that wait until no later one reads dy under them
  size_t slot_bytes;           // scales, then codes
};

// The weights of some channels, without gaps.
tt_weights gathered(const tt_weights& w, int64_t taps, int64_t pitch, Share channels, float* room) {
  auto* const codes = reinterpret_cast<int8_t*>(room);
  const auto n = static_cast<size_t>(channels.size());
  for (int64_t i = 0; i < taps; ++i) {
    const int64_t from = i * pitch + channels.begin, to = i * channels.size();
    if (w.f32 != nullptr) std::memcpy(room + to, w.f32 + from, n * sizeof(float));
    if (w.q8 != nullptr) std::memcpy(codes + to, w.q8 + from, n);
  }
  if (w.f32 != nullptr) return {room, nullptr, nullptr};
  return {nullptr, codes, w.scale + channels.begin};
}

class DepthwiseGradInput {
 public:
  DepthwiseGradInput(const KernelArgs& t, const tt_conv2d_shape& s, const tt_epilogue& epilogue,
                     const DepthwiseStrips& strips)
      : t_(t), s_(s), epilogue_(epilogue), strips_(strips) {}

  // Rows of dx of an image, in f32.
  void compute(int64_t image, int32_t row, int32_t count, float* dx) const {
    const RowsPart part = grad_input_rows(s_, row, count);
    const int64_t from = (image * s_.out_h + part.first) * s_.out_w;
    const Share pixels{from, from + int64_t{part.shape.out_h} * s_.out_w};
    for (int64_t c = 0; c < s_.in_c; c += strips_.channels) {
      compute(part.shape, pixels, {c, std::min<int64_t>(s_.in_c, c + strips_.channels)}, dx);
    }
    const int64_t to = (image * s_.in_h + row) * s_.in_w * s_.in_c;
    keep(t_, epilogue_, to, int64_t{count} * s_.in_w * s_.in_c, dx);
  }

  float* scratch(int64_t floats) const { return static_cast<float*>(t_.scratch()) + floats; }

 private:
  void compute(tt_conv2d_shape shape, Share pixels, Share channels, float* dx) const {
    const bool whole = channels.size() == s_.in_c;
    float* const block = whole ? dx : scratch(strips_.block);
    const float* dy = scratch(strips_.dy);
    if (is_row8(t_.type(0))) {
      decode(t_, 0, pixels, channels, scratch(strips_.dy));
    } else {
      dy = t_.f32(0) + pixels.begin * s_.out_c;
    }
    const int64_t taps = int64_t{s_.kernel_h} * s_.kernel_w;
    const tt_weights w = whole
                             ? t_.weights(1)
                             : gathered(t_.weights(1), taps, s_.in_c, channels, scratch(strips_.w));
    shape.in_c = shape.out_c = shape.groups = static_cast<int32_t>(channels.size());
    const tt_epilogue none{};
    t_.kernels().depthwise_grad_input(&shape, dy, &w, &none, block);
    if (whole) return;
    for (int64_t p = 0; p < int64_t{shape.in_h} * s_.in_w; ++p) {
      std::memcpy(dx + p * s_.in_c + channels.begin, block + p * channels.size(),
                  bytes_of(channels.size()));
    }
  }

  const KernelArgs& t_;
  const tt_conv2d_shape& s_;
  const tt_epilogue& epilogue_;
  const DepthwiseStrips& strips_;
};

// Of an image whose dx lies over its dy.
void run_over_rows(const KernelArgs& t, const tt_conv2d_shape& s, const DepthwiseGradInput& layer,
                   const DepthwiseStrips& strips, int64_t image) {
  const int64_t columns = int64_t{s.in_w} * s.in_c;
  auto* const ring = reinterpret_cast<std::byte*>(layer.scratch(strips.ring));
  auto* const scale = reinterpret_cast<float*>(t.out_i8() + t.out_type().scale_offset());
  const auto slot = [&](int32_t row) {
    return ring + static_cast<size_t>(row % strips.slots) * strips.slot_bytes;
  };
  const int32_t delay = strips.slots - 1;
  for (int32_t row = 0; row < s.in_h + delay; ++row) {
    if (row < s.in_h) {
      layer.compute(image, row, 1, layer.scratch(0));
      auto* const scales = reinterpret_cast<float*>(slot(row));
      t.kernels().encode_rows(layer.scratch(0), s.in_w, s.in_c,
                              reinterpret_cast<int8_t*>(scales + s.in_w), scales);
    }
    const int32_t done = row - delay;
    if (done < 0) continue;
    const int64_t to = image * s.in_h + done;
    const auto* const scales = reinterpret_cast<const float*>(slot(done));
    std::memcpy(scale + to * s.in_w, scales, bytes_of(s.in_w));
    std::memcpy(t.out_i8() + to * columns, scales + s.in_w, static_cast<size_t>(columns));
  }
}

}  // namespace

size_t row8_depthwise_scratch(const tt_conv2d_shape& s, bool is_q8, Row8Sides sides,
                              std::optional<int32_t> delay) {
  return DepthwiseStrips(s, is_q8, sides, delay).bytes();
}

void row8_depthwise_grad_input(const KernelArgs& t, const tt_conv2d_shape& s,
                               const tt_epilogue& epilogue, int32_t delay) {
  const bool in_place = t.out_i8() == t.i8(0);
  const DepthwiseStrips strips(s, t.weights(1).q8 != nullptr,
                               {is_row8(t.type(0)), is_row8(t.out_type())},
                               in_place ? std::optional(delay) : std::nullopt);
  const DepthwiseGradInput layer(t, s, epilogue, strips);
  const Share all = t.share(int64_t{s.batch} * s.in_h, in_place ? s.in_h : s.stride_h);
  for_each_run_of_rows(all.begin, all.end, s.in_h, [&](int64_t image, int32_t row, int32_t count) {
    if (in_place) return run_over_rows(t, s, layer, strips, image);
    for (int32_t r = row; r < row + count; r += strips.rows) {
      const int32_t n = std::min(strips.rows, row + count - r);
      const int64_t to = (image * s.in_h + r) * s.in_w;
      float* const dx = place_of_rows(t, to, layer.scratch(0));
      layer.compute(image, r, n, dx);
      finish_rows(t, {to, to + int64_t{n} * s.in_w}, dx);
    }
  });
}

}  // namespace tinytl
