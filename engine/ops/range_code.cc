// A saved activation in 8 or 4 bits, with a range for every entry of the last axis (a channel).
//
//   RangeEncode(x), attribute bits: code = (x - low) / step, low the least number of the channel
//     and low + step (2^bits - 1) its largest; the nearest with 8 bits, with 4 rounded up or down
//     by a hash of the place, so that sums over many places stay true.
//   RangeDecode(code): low + step code
//
// RangeEncode is put behind a value of the forward pass and RangeDecode in front of a backward node
// that reads it (autodiff/save_ranges.h; the idea: ActNN, Chen et al., ICML 2021). No gradients.

#include <algorithm>
#include <cmath>

#include "engine/ops/op_helpers.h"
#include "engine/ops/op_table.h"

namespace tinytl {
namespace {

OutputTypes infer_encode(const Node& node, InputTypes in) {
  check(in.size() == 1 && in[0].dtype == DType::kF32 && in[0].rank() > 0, node, in,
        "takes one f32 tensor of rank 1 or more");
  const bool is_4 = node.attributes.integer("bits") == 4;
  check(!is_4 || columns_of(in[0]) % 2 == 0, node, in, "4 bits need an even last dimension");
  return {{is_4 ? DType::kRange4 : DType::kRange8, in[0].shape}};
}

// A number in [0, 1) that is another for each place.
float dither(uint32_t place) {
  uint32_t h = place * 0x9e3779b1u;
  h = (h ^ h >> 15) * 0x85ebca6bu;
  return static_cast<float>((h ^ h >> 13) >> 8) * (1.0f / (1 << 24));
}

// low and step of the channels [begin, end), from their least and largest numbers.
void find_ranges(const float* x, int64_t rows, int64_t columns, Share channels, float levels,
                 float* low, float* step) {
  std::copy(x + channels.begin, x + channels.end, low + channels.begin);
  std::copy(x + channels.begin, x + channels.end, step + channels.begin);
  for (int64_t r = 1; r < rows; ++r) {
    const float* row = x + r * columns;
    for (int64_t c = channels.begin; c < channels.end; ++c) {
      low[c] = row[c] < low[c] ? row[c] : low[c];
      step[c] = row[c] > step[c] ? row[c] : step[c];
    }
  }
  for (int64_t c = channels.begin; c < channels.end; ++c) step[c] = (step[c] - low[c]) / levels;
}

void encode8(const float* x, int64_t rows, int64_t columns, Share channels, const float* low,
             const float* step, uint8_t* codes) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = channels.begin; c < channels.end; ++c) {
      const float steps = step[c] > 0 ? (x[r * columns + c] - low[c]) / step[c] + 0.5f : 0.0f;
      codes[r * columns + c] = static_cast<uint8_t>(static_cast<int32_t>(std::min(steps, 255.0f)));
    }
  }
}

// `halves`: channels of the first half of the axis; each byte also holds one of the second.
void encode4(const float* x, int64_t rows, int64_t columns, Share halves, const float* low,
             const float* step, uint8_t* codes) {
  const int64_t half = columns / 2;
  const auto code = [&](int64_t r, int64_t c) {
    const int64_t place = r * columns + c;
    const float steps = step[c] > 0 ? (x[place] - low[c]) / step[c] : 0.0f;
    const float up = steps + dither(static_cast<uint32_t>(place));
    return static_cast<int32_t>(std::min(up, 15.0f));
  };
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = halves.begin; c < halves.end; ++c) {
      codes[r * half + c] = static_cast<uint8_t>(code(r, c) | code(r, c + half) << 4);
    }
  }
}

void encode(const Node&, const KernelArgs& t) {
  constexpr int64_t kGrain = 16;
  const TensorType& type = t.out_type();
  const int64_t columns = columns_of(type), rows = rows_of(type);
  uint8_t* codes = t.out_bits();
  auto* low = reinterpret_cast<float*>(codes + type.scale_offset());
  float* step = low + columns;
  if (type.dtype == DType::kRange8) {
    const Share channels = t.share(columns, kGrain);
    if (channels.size() == 0) return;
    find_ranges(t.f32(0), rows, columns, channels, 255, low, step);
    encode8(t.f32(0), rows, columns, channels, low, step, codes);
    return;
  }
  const Share halves = t.share(columns / 2, kGrain);
  if (halves.size() == 0) return;
  const Share others{halves.begin + columns / 2, halves.end + columns / 2};
  for (const Share channels : {halves, others}) {
    find_ranges(t.f32(0), rows, columns, channels, 15, low, step);
  }
  encode4(t.f32(0), rows, columns, halves, low, step, codes);
}

OutputTypes infer_decode(const Node& node, InputTypes in) {
  check(in.size() == 1 && (in[0].dtype == DType::kRange8 || in[0].dtype == DType::kRange4), node,
        in, "takes one tensor of codes");
  return {{DType::kF32, in[0].shape}};
}

void decode(const Node&, const KernelArgs& t) {
  const TensorType& type = t.type(0);
  const int64_t columns = columns_of(type), half = columns / 2;
  const uint8_t* codes = t.bits(0);
  const auto* low = reinterpret_cast<const float*>(codes + type.scale_offset());
  const float* step = low + columns;
  const Share rows = t.share(rows_of(type));
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    float* y = t.out_f32() + r * columns;
    if (type.dtype == DType::kRange8) {
      const uint8_t* row = codes + r * columns;
      for (int64_t c = 0; c < columns; ++c) y[c] = low[c] + step[c] * static_cast<float>(row[c]);
      continue;
    }
    const uint8_t* row = codes + r * half;
    for (int64_t c = 0; c < half; ++c) {
      y[c] = low[c] + step[c] * static_cast<float>(row[c] & 15);
      y[c + half] = low[c + half] + step[c + half] * static_cast<float>(row[c] >> 4);
    }
  }
}

}  // namespace

const OpDef kRangeEncode{
    .name = "RangeEncode", .infer = infer_encode, .forward = encode, .divides = true};
const OpDef kRangeDecode{
    .name = "RangeDecode", .infer = infer_decode, .forward = decode, .divides = true};

}  // namespace tinytl
