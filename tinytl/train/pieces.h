// Which regions of a network to run in pieces, and in how many: part of the search of fit_budget.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/runtime/program.h"
#include "engine/schedule/tile.h"

namespace tinytl {

// The network's regions, and how finely each is cut so far: at first, not at all.
class Pieces {
 public:
  explicit Pieces(const Graph& network);

  std::vector<Tiling> tilings() const;

  // The region to cut more finely so that the node or tensor of that name needs less; none where
  // there is none. A region that is cut already goes first, then one by channels, then the longest.
  std::optional<size_t> region_for(std::string_view name) const;

  // Into smaller pieces: possible, useful so far, and no region that it shares nodes with is cut.
  bool can_cut(size_t r) const;
  void cut(size_t r) { pieces_[r] = finer(r); }
  int64_t count(size_t r) const { return pieces_[r]; }

  // What the last cut of `r` did. After two useless ones in a row the last is undone, and the
  // region is cut no further.
  void count_useful(size_t r) { useless_[r] = 0; }
  void count_useless(size_t r, int64_t before);

 private:
  int64_t finer(size_t r) const;
  bool overlaps_cut_region(size_t r) const;

  std::vector<Region> regions_;
  std::vector<int64_t> pieces_;
  std::vector<int> useless_;  // cuts in a row that did not help
  std::map<std::string, std::vector<size_t>, std::less<>>
      of_name_;  // of its nodes and what they write
};

// By region: the most bytes alive at any step that it could make smaller.
using Heat = std::map<size_t, size_t>;

// Adds each step with more than `target` alive to the region that most of these bytes belong to.
// O(buffers * steps).
void add_heat(const Program& program, const Pieces& pieces, size_t target, Heat& heat);

}  // namespace tinytl
