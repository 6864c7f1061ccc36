#include "engine/graph/packed.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "engine/graph/error.h"

namespace tinytl {
namespace {

float* numbers_of(Tensor& packed) {
  return reinterpret_cast<float*>(packed.bytes().data() + packed.type().scale_offset());
}
const float* numbers_of(const Tensor& packed) { return numbers_of(const_cast<Tensor&>(packed)); }

using Table = std::array<float, kTableEntries>;

// The middle between equal steps from the least to the largest, and equal counts: the first reach
// the few large numbers, the second have the many small ones.
Table first_centres(std::span<const float> sorted) {
  Table table;
  const double low = sorted.front(), high = sorted.back();
  for (size_t k = 0; k < table.size(); ++k) {
    const double place = (static_cast<double>(k) + 0.5) / static_cast<double>(table.size());
    const auto rank = static_cast<size_t>(place * static_cast<double>(sorted.size()));
    table[k] = static_cast<float>(((low + (high - low) * place) + double{sorted[rank]}) / 2);
  }
  return table;
}

// Moves each centre to the mean of the numbers nearest to it. Whether any moved.
bool move_centres(std::span<const float> sorted, Table& table) {
  Table moved = table;
  size_t begin = 0;
  for (size_t k = 0; k < table.size(); ++k) {
    size_t end = begin;
    double sum = 0;
    const bool is_last = k + 1 == table.size();
    const double border = is_last ? 0 : (double{table[k]} + double{table[k + 1]}) / 2;
    for (; end < sorted.size() && (is_last || double{sorted[end]} < border); ++end) {
      sum += double{sorted[end]};
    }
    if (end > begin) moved[k] = static_cast<float>(sum / static_cast<double>(end - begin));
    begin = end;
  }
  const bool any = moved != table;
  table = moved;
  return any;
}

uint8_t nearest(const Table& table, float x) {
  const auto above = std::lower_bound(table.begin(), table.end(), x);
  if (above == table.begin()) return 0;
  if (above == table.end()) return static_cast<uint8_t>(table.size() - 1);
  const bool is_above = *above - x < x - above[-1];
  return static_cast<uint8_t>(above - table.begin() - (is_above ? 0 : 1));
}

}  // namespace

std::shared_ptr<Tensor> quantize_weights(const Tensor& weights) {
  constexpr float kLargest = 127;
  const std::span<const float> w = weights.f32();
  const auto entries = static_cast<size_t>(weights.type().shape.back());
  auto packed = std::make_shared<Tensor>(TensorType{DType::kQ8, weights.type().shape});
  auto* q = reinterpret_cast<int8_t*>(packed->bytes().data());
  float* scale = numbers_of(*packed);
  for (size_t i = 0; i < w.size(); ++i) {
    scale[i % entries] = std::max(scale[i % entries], std::abs(w[i]));
  }
  for (size_t c = 0; c < entries; ++c) scale[c] /= kLargest;
  for (size_t i = 0; i < w.size(); ++i) {
    const float s = scale[i % entries];
    const float steps = s > 0 ? std::round(w[i] / s) : 0;
    q[i] = static_cast<int8_t>(std::clamp(steps, -kLargest, kLargest));
  }
  return packed;
}

std::shared_ptr<Tensor> cluster_weights(const Tensor& weights) {
  constexpr int kRounds = 50;
  const std::span<const float> w = weights.f32();
  std::vector<float> sorted(w.begin(), w.end());
  std::ranges::sort(sorted);
  Table table = first_centres(sorted);
  for (int round = 0; round < kRounds && move_centres(sorted, table); ++round) {
  }
  auto packed = std::make_shared<Tensor>(TensorType{DType::kTable8, weights.type().shape});
  auto* index = reinterpret_cast<uint8_t*>(packed->bytes().data());
  for (size_t i = 0; i < w.size(); ++i) index[i] = nearest(table, w[i]);
  std::ranges::copy(table, numbers_of(*packed));
  return packed;
}

std::shared_ptr<Tensor> pack_weights(const Tensor& weights, DType dtype) {
  TT_ASSERT(is_packed(dtype));
  return dtype == DType::kQ8 ? quantize_weights(weights) : cluster_weights(weights);
}

void unpack(const Tensor& packed, std::span<float> values) {
  const TensorType& type = packed.type();
  TT_ASSERT(is_packed(type.dtype) && static_cast<int64_t>(values.size()) == type.elements());
  const float* numbers = numbers_of(packed);
  const std::byte* codes = packed.bytes().data();
  if (type.dtype == DType::kTable8) {
    for (size_t i = 0; i < values.size(); ++i) values[i] = numbers[static_cast<uint8_t>(codes[i])];
    return;
  }
  const auto entries = static_cast<size_t>(type.shape.back());
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(static_cast<int8_t>(codes[i])) * numbers[i % entries];
  }
}

std::shared_ptr<Tensor> part_of(const Tensor& packed, size_t dimension, int64_t begin,
                                int64_t size) {
  const TensorType& type = packed.type();
  TT_ASSERT(is_packed(type.dtype) && begin >= 0 && size > 0 && begin + size <= type.dim(dimension));
  TensorType part_type = type;
  part_type.shape[dimension] = size;
  auto part = std::make_shared<Tensor>(part_type);
  size_t inner = 1;  // elements of one entry of the dimension
  for (size_t d = dimension + 1; d < type.rank(); ++d) inner *= static_cast<size_t>(type.dim(d));
  const size_t whole_row = inner * static_cast<size_t>(type.dim(dimension));
  const size_t row = inner * static_cast<size_t>(size);
  const std::byte* from = packed.bytes().data() + inner * static_cast<size_t>(begin);
  std::byte* to = part->bytes().data();
  for (size_t done = 0; done < static_cast<size_t>(part_type.elements()); done += row) {
    std::memcpy(to + done, from, row);
    from += whole_row;
  }
  const bool cuts_scales = type.dtype == DType::kQ8 && dimension + 1 == type.rank();
  const float* numbers = numbers_of(packed) + (cuts_scales ? begin : 0);
  std::memcpy(numbers_of(*part), numbers, part_type.bytes() - part_type.scale_offset());
  return part;
}

}  // namespace tinytl
