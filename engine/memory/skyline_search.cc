#include "engine/memory/skyline_search.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "engine/memory/skyline.h"

namespace tinytl {
namespace {

constexpr int kNothing = -1;  // the option that no item lies there

size_t at(int i) { return static_cast<size_t>(i); }

bool meet(const Range& a, const Range& b) { return a.first <= b.last && b.first <= a.last; }

bool same(const Item& a, const Item& b) {
  return a.size == b.size && a.first == b.first && a.last == b.last && a.steps == b.steps;
}

// Hashes of parts of skylines above which the rest does not fit; a new one displaces an old one.
class FailedParts {
 public:
  bool contains(uint64_t hash) const { return table_[hash % kSize] == hash; }
  void add(uint64_t hash) { table_[hash % kSize] = hash; }

 private:
  static constexpr size_t kSize = size_t{1} << 16;
  std::vector<uint64_t> table_ = std::vector<uint64_t>(kSize, 0);
};

// Where to go on: what may lie at an end of a valley.
struct Choice {
  int section = -1;          // none if < 0
  std::vector<int> options;  // items, kNothing
};

struct Frame {
  Choice choice;
  Range part;       // all that the choice can have an influence on
  uint64_t hash;    // of the part
  size_t changes;   // of the skyline before the choice
  size_t next = 0;  // option
};

// What differs between attempts.
struct Strategy {
  enum Rule : uint8_t { kBalanced, kLarge, kLongLived } rule;  // which items are tried first
  bool tightest_first;  // go on where there is least to spare, else where the options are fewest
};

constexpr Strategy kStrategies[] = {
    {Strategy::kBalanced, true},
    {Strategy::kLarge, false},
    {Strategy::kLongLived, true},
    {Strategy::kBalanced, false},
};
constexpr int kStrategyCount = std::size(kStrategies);

// How early an item is tried; after the first round with chance in it. Equal items have equal
// keys.
double key(const Item& item, Strategy::Rule rule, int attempt) {
  const double steps = item.steps, size = static_cast<double>(item.size);
  const double value = rule == Strategy::kLarge       ? size
                       : rule == Strategy::kLongLived ? steps
                                                      : steps * std::sqrt(size);
  if (attempt < kStrategyCount) return value;
  uint64_t bits = item.size;
  for (const int x : {item.first, item.last, attempt}) bits = hash_bits(bits ^ at(x));
  return value * (0.5 + static_cast<double>(bits >> 11) * 0x1p-53);
}

class SkylineSearch {
 public:
  SkylineSearch(const Problem& problem, size_t capacity)
      : items_(problem.items), skyline_(problem, capacity) {
    starts_.resize(at(problem.sections));
    ends_.resize(at(problem.sections));
    for (size_t i = 0; i < items_.size(); ++i) {
      starts_[at(items_[i].first)].push_back(static_cast<int>(i));
      ends_[at(items_[i].last)].push_back(static_cast<int>(i));
    }
  }

  // Attempts in different orders, each with more effort than the one before.
  Fit run(size_t& effort, std::vector<size_t>& offsets) {
    size_t share = 4 * items_.size() * starts_.size() + 100'000;
    for (int attempt = 0; effort > 0; ++attempt) {
      const Strategy& strategy = kStrategies[attempt % kStrategyCount];
      sort_items(strategy.rule, attempt);
      tightest_first_ = strategy.tightest_first;
      effort_ = std::min(effort, share);
      effort -= effort_;
      const Fit fit = search();
      effort += effort_;
      if (fit == Fit::kFound) offsets = skyline_.offsets();
      if (fit != Fit::kGaveUp) return fit;
      frames_.clear();
      skyline_.undo_to(0, {});
      share += share / 4;
    }
    return Fit::kGaveUp;
  }

 private:
  enum class State : uint8_t { kSolved, kStuck, kChanged, kOpen };

  void sort_items(Strategy::Rule rule, int attempt) {
    std::vector<double> keys;
    for (const Item& item : items_) keys.push_back(key(item, rule, attempt));
    const auto rank = [&](int i) {  // equal items become neighbours
      const Item& item = items_[at(i)];
      return std::tuple(-keys[at(i)], item.size, item.first, item.last, item.steps, i);
    };
    const auto earlier = [&](int a, int b) { return rank(a) < rank(b); };
    for (auto& list : starts_) std::sort(list.begin(), list.end(), earlier);
    for (auto& list : ends_) std::sort(list.begin(), list.end(), earlier);
  }

  Fit search() {
    while (effort_ > 0) {
      Choice choice;
      Range part;
      const State state = advance(part, choice);
      if (state == State::kSolved) return Fit::kFound;
      const uint64_t hash = state == State::kOpen ? skyline_.hash(part) : 0;
      spend(part.last - part.first + 1);
      if (state == State::kStuck || failed_.contains(hash)) {
        if (!backtrack(part)) return Fit::kImpossible;
        continue;
      }
      frames_.push_back({std::move(choice), part, hash, skyline_.changes()});
      take_next(frames_.back());
    }
    return Fit::kGaveUp;
  }

  // Undoes choices, back to the last that has to do with the conflict, and takes its next option.
  bool backtrack(Range conflict) {
    while (!frames_.empty()) {
      Frame& frame = frames_.back();
      // What was changed outside of the part of a choice does not follow from it.
      if (meet(skyline_.undo_to(frame.changes, frame.part), conflict)) {
        if (frame.next < frame.choice.options.size()) {
          take_next(frame);
          return true;
        }
        failed_.add(frame.hash);
        conflict = frame.part;
      }
      frames_.pop_back();
    }
    return false;
  }

  void take_next(Frame& frame) { take(frame.choice.section, frame.choice.options[frame.next++]); }

  void take(int section, int option) {
    if (option == kNothing) {
      skyline_.skip(section);
    } else {
      skyline_.place(option);
      // To place it, and later to undo that.
      spend(2 * (items_[at(option)].last - items_[at(option)].first + 1));
    }
  }

  void spend(int effort) { effort_ -= std::min(effort_, at(effort)); }

  // Goes as far as there is no choice in the first part that is not done, then finds a choice.
  State advance(Range& part, Choice& choice) {
    for (int first = 0; first < skyline_.sections();) {
      if (skyline_.height(first) == Skyline::kFull) {
        ++first;
        continue;
      }
      part = {first, first};
      while (!skyline_.is_wall_after(part.last)) ++part.last;
      spend(part.last - part.first + 1);
      choice.section = -1;
      const State state = scan(part, choice);
      if (state != State::kChanged) return state;
    }
    return State::kSolved;
  }

  State scan(const Range& part, Choice& choice) {
    bool is_changed = false;
    for (int first = part.first; first <= part.last;) {
      Range run{first, first};
      const size_t height = skyline_.height(first);
      while (run.last < part.last && skyline_.height(run.last + 1) == height) ++run.last;
      const size_t left = run.first == part.first ? Skyline::kFull : skyline_.height(run.first - 1);
      const size_t right = run.last == part.last ? Skyline::kFull : skyline_.height(run.last + 1);
      if (left > height && right > height) {
        const State state = scan_valley(run, std::min({left, right, skyline_.capacity()}), choice);
        if (state == State::kStuck) return state;
        is_changed |= state == State::kChanged;
      }
      first = run.last + 1;
    }
    return is_changed ? State::kChanged : State::kOpen;
  }

  State scan_valley(const Range& valley, size_t slope, Choice& choice) {
    int open = 0;
    for (int s = valley.first; s <= valley.last; ++s) open += !skyline_.is_skipped(s);
    const size_t depth = slope - skyline_.height(valley.first);
    if (open == 0) {
      for (int s = valley.first; s <= valley.last; ++s) {
        if (skyline_.slack(s) < depth) return State::kStuck;
      }
      skyline_.raise(valley, slope);
      return State::kChanged;
    }
    const size_t lost = open == 1 ? depth : 1;  // at least, where nothing lies on an open section
    for (int first = valley.first; first <= valley.last;) {
      if (skyline_.is_skipped(first)) {
        ++first;
        continue;
      }
      Range ground{first, first};
      while (ground.last < valley.last && !skyline_.is_skipped(ground.last + 1)) ++ground.last;
      State state = scan_end(valley, ground, ground.first, depth, lost, choice);
      if (state != State::kOpen) return state;
      if (ground.first < ground.last) {
        state = scan_end(valley, ground, ground.last, depth, lost, choice);
        if (state != State::kOpen) return state;
      }
      first = ground.last + 1;
    }
    return State::kOpen;
  }

  // What may lie on `section`, an end of `ground`: the sections of `valley` not skipped around it.
  State scan_end(const Range& valley, const Range& ground, int section, size_t depth, size_t lost,
                 Choice& choice) {
    options_.clear();
    size_t fill = 0;  // units that can lie in this section between the slopes
    const std::vector<int>& candidates =
        section == ground.first ? starts_[at(section)] : ends_[at(section)];
    spend(static_cast<int>(candidates.size()) + 1);
    for (const int i : candidates) {
      const Item& item = items_[at(i)];
      if (skyline_.is_placed(i) || item.first < valley.first || item.last > valley.last) continue;
      fill += item.size;
      if (item.first < ground.first || item.last > ground.last) continue;
      if (!options_.empty() && same(items_[at(options_.back())], item)) continue;
      options_.push_back(i);
    }
    const size_t slack = skyline_.slack(section);
    const bool at_slope = section == (section == ground.first ? valley.first : valley.last);
    if (at_slope && fill < depth && depth - fill > slack) return State::kStuck;
    if (slack >= lost) options_.push_back(kNothing);
    if (options_.empty()) return State::kStuck;
    if (options_.size() == 1) {
      take(section, options_[0]);
      return State::kChanged;
    }
    if (is_better(section, choice)) choice = {section, options_};
    return State::kOpen;
  }

  bool is_better(int section, const Choice& than) const {
    if (than.section < 0) return true;
    const size_t slack = skyline_.slack(section), other_slack = skyline_.slack(than.section);
    const size_t count = options_.size(), other_count = than.options.size();
    return tightest_first_ ? std::tie(slack, count) < std::tie(other_slack, other_count)
                           : std::tie(count, slack) < std::tie(other_count, other_slack);
  }

  const std::vector<Item>& items_;
  Skyline skyline_;
  std::vector<std::vector<int>> starts_, ends_;  // items by section, in the order of trying
  std::vector<Frame> frames_;
  FailedParts failed_;
  std::vector<int> options_;  // of scan_end, kept for its memory
  size_t effort_ = 0;
  bool tightest_first_ = false;
};

}  // namespace

Fit fit_below(const Problem& problem, size_t capacity, size_t& effort,
              std::vector<size_t>& offsets) {
  if (capacity < problem.bound) return Fit::kImpossible;
  return SkylineSearch(problem, capacity).run(effort, offsets);
}

}  // namespace tinytl
