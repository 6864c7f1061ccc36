// Randomness as a function of explicit numbers (seed, epoch, sample), never of call order or
// thread, so that a resumed run draws exactly what the uninterrupted one would have drawn.
#pragma once

#include <cstdint>
#include <string_view>

namespace tinytl {

// A bijection of 64-bit integers whose output looks random (the finaliser of splitmix64).
uint64_t mix_bits(uint64_t x);

// The same on every platform, unlike std::hash.
uint64_t hash_text(std::string_view text);

// A hash as a number in [0, 1).
double unit_interval(uint64_t hash);

// The stream of draws that belongs to one (seed, epoch, sample).
class Random {
 public:
  Random(uint64_t seed, uint64_t epoch, uint64_t sample);

  uint64_t bits();
  double uniform(double low = 0, double high = 1);  // in [low, high)
  int below(int count);                             // in [0, count)

 private:
  uint64_t state_;
};

// A shuffle of 0..size-1 in constant memory: a Feistel network on the next power of four, walked
// until it lands inside. Any position can be asked for directly, which makes resuming free.
class Permutation {
 public:
  Permutation(uint64_t size, uint64_t seed, uint64_t epoch);

  uint64_t operator()(uint64_t position) const;

 private:
  uint64_t encrypt(uint64_t x) const;

  uint64_t size_, key_;
  int half_bits_ = 1;
};

}  // namespace tinytl
