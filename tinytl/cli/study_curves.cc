// Learning curves: a value over the epochs.

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "tinytl/cli/plan_xml.h"
#include "tinytl/cli/study_figures.h"
#include "tinytl/cli/study_svg.h"

namespace tinytl::cli {
namespace {

struct NamedCurve {
  std::string method;
  StudyCurve curve;
};

std::vector<NamedCurve> plain_curves(const Study& study, const std::string& model,
                                     const std::string& data,
                                     std::vector<double> StudyRow::*values) {
  std::vector<NamedCurve> curves;
  for (const StudyGroup* g : study.of(model, data)) {
    if (!g->variant.empty()) continue;
    StudyCurve curve = curve_of(*g, values);
    if (!curve.mean.empty()) curves.push_back({g->method, std::move(curve)});
  }
  return curves;
}

class CurvesPanel {
 public:
  CurvesPanel(Svg& svg, const Area& box, const std::vector<NamedCurve>& curves, double unit)
      : svg_(svg), curves_(curves), unit_(unit) {
    area_ = {box.left + 46, box.top + 34, box.right - 76, box.bottom - 46};
    double low = INFINITY, high = -INFINITY;
    for (const NamedCurve& c : curves_) {
      low = std::min(low, *std::ranges::min_element(c.curve.low));
      high = std::max(high, *std::ranges::max_element(c.curve.high));
      epochs_ = std::max(epochs_, c.curve.mean.size());
    }
    y_ = rounded_scale(unit_ * low, unit_ * high, area_.bottom, area_.top, 5);
    x_ = rounded_scale(1, double(std::max<size_t>(2, epochs_)), area_.left, area_.right, 5);
    x_.low = 1;
    x_.high = double(std::max<size_t>(2, epochs_));
  }

  void draw() {
    axes();
    for (const NamedCurve& c : curves_) band(c);
    for (const NamedCurve& c : curves_) line(c);
    names();
  }

 private:
  void axes() {
    for (const double tick : y_.ticks) {
      svg_.line("grid", area_.left, y_(tick), area_.right, y_(tick));
      svg_.text(area_.left - 8, y_(tick) + 4, "muted end",
                tick_text(tick) + (unit_ == 100 && tick == y_.ticks.back() ? " %" : ""));
    }
    svg_.line("axis", area_.left, area_.bottom, area_.right, area_.bottom);
    for (double tick : x_.ticks) {
      tick = std::max(tick, 1.0);
      if (tick > x_.high || tick != std::floor(tick)) continue;
      svg_.line("axis", x_(tick), area_.bottom, x_(tick), area_.bottom + 4);
      svg_.text(x_(tick), area_.bottom + 18, "muted middle", tick_text(tick));
    }
    svg_.text((area_.left + area_.right) / 2, area_.bottom + 36, "muted middle", "epoch");
  }

  std::string point(size_t epoch, double value) const {
    return fmt::format("{} {}", pixels(x_(double(epoch + 1))), pixels(y_(unit_ * value)));
  }

  void band(const NamedCurve& c) {
    if (c.curve.mean.size() < 2) return;
    std::string d;
    for (size_t e = 0; e < c.curve.high.size(); ++e) {
      d += (e == 0 ? "M" : "L") + point(e, c.curve.high[e]);
    }
    for (size_t e = c.curve.low.size(); e-- > 0;) d += "L" + point(e, c.curve.low[e]);
    svg_.path("band " + method_class(c.method), d + "Z");
  }

  void line(const NamedCurve& c) {
    std::string d;
    for (size_t e = 0; e < c.curve.mean.size(); ++e) {
      d += (e == 0 ? "M" : "L") + point(e, c.curve.mean[e]);
    }
    if (c.curve.mean.size() == 1) d += "h4";  // one epoch is no line
    svg_.path("curve " + method_class(c.method), d);
  }

  void names() {
    std::vector<double> ends;
    for (const NamedCurve& c : curves_) ends.push_back(y_(unit_ * c.curve.mean.back()));
    const std::vector<double> places = spread(ends, 15, area_.top, area_.bottom);
    for (size_t i = 0; i < curves_.size(); ++i) {
      const double from = x_(double(curves_[i].curve.mean.size()));
      svg_.line("thread", from + 3, ends[i], area_.right + 12, places[i]);
      svg_.text(area_.right + 15, places[i] + 4, "", curves_[i].method);
    }
  }

  Svg& svg_;
  const std::vector<NamedCurve>& curves_;
  const double unit_;
  size_t epochs_ = 0;
  Area area_;
  Scale x_, y_;
};

}  // namespace

std::string curves_figure(const Study& study, std::vector<double> StudyRow::*values,
                          const std::string& label, double unit) {
  std::vector<std::pair<std::string, std::string>> shown;
  for (const std::string& model : study.models) {
    for (const std::string& data : study.data) {
      if (!plain_curves(study, model, data, values).empty()) shown.emplace_back(model, data);
    }
  }
  Svg svg;
  const Panels panels = panels_of(shown.size(), 4, [](size_t columns) {
    return columns == 1 ? 380.0 : columns == 2 ? 320.0 : 270.0;
  });
  for (size_t i = 0; i < shown.size(); ++i) {
    const Area box = panels.box(i);
    svg.text(box.left, box.top + 14, "name", shown[i].second);
    if (study.models.size() > 1) {
      const double at = box.left + 0.9 * text_width(shown[i].second, 15) + 12;
      svg.text(at, box.top + 14, "muted", model_label(shown[i].first));
    }
    const auto curves = plain_curves(study, shown[i].first, shown[i].second, values);
    CurvesPanel(svg, box, curves, unit).draw();
  }
  return svg.figure(panels.bottom(), label);
}

}  // namespace tinytl::cli
