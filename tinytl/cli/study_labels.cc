#include "tinytl/cli/study_labels.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

namespace tinytl::cli {
namespace {

// The box whose nearest edge or corner in that direction is `distance` from the point.
Area beside(const LabelWish& wish, double angle, double distance) {
  const double dx = std::cos(angle), dy = std::sin(angle);
  // The middle of the box moves with the direction: beside, above and below are centred.
  const double x = wish.x + dx * distance + dx * wish.width / 2;
  const double y = wish.y + dy * distance + dy * wish.height / 2;
  return {x - wish.width / 2, y - wish.height / 2, x + wish.width / 2, y + wish.height / 2};
}

bool is_inside(const Area& box, const Area& bounds) {
  return box.left >= bounds.left && box.right <= bounds.right && box.top >= bounds.top &&
         box.bottom <= bounds.bottom;
}

size_t overlaps(const Area& box, std::span<const Area> boxes) {
  return static_cast<size_t>(
      std::ranges::count_if(boxes, [&](const Area& other) { return overlap(box, other); }));
}

// Small boxes along the line from the mark to the words.
std::vector<Area> thread_of(const LabelWish& wish, const Area& box) {
  constexpr double kPitch = 3, kHalf = 1.5;
  const auto [x, y] = nearest(box, wish.x, wish.y);
  const double length = std::hypot(x - wish.x, y - wish.y);
  std::vector<Area> pieces;
  for (double at = wish.clear; at < length - kHalf; at += kPitch) {
    const double px = wish.x + (x - wish.x) * at / length, py = wish.y + (y - wish.y) * at / length;
    pieces.push_back({px - kHalf, py - kHalf, px + kHalf, py + kHalf});
  }
  return pieces;
}

}  // namespace

bool overlap(const Area& a, const Area& b) {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}

std::pair<double, double> nearest(const Area& box, double x, double y) {
  return {std::clamp(x, box.left, box.right), std::clamp(y, box.top, box.bottom)};
}

std::vector<std::optional<Area>> place_labels(std::span<const LabelWish> wishes, const Area& bounds,
                                              std::vector<Area> taken,
                                              std::span<const Area> avoided) {
  constexpr int kDirections = 16;
  constexpr double kGap = 3, kRing = 4;
  constexpr double kCrossing = 14;  // pixels of distance that a line under the words is worth
  std::vector<Area> labels;
  std::vector<std::optional<Area>> places;
  for (const LabelWish& wish : wishes) {
    std::optional<Area> best;
    double least = INFINITY;
    for (double distance = wish.clear + kGap; distance <= wish.reach; distance += kRing) {
      for (int d = 0; d < kDirections; ++d) {
        const double turn = d % 2 == 0 ? d / 2 : -(d + 1) / 2;  // right first, left last
        const Area box = beside(wish, 2 * std::numbers::pi * turn / kDirections, distance);
        const double cost = distance + 0.1 * d + kCrossing * double(overlaps(box, avoided));
        if (cost >= least || !is_inside(box, bounds) || overlaps(box, taken) > 0) continue;
        const std::vector<Area> thread = thread_of(wish, box);
        const bool is_free = std::ranges::none_of(
            thread, [&](const Area& piece) { return overlaps(piece, labels) > 0; });
        if (!is_free) continue;
        least = cost;
        best = box;
      }
    }
    places.push_back(best);
    if (!best) continue;
    labels.push_back(*best);
    taken.push_back(*best);
    const std::vector<Area> thread = thread_of(wish, *best);
    taken.insert(taken.end(), thread.begin(), thread.end());
  }
  return places;
}

std::vector<double> spread(std::vector<double> wished, double pitch, double top, double bottom) {
  const size_t n = wished.size();
  if (n == 0) return wished;
  if (n > 1) pitch = std::min(pitch, (bottom - top) / double(n - 1));
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, {}, [&](size_t i) { return wished[i]; });
  // Runs of lines that push each other stand together around the mean of what they wish.
  struct Run {
    double first;  // the height of its first line
    size_t count;
  };
  std::vector<Run> runs;
  for (size_t i = 0; i < n; ++i) {
    runs.push_back({wished[order[i]], 1});
    const auto clamped = [&](const Run& run) {
      return std::clamp(run.first, top, std::max(top, bottom - pitch * double(run.count - 1)));
    };
    runs.back().first = clamped(runs.back());
    while (runs.size() > 1) {
      Run& above = runs[runs.size() - 2];
      const Run below = runs.back();
      if (above.first + pitch * double(above.count) <= below.first) break;
      const double moved = below.first - pitch * double(above.count);
      above.first = (above.first * double(above.count) + moved * double(below.count)) /
                    double(above.count + below.count);
      above.count += below.count;
      above.first = clamped(above);
      runs.pop_back();
    }
  }
  std::vector<double> heights(n);
  size_t i = 0;
  for (const Run& run : runs) {
    for (size_t k = 0; k < run.count; ++k) heights[order[i++]] = run.first + pitch * double(k);
  }
  return heights;
}

}  // namespace tinytl::cli
