#include "bench/hard_instances.h"

#include <algorithm>
#include <random>

namespace tinytl {
namespace {

constexpr size_t kUnit = 64;

// The standard fixes the numbers of mt19937, not those of its distributions or of shuffle.
int below(int bound, std::mt19937& random) {
  return static_cast<int>(random() % static_cast<uint32_t>(bound));
}

void shuffle(std::vector<Lifetime>& tensors, std::mt19937& random) {
  for (size_t i = tensors.size(); i > 1; --i) {
    std::swap(tensors[i - 1], tensors[random() % i]);
  }
}

struct Rectangle {
  int first, last, begin, end;  // steps, inclusive; units
};

}  // namespace

std::vector<Lifetime> cut_rectangle(const CutRectangle& shape, uint64_t seed) {
  std::mt19937 random(static_cast<uint32_t>(seed));
  std::vector<Rectangle> pieces{{0, shape.steps - 1, 0, shape.units}};
  while (static_cast<int>(pieces.size()) < shape.count) {
    // The larger of three, so that sizes differ by orders of magnitude but few vanish.
    const auto area = [&](size_t p) {
      return int64_t{pieces[p].last - pieces[p].first + 1} * (pieces[p].end - pieces[p].begin);
    };
    size_t pick = random() % pieces.size();
    for (int i = 0; i < 2; ++i) {
      const size_t other = random() % pieces.size();
      if (area(other) > area(pick)) pick = other;
    }
    Rectangle& piece = pieces[pick];
    Rectangle rest = piece;
    // In time once for every three in space: long lifetimes, as of saved tensors.
    if (below(3, random) == 0) {
      if (piece.first == piece.last) continue;
      piece.last = piece.first + below(piece.last - piece.first, random);
      rest.first = piece.last + 1;
    } else {
      if (piece.end - piece.begin < 2) continue;
      piece.end = piece.begin + 1 + below(piece.end - piece.begin - 1, random);
      rest.begin = piece.end;
    }
    pieces.push_back(rest);
  }
  std::vector<Lifetime> tensors;
  for (const Rectangle& piece : pieces) {
    if (shape.removed_one_in > 0 && below(shape.removed_one_in, random) == 0) continue;
    const size_t bytes = static_cast<size_t>(piece.end - piece.begin) * kUnit;
    tensors.push_back({bytes, piece.first, piece.last});
  }
  shuffle(tensors, random);
  return tensors;
}

std::vector<Lifetime> random_lifetimes(const RandomLifetimes& shape, uint64_t seed) {
  std::mt19937 random(static_cast<uint32_t>(seed));
  std::vector<Lifetime> tensors(static_cast<size_t>(shape.count));
  for (Lifetime& t : tensors) {
    t.bytes = static_cast<size_t>(1 + below(shape.max_units, random)) * kUnit;
    t.first = below(shape.steps, random);
    t.last = std::min(shape.steps - 1, t.first + below(shape.max_steps, random));
  }
  return tensors;
}

std::vector<Lifetime> chain_lifetimes(const LayerChain& shape, uint64_t seed) {
  std::mt19937 random(static_cast<uint32_t>(seed));
  constexpr int kSteps = 4;  // of a layer in either pass
  const int end = 2 * kSteps * shape.layers;
  std::vector<Lifetime> tensors;
  const auto add = [&](int units, int first, int last) {
    tensors.push_back({static_cast<size_t>(units) * kUnit, first, std::min(last, end - 1)});
  };
  for (int layer = 0; layer < shape.layers; ++layer) {
    const int forward = kSteps * layer, backward = end - kSteps * (layer + 1);
    add(1 + below(shape.max_units, random), forward + 1, backward + below(3 * kSteps, random));
    for (const int start : {forward, backward}) {
      const int first = start + below(kSteps, random);
      add(1 + below(4 * shape.max_units, random), first, first + below(kSteps, random));
    }
  }
  shuffle(tensors, random);
  return tensors;
}

}  // namespace tinytl
