#include "tinytl/cli/study_svg.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "tinytl/cli/plan_label.h"
#include "tinytl/cli/plan_xml.h"
#include "tinytl/cli/study_grid.h"

namespace tinytl::cli {

double text_width(std::string_view words, double font_size) {
  return kCharacterWidth * font_size * double(character_count(words));
}

void Svg::text(double x, double y, std::string_view classes, std::string_view words) {
  out_ += fmt::format("<text class=\"{}\" x=\"{}\" y=\"{}\">{}</text>\n", classes, pixels(x),
                      pixels(y), xml_text(words));
}

void Svg::line(std::string_view classes, double x1, double y1, double x2, double y2) {
  out_ += fmt::format("<path class=\"{}\" d=\"M{} {}L{} {}\"/>\n", classes, pixels(x1), pixels(y1),
                      pixels(x2), pixels(y2));
}

void Svg::path(std::string_view classes, std::string_view d) {
  out_ += fmt::format("<path class=\"{}\" d=\"{}\"/>\n", classes, d);
}

void Svg::rectangle(std::string_view classes, const Area& box) {
  out_ +=
      fmt::format("<rect class=\"{}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>\n", classes,
                  pixels(box.left), pixels(box.top), pixels(std::max(0.0, box.right - box.left)),
                  pixels(std::max(0.0, box.bottom - box.top)));
}

void Svg::begin_group(std::string_view classes, std::string_view story) {
  out_ += fmt::format("<g class=\"{}\">\n", classes);
  if (!story.empty()) out_ += fmt::format("<title>{}</title>\n", xml_text(story));
}

std::string Svg::figure(double height, std::string_view label) const {
  return whole(height, label, "", 0);
}

std::string Svg::file(double height, std::string_view label, std::string_view style) const {
  constexpr double kMargin = 24;
  return whole(height, label, style, kMargin);
}

std::string Svg::whole(double height, std::string_view label, std::string_view style,
                       double margin) const {
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"study\" role=\"img\" aria-label=\"{0}\" "
      "viewBox=\"{1} {1} {2} {3}\" width=\"{2}\" height=\"{3}\">\n{4}<rect class=\"paper\" "
      "x=\"{1}\" y=\"{1}\" width=\"{2}\" height=\"{3}\"/>\n{5}</svg>\n",
      xml_text(label), pixels(-margin), pixels(kFigureWidth + 2 * margin),
      pixels(height + 2 * margin), style, out_);
}

double Scale::operator()(double value) const {
  const auto position = [&](double v) { return logarithmic ? std::log(v) : v; };
  const double span = position(high) - position(low);
  return span == 0 ? (from + to) / 2
                   : from + (to - from) * (position(value) - position(low)) / span;
}

namespace {

double tick_step(double range, int most) {
  range = std::max(range, 1e-9);
  double step = std::pow(10, std::floor(std::log10(range / most)));
  for (int i = 0; range / step > most; ++i) step *= i % 3 == 1 ? 2.5 : 2;
  return step;
}

}  // namespace

Scale linear_scale(double low, double high, double from, double to, int most) {
  const double step = tick_step(high - low, most);
  Scale scale{low, high, from, to};
  for (double n = std::ceil(low / step - 1e-9); n * step <= high + 1e-9 * step; ++n) {
    scale.ticks.push_back(n * step);
  }
  return scale;
}

Scale rounded_scale(double low, double high, double from, double to, int most) {
  const double step = tick_step(high - low, most);
  return linear_scale(std::floor(low / step + 1e-9) * step, std::ceil(high / step - 1e-9) * step,
                      from, to, most + 1);
}

Scale log_scale(double low, double high, double from, double to) {
  Scale scale{low, high, from, to, /*logarithmic=*/true};
  constexpr size_t kFew = 4, kMany = 9;
  const std::vector<std::vector<double>> choices{
      {1}, {1, 2, 5}, {1, 1.5, 2, 3, 4, 5, 6, 8}, {1,   1.2, 1.4, 1.6, 1.8, 2,   2.5,
                                                   3,   3.5, 4,   4.5, 5,   5.5, 6,
                                                   6.5, 7,   7.5, 8,   8.5, 9,   9.5}};
  for (const std::vector<double>& digits : choices) {
    std::vector<double> ticks;
    const int first = static_cast<int>(std::floor(std::log10(low)));
    for (int power = first; std::pow(10, power) <= high; ++power) {
      for (const double digit : digits) {
        const double tick = digit * std::pow(10, power);
        if (tick >= low && tick <= high) ticks.push_back(tick);
      }
    }
    if (ticks.size() <= kMany || scale.ticks.empty()) scale.ticks = ticks;
    if (scale.ticks.size() >= kFew) break;
  }
  return scale;
}

std::string tick_text(double value) { return fmt::format("{:.6g}", value + 0.0); }

Area Panels::box(size_t index) const {
  constexpr double kBetween = 28;
  const double width = (kFigureWidth - kBetween * double(columns - 1)) / double(columns);
  const double left = double(index % columns) * (width + kBetween);
  const double at = top + double(index / columns) * height;
  return {left, at, left + width, at + height};
}

double Panels::bottom() const { return top + double((count + columns - 1) / columns) * height; }

Panels panels_of(size_t count, double top, const std::function<double(size_t)>& height_of,
                 size_t most_columns) {
  const size_t columns = count <= most_columns ? std::max<size_t>(1, count)
                         : count == 4          ? 2
                                               : most_columns;
  return {count, columns, top, height_of(columns)};
}

std::string method_class(const std::string& method) {
  const Words& methods = study_methods();
  const auto place = std::ranges::find(methods, method) - methods.begin();
  return fmt::format("m{}", place);
}

std::string mark_path(size_t model, double x, double y, double radius) {
  const auto polygon = [&](std::vector<std::pair<double, double>> corners) {
    std::string d;
    for (const auto& [dx, dy] : corners) {
      d += fmt::format("{}{} {}", d.empty() ? "M" : "L", pixels(x + radius * dx),
                       pixels(y + radius * dy));
    }
    return d + "Z";
  };
  switch (model % 6) {
    case 1:
      return polygon({{-0.88, -0.88}, {0.88, -0.88}, {0.88, 0.88}, {-0.88, 0.88}});
    case 2:
      return polygon({{0, -1.25}, {1.25, 0}, {0, 1.25}, {-1.25, 0}});
    case 3:
      return polygon({{0, -1.2}, {1.1, 0.8}, {-1.1, 0.8}});
    case 4:
      return polygon({{0, 1.2}, {1.1, -0.8}, {-1.1, -0.8}});
    case 5:
      return polygon({{0, -1.1}, {1.05, -0.34}, {0.65, 0.89}, {-0.65, 0.89}, {-1.05, -0.34}});
    default:
      return fmt::format("M{0} {1}a{2} {2} 0 1 0 {3} 0a{2} {2} 0 1 0 -{3} 0Z", pixels(x - radius),
                         pixels(y), pixels(radius), pixels(2 * radius));
  }
}

}  // namespace tinytl::cli
