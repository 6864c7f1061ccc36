#include "engine/memory/skyline.h"

#include <algorithm>

namespace tinytl {

uint64_t hash_bits(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

Skyline::Skyline(const Problem& problem, size_t capacity)
    : items_(problem.items), capacity_(capacity) {
  const size_t sections = at(problem.sections);
  height_.assign(sections, 0);
  remaining_.assign(sections, 0);
  skipped_.assign(sections, 0);
  crossing_.assign(sections, 0);
  unplaced_hash_.assign(sections, 0);
  placed_.assign(items_.size(), 0);
  offset_.assign(items_.size(), 0);
  for (size_t i = 0; i < items_.size(); ++i) {
    const Item& item = items_[i];
    unplaced_hash_[at(item.first)] ^= hash_bits(i);
    for (int s = item.first; s <= item.last; ++s) {
      remaining_[at(s)] += item.size;
      crossing_[at(s)] += s < item.last;
    }
  }
}

void Skyline::place(int i) {
  const Item& item = items_[at(i)];
  const size_t ground = height(item.first);
  changes_.push_back({Change::Kind::kPlace, {item.first, item.last}, ground, i});
  placed_[at(i)] = 1;
  offset_[at(i)] = ground;
  unplaced_hash_[at(item.first)] ^= hash_bits(at(i));
  for (int s = item.first; s <= item.last; ++s) {
    remaining_[at(s)] -= item.size;
    crossing_[at(s)] -= s < item.last;
    height_[at(s)] = remaining_[at(s)] == 0 ? kFull : ground + item.size;
  }
}

void Skyline::skip(int section) {
  changes_.push_back({Change::Kind::kSkip, {section, section}, height(section), 0});
  skipped_[at(section)] = 1;
}

void Skyline::raise(const Range& valley, size_t new_height) {
  changes_.push_back({Change::Kind::kRaise, valley, height(valley.first), 0});
  for (int s = valley.first; s <= valley.last; ++s) {
    height_[at(s)] = new_height;
    skipped_[at(s)] = 0;
  }
}

Range Skyline::undo_to(size_t changes, const Range& within) {
  Range touched{sections(), -1};
  while (changes_.size() > changes) {
    const Change& change = changes_.back();
    if (within.first <= change.range.first && change.range.last <= within.last) {
      touched.first = std::min(touched.first, change.range.first);
      touched.last = std::max(touched.last, change.range.last);
    }
    undo(change);
    changes_.pop_back();
  }
  return touched;
}

void Skyline::undo(const Change& change) {
  for (int s = change.range.first; s <= change.range.last; ++s) {
    height_[at(s)] = change.height;
    skipped_[at(s)] = change.kind == Change::Kind::kRaise;
  }
  if (change.kind != Change::Kind::kPlace) return;
  const Item& item = items_[at(change.item)];
  placed_[at(change.item)] = 0;
  unplaced_hash_[at(item.first)] ^= hash_bits(at(change.item));
  for (int s = item.first; s <= item.last; ++s) {
    remaining_[at(s)] += item.size;
    crossing_[at(s)] += s < item.last;
  }
}

uint64_t Skyline::hash(const Range& part) const {
  uint64_t hash = hash_bits(at(part.first));
  for (int s = part.first; s <= part.last; ++s) {
    const uint64_t state = 2 * height_[at(s)] + static_cast<uint64_t>(skipped_[at(s)]);
    hash = hash_bits(hash ^ hash_bits(state ^ unplaced_hash_[at(s)]));
  }
  return hash;
}

}  // namespace tinytl
