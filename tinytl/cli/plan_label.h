// Labels of rectangles: which words fit, and how large.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace tinytl::cli {

inline constexpr double kCharacterWidth = 0.58;  // per font size; generous for Helvetica and Arial

struct FittedLabel {
  std::vector<std::string> lines;
  int size = 0;  // of the font, in pixels
};

// A piece without the word that names the dimension: "conv5.out [0:8]".
std::string short_name(const std::string& name);

// The most that fits into `length` x `thickness` pixels: name and bytes in one line or two, the
// name (its middle left out where enough of it remains to tell), the bytes, or nothing. Names of
// pieces are short ones, or those of the whole node where that fits better.
std::optional<FittedLabel> fit_label(const std::string& name, size_t bytes, double length,
                                     double thickness);

}  // namespace tinytl::cli
