// Pictures of a network layer by layer: what its parts bring, what of them trains, what that costs.
#pragma once

#include <optional>

#include "sparse_update/contributions.h"

namespace tinytl::cli {

struct PartPicture {
  std::string title = {}, subtitle = {};
  std::vector<std::string> names = {};  // of the convolutions
  bool in_points = false;               // gains are accuracies; else estimates, drawn relative
  Contributions gains = {};
  // Of a scheme that was found; without one, bars show every ratio.
  std::optional<Choice> choice = {};
  Costs costs = {};  // with it: bytes
};

// As an SVG file of its own.
std::string part_svg(const PartPicture& picture);

}  // namespace tinytl::cli
