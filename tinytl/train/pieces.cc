#include "tinytl/train/pieces.h"

#include <algorithm>
#include <tuple>

namespace tinytl {
namespace {

constexpr int kPatience = 2;

}  // namespace

Pieces::Pieces(const Graph& network) : regions_(find_regions(network)) {
  pieces_.resize(regions_.size(), 1);
  useless_.resize(regions_.size(), 0);
  for (size_t r = 0; r < regions_.size(); ++r) {
    for (const NodeId id : regions_[r].nodes) {
      const Node& node = network.node(id);
      const std::string& result =
          network.value(node.output()).name;  // the model file's, or the node's
      of_name_[node.name].push_back(r);
      if (result != node.name) of_name_[result].push_back(r);
    }
  }
}

std::vector<Tiling> Pieces::tilings() const {
  std::vector<Tiling> result;
  for (size_t r = 0; r < regions_.size(); ++r) {
    if (pieces_[r] > 1) result.push_back({regions_[r], pieces_[r]});
  }
  return result;
}

std::optional<size_t> Pieces::region_for(std::string_view name) const {
  const auto found = of_name_.find(name.substr(0, name.rfind(" [")));
  if (found == of_name_.end()) return std::nullopt;
  const auto rank = [&](size_t r) {
    return std::tuple(pieces_[r] > 1, regions_[r].cut == Cut::kChannels, regions_[r].nodes.size());
  };
  std::optional<size_t> best;
  for (const size_t r : found->second) {
    if (!can_cut(r)) continue;
    if (!best.has_value() || rank(r) > rank(*best)) best = r;
  }
  return best;
}

bool Pieces::can_cut(size_t r) const {
  return finer(r) != pieces_[r] && useless_[r] < kPatience && !overlaps_cut_region(r);
}

void Pieces::count_useless(size_t r, int64_t before) {
  if (++useless_[r] >= kPatience) pieces_[r] = before;
}

int64_t Pieces::finer(size_t r) const {
  const Region& region = regions_[r];
  if (region.cut == Cut::kRows) {
    const int64_t twice = 2 * pieces_[r];
    return twice * 2 <= region.extent ? twice : pieces_[r];
  }
  const int64_t now = channels_of_piece({region, pieces_[r]});
  constexpr int64_t kFewest = 8;
  if (now <= kFewest) return pieces_[r];
  const int64_t half = std::max(kFewest, now / 2 / kFewest * kFewest);
  return (region.extent + half - 1) / half;
}

bool Pieces::overlaps_cut_region(size_t r) const {
  for (size_t other = 0; other < regions_.size(); ++other) {
    if (other == r || pieces_[other] == 1) continue;
    for (const NodeId id : regions_[other].nodes) {
      if (std::ranges::find(regions_[r].nodes, id) != regions_[r].nodes.end()) return true;
    }
  }
  return false;
}

void add_heat(const Program& program, const Pieces& pieces, size_t target, Heat& heat) {
  const std::vector<size_t> live =
      live_bytes_by_step(program.buffers.lifetimes, 64, program.schedule.order.size());
  std::vector<std::map<size_t, size_t>> bytes_of_region(live.size());
  for (size_t b = 0; b < program.buffers.lifetimes.size(); ++b) {
    const Lifetime& t = program.buffers.lifetimes[b];
    if (program.buffers.values[b].empty()) continue;  // scratch goes with its node's tensors
    const ValueId first = program.buffers.values[b].front();
    const auto region = pieces.region_for(program.graph.value(first).name);
    if (!region.has_value()) continue;
    for (size_t s = size_t(t.first); s <= size_t(t.last); ++s) {
      if (live[s] > target) bytes_of_region[s][*region] += t.bytes;
    }
  }
  for (size_t s = 0; s < live.size(); ++s) {
    const auto most = std::ranges::max_element(
        bytes_of_region[s], [](const auto& a, const auto& b) { return a.second < b.second; });
    if (most == bytes_of_region[s].end()) continue;
    heat[most->first] = std::max(heat[most->first], live[s]);
  }
}

}  // namespace tinytl
