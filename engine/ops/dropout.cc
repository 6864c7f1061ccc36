// Dropout: y_i = x_i / (1 - p) with probability 1 - p, else 0. Srivastava et al., JMLR 2014.
//
// The choice for element i is a hash of (seed, i), the seed an input i32[2] that changes every
// step. The backward pass draws the same numbers again, so nothing is saved: dx = Dropout(dy,
// seed).

#include "engine/ops/dropout.h"

#include "engine/ops/op_helpers.h"
#include "engine/ops/op_table.h"

namespace tinytl {
namespace {

enum { kX, kSeed };

OutputTypes infer(const Node& node, InputTypes in) {
  check(in.size() == 2 && in[kSeed] == TensorType{DType::kI32, {2}}, node, in,
        "takes x and a seed i32[2]");
  const float rate = node.attributes.number("rate");
  check(rate >= 0 && rate < 1, node, in, "the rate must be in [0, 1)");
  return {in[kX]};
}

// SplitMix64 (Steele, Lea & Flood, OOPSLA 2014). The same as mix_bits of tinytl/data/random.h,
// which lies above this layer; what a mask is must not change with how data are drawn.
constexpr uint64_t kGolden = 0x9e3779b97f4a7c15ull;  // 2^64 / golden ratio

uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

void forward(const Node& node, const KernelArgs& t) {
  const float rate = node.attributes.number("rate");
  const float keep_scale = 1.0f / (1.0f - rate);
  const auto threshold = static_cast<uint32_t>(static_cast<double>(rate) * 4294967296.0);
  const uint64_t seed = (static_cast<uint64_t>(static_cast<uint32_t>(t.i32(kSeed)[0])) << 32) |
                        static_cast<uint32_t>(t.i32(kSeed)[1]);
  const float* x = t.f32(kX);
  float* y = t.out_f32();
  const Share share = t.share(t.out_type().elements(), 64);
  for (int64_t i = share.begin; i < share.end; ++i) {
    const uint64_t hash = mix(seed + kGolden * static_cast<uint64_t>(i + 1));
    const bool keep = static_cast<uint32_t>(hash >> 32) >= threshold;
    y[i] = keep ? x[i] * keep_scale : 0.0f;
  }
}

void vjp(GradBuilder& grad) {
  if (!grad.wants(kX)) return;
  grad.set(kX, grad.emit(kDropout, {grad.dy(), grad.node().input(kSeed)}, grad.node().attributes));
}

}  // namespace

uint64_t dropout_seed_from(uint64_t seed, int64_t first) {
  return seed + kGolden * static_cast<uint64_t>(first);
}

const OpDef kDropout{.name = "Dropout",
                     .infer = infer,
                     .forward = forward,
                     .vjp = vjp,
                     .divides = true,
                     .in_place = 1};

}  // namespace tinytl
