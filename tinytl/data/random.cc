#include "tinytl/data/random.h"

#include <algorithm>

namespace tinytl {
namespace {

constexpr uint64_t kGolden = 0x9E3779B97F4A7C15u;  // 2^64 / golden ratio, as in splitmix64

uint64_t combine(uint64_t a, uint64_t b) { return mix_bits(mix_bits(a + kGolden) ^ b); }

}  // namespace

uint64_t mix_bits(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

uint64_t hash_text(std::string_view text) {
  uint64_t hash = 0xCBF29CE484222325u;  // FNV-1a, mixed because its high bits are weak
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  return mix_bits(hash);
}

double unit_interval(uint64_t hash) { return static_cast<double>(hash >> 11) * 0x1p-53; }

Random::Random(uint64_t seed, uint64_t epoch, uint64_t sample)
    : state_(combine(combine(seed, epoch), sample)) {}

uint64_t Random::bits() { return mix_bits(state_ += kGolden); }

double Random::uniform(double low, double high) {
  return low + (high - low) * unit_interval(bits());
}

int Random::below(int count) {
  return std::min(count - 1, static_cast<int>(unit_interval(bits()) * count));
}

Permutation::Permutation(uint64_t size, uint64_t seed, uint64_t epoch)
    : size_(size), key_(combine(combine(seed, epoch), size)) {
  while (half_bits_ < 31 && (uint64_t{1} << (2 * half_bits_)) < size_) ++half_bits_;
}

uint64_t Permutation::operator()(uint64_t position) const {
  do {
    position = encrypt(position);
  } while (position >= size_);
  return position;
}

uint64_t Permutation::encrypt(uint64_t x) const {
  constexpr uint64_t kRounds = 6;
  const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
  uint64_t left = x >> half_bits_, right = x & mask;
  for (uint64_t round = 0; round < kRounds; ++round) {
    const uint64_t next = left ^ (combine(key_ + round, right) & mask);
    left = right;
    right = next;
  }
  return left << half_bits_ | right;
}

}  // namespace tinytl
