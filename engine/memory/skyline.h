// The top of what is placed so far, by section; the state of skyline_search.
#pragma once

#include "engine/memory/problem.h"

namespace tinytl {

struct Range {  // of sections, inclusive
  int first = 0, last = -1;
};

// Every change can be undone, the last one first. All costs are in the sections of the change.
class Skyline {
 public:
  static constexpr size_t kFull = SIZE_MAX;  // height of a section with nothing left to place

  Skyline(const Problem& problem, size_t capacity);

  // Puts the item on its sections, which must be all of one height.
  void place(int item);
  // From now on nothing may lie directly on the skyline in this section.
  void skip(int section);
  // Gives up the room up to `height` in a valley whose sections are all skipped.
  void raise(const Range& valley, size_t height);

  size_t changes() const { return changes_.size(); }
  // Undoes all but the first `changes`. The sections touched by those `within` a range, as a range.
  Range undo_to(size_t changes, const Range& within);

  size_t capacity() const { return capacity_; }
  int sections() const { return static_cast<int>(height_.size()); }
  size_t height(int section) const { return height_[at(section)]; }
  bool is_skipped(int section) const { return skipped_[at(section)] != 0; }
  bool is_placed(int item) const { return placed_[at(item)] != 0; }
  // What a section can lose without growing above the capacity.
  size_t slack(int section) const {
    return capacity_ - height_[at(section)] - remaining_[at(section)];
  }
  // No unplaced item is alive in this section and the next.
  bool is_wall_after(int section) const { return crossing_[at(section)] == 0; }
  // Of the skyline of these sections and of the unplaced items that start there.
  uint64_t hash(const Range& part) const;

  const std::vector<size_t>& offsets() const { return offset_; }

 private:
  struct Change {
    enum class Kind : uint8_t { kPlace, kSkip, kRaise } kind;
    Range range;
    size_t height;  // before
    int item;       // of kPlace
  };

  static size_t at(int i) { return static_cast<size_t>(i); }
  void undo(const Change& change);

  const std::vector<Item>& items_;
  const size_t capacity_;
  // By section.
  std::vector<size_t> height_, remaining_;  // `remaining_`: units still to be placed
  std::vector<char> skipped_;
  std::vector<int> crossing_;            // unplaced items alive here and in the next section
  std::vector<uint64_t> unplaced_hash_;  // of those that start here
  // By item.
  std::vector<char> placed_;
  std::vector<size_t> offset_;

  std::vector<Change> changes_;
};

// splitmix64: one number into another that looks like chance.
uint64_t hash_bits(uint64_t x);

}  // namespace tinytl
