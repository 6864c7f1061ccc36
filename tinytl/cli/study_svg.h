// What the figures of a study are drawn with: a pen for SVG, axes, colours and marks.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tinytl/cli/study_labels.h"

namespace tinytl::cli {

inline constexpr double kFigureWidth = 1200;  // pixels, of every figure

// Words as wide as a browser without the wished font may draw them.
double text_width(std::string_view words, double font_size);

class Svg {
 public:
  void text(double x, double y, std::string_view classes, std::string_view words);
  void line(std::string_view classes, double x1, double y1, double x2, double y2);
  void path(std::string_view classes, std::string_view d);
  void rectangle(std::string_view classes, const Area& box);
  // What stands between begin and end belongs together, and a pointer over it shows `story`.
  void begin_group(std::string_view classes, std::string_view story = "");
  void end_group() { out_ += "</g>\n"; }

  // A whole figure; `label` is read to those who cannot see it.
  std::string figure(double height, std::string_view label) const;
  // The same as a file of its own, with a margin and a style.
  std::string file(double height, std::string_view label, std::string_view style) const;

 private:
  std::string whole(double height, std::string_view label, std::string_view style,
                    double margin) const;
  std::string out_;
};

// From values to pixels.
struct Scale {
  double low = 0, high = 1, from = 0, to = 1;
  bool logarithmic = false;
  std::vector<double> ticks = {};
  double operator()(double value) const;
};
// From `low` to `high`, with at most `most` + 1 ticks between them.
Scale linear_scale(double low, double high, double from, double to, int most);
// From the tick at or below `low` to the one at or above `high`.
Scale rounded_scale(double low, double high, double from, double to, int most);
// From `low` to `high`, above 0; ticks at 1, 2, 5, 10... and between where there are few.
Scale log_scale(double low, double high, double from, double to);

// "2", "0.5": a tick without digits that say nothing.
std::string tick_text(double value);

// Panels of one size in rows, from `top` on.
struct Panels {
  size_t count = 1, columns = 1;
  double top = 0, height = 0;    // of the first row; of each panel, title and axis included
  Area box(size_t index) const;  // the whole panel
  double bottom() const;         // of the last row
};
// `height_of`: of a panel where so many stand side by side.
Panels panels_of(size_t count, double top, const std::function<double(size_t)>& height_of,
                 size_t most_columns = 3);

// The class of a method's colour, the same in all figures: "m1" of bias (study_style.h).
std::string method_class(const std::string& method);

// A mark for each model: a circle, a square, a diamond... around (0, 0), of about that radius.
std::string mark_path(size_t model, double x, double y, double radius);

}  // namespace tinytl::cli
