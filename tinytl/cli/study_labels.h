// Words beside points, such that nothing lies on anything.
#pragma once

#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace tinytl::cli {

// Pixels; y grows downwards.
struct Area {
  double left = 0, top = 0, right = 0, bottom = 0;
};
bool overlap(const Area& a, const Area& b);  // touching is not overlapping

struct LabelWish {
  double x = 0, y = 0;           // the point
  double clear = 0;              // radius of its mark
  double width = 0, height = 0;  // of the words
  double reach = 60;             // how far from the point they still belong to it
};

// Where each label goes, in the order of the wishes, which is that of their importance: as near to
// its point as can be, right of it if that is no worse, inside `bounds`, on no box of `taken`, on
// no label before it, and with no label on the thread from a label to its point; of places as
// near, one on as few boxes of `avoided` as can be. Empty where no place within reach is free.
// O(wishes * boxes).
std::vector<std::optional<Area>> place_labels(std::span<const LabelWish> wishes, const Area& bounds,
                                              std::vector<Area> taken,
                                              std::span<const Area> avoided);

// The end of a label's thread: the place of the box that is nearest to the point.
std::pair<double, double> nearest(const Area& box, double x, double y);

// Heights at which lines of words `pitch` apart can stand, in the order of the wished heights and
// as near to them as can be, between `top` and `bottom` (closer together where there are too many).
std::vector<double> spread(std::vector<double> wished, double pitch, double top, double bottom);

}  // namespace tinytl::cli
