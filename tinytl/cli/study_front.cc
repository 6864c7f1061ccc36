// The main figure: accuracy against training memory.

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "tinytl/cli/console.h"
#include "tinytl/cli/plan_xml.h"
#include "tinytl/cli/study_figures.h"
#include "tinytl/cli/study_style.h"
#include "tinytl/cli/study_svg.h"

namespace tinytl::cli {
namespace {

constexpr double kMark = 5.5, kFont = 12.5, kSmallFont = 11.5;
constexpr double kNearby = 24;  // how far a name off the front may be from its mark
constexpr const char* kLabel = "Accuracy against training memory";

std::string range_text(const std::vector<size_t>& values) {
  const auto [low, high] = std::ranges::minmax(values);
  return low == high ? std::to_string(low) : fmt::format("{} to {}", low, high);
}

// "batch 8, 15 epochs, 3 seeds".
std::string setting_of(const Study& study) {
  std::vector<size_t> batch, epochs, seeds;
  for (const StudyGroup& g : study.groups) {
    batch.push_back(g.largest.batch_size);
    epochs.push_back(g.largest.epochs);
    seeds.push_back(g.rows.size());
  }
  if (study.groups.empty()) return "no run has finished";
  return fmt::format("batch {}, {} epochs, {} seed{}", range_text(batch), range_text(epochs),
                     range_text(seeds), seeds == std::vector<size_t>(seeds.size(), 1) ? "" : "s");
}

std::string story_of(const StudyGroup& g) {
  std::string seeds;
  for (const StudyRow& row : g.rows) {
    seeds += (seeds.empty() ? "" : ", ") + fmt::format("{:.1f}", 100 * row.last_val_top1);
  }
  return fmt::format("{}\n{} on {}\nval top-1 {} (seeds: {})\n{} planned, {} measured", g.name(),
                     model_label(g.model), g.data, percent_text(g.mean), seeds,
                     bytes_text(g.memory()), bytes_text(g.measured_bytes));
}

class FrontFigure {
 public:
  explicit FrontFigure(const Study& study, size_t budget_bytes = 0)
      : study_(study), budget_(double(budget_bytes) / 1e6) {}

  std::string figure() { return svg_.figure(draw(0), kLabel); }

  std::string file() {
    svg_.text(0, 20, "title", kLabel);
    std::string words =
        "Validation top-1 after the last epoch: mean, lowest and highest seed   ·   " +
        setting_of(study_);
    if (study_.models.size() == 1) words = model_label(study_.models[0]) + "   ·   " + words;
    svg_.text(0, 44, "muted", words);
    return svg_.file(draw(62), kLabel, kStudyStyle);
  }

 private:
  // Returns the height.
  double draw(double top) {
    legend(top + 18);
    size_t most = 0;
    for (const std::string& data : study_.data) most = std::max(most, study_.of_data(data).size());
    const bool is_crowded = most > 14;
    const Panels panels = panels_of(
        study_.data.size(), top + 44,
        [&](size_t columns) {
          return columns == 1 ? 520.0 : is_crowded ? 520.0 : columns == 2 ? 430.0 : 372.0;
        },
        is_crowded ? 2 : 3);
    for (size_t i = 0; i < study_.data.size(); ++i) panel(panels.box(i), study_.data[i]);
    return panels.bottom();
  }

  void legend(double y) {
    double x = 0;
    const auto entry = [&](std::string_view classes, const std::string& d,
                           const std::string& name) {
      svg_.path(classes, d);
      svg_.text(x + 14, y + 4, "", name);
      x += 14 + 0.9 * text_width(name, kFont) + 22;
    };
    for (const std::string& method : study_.methods) {
      entry("mark " + method_class(method), mark_path(0, x + 5, y, kMark), method);
    }
    x += 14;
    for (size_t m = 0; study_.models.size() > 1 && m < study_.models.size(); ++m) {
      entry("mark neutral", mark_path(m, x + 5, y, kMark), model_label(study_.models[m]));
    }
    const bool has_variants =
        std::ranges::any_of(study_.groups, [](const StudyGroup& g) { return !g.variant.empty(); });
    if (has_variants) entry("mark neutral hollow", mark_path(0, x + 5, y, kMark), "variant");
    svg_.path("front", fmt::format("M{} {}h11v-9h11", pixels(x), pixels(y + 5)));
    svg_.text(x + 30, y + 4, "", "Pareto front");
  }

  void panel(const Area& box, const std::string& data) {
    groups_ = study_.of_data(data);
    area_ = {box.left + 46, box.top + 34, box.right - 4, box.bottom - 52};
    set_scales();
    svg_.text(box.left, box.top + 14, "name", data);
    axes();
    if (budget_ > 0) budget_line();
    front_ = pareto_front(groups_);
    std::vector<Area> steps = front_line();
    if (budget_ > 0) steps.push_back({x_(budget_) - 2, area_.top, x_(budget_) + 2, area_.bottom});
    std::vector<Area> taken;
    for (size_t i = groups_.size(); i-- > 0;) mark(*groups_[i], taken);
    labels(std::move(taken), steps);
  }

  void set_scales() {
    double least = INFINITY, most = 0, low = 1, high = 0;
    for (const StudyGroup& g : study_.groups) {  // the same axis in all panels
      least = std::min(least, double(g.memory()));
      most = std::max(most, double(g.memory()));
    }
    for (const StudyGroup* g : groups_) {
      low = std::min(low, g->low);
      high = std::max(high, g->high);
    }
    most = std::max(most, 1e6 * budget_);
    const double room = std::max(0.015, 0.12 * (high - low));
    x_ = log_scale(least / 1.22e6, most * 1.3 / 1e6, area_.left, area_.right);
    y_ = linear_scale(100 * std::max(0.0, low - room), 100 * std::min(1.0, high + room),
                      area_.bottom, area_.top, 6);
  }

  void axes() {
    for (const double tick : y_.ticks) {
      svg_.line("grid", area_.left, y_(tick), area_.right, y_(tick));
      svg_.text(area_.left - 8, y_(tick) + 4, "muted end",
                tick_text(tick) + (tick == y_.ticks.back() ? " %" : ""));
    }
    svg_.line("axis", area_.left, area_.bottom, area_.right, area_.bottom);
    for (const double tick : x_.ticks) {
      svg_.line("axis", x_(tick), area_.bottom, x_(tick), area_.bottom + 4);
      svg_.text(x_(tick), area_.bottom + 18, "muted middle", tick_text(tick));
    }
    svg_.text((area_.left + area_.right) / 2, area_.bottom + 36, "muted middle",
              "training memory, MB");
  }

  void budget_line() {
    const double at = x_(budget_);
    svg_.line("budget", at, area_.top - 6, at, area_.bottom);
    svg_.text(at, area_.top - 12, "muted middle",
              "budget " + bytes_text(size_t(1e6 * budget_ + 0.5)));
  }

  double x(const StudyGroup& g) const { return x_(double(g.memory()) / 1e6); }
  double y(double part) const { return y_(100 * part); }

  // The best accuracy within each memory, as steps; their pieces, for labels to keep off.
  std::vector<Area> front_line() {
    std::vector<Area> pieces;
    std::string d;
    double before = area_.bottom;
    const double last = budget_ > 0 ? x_(budget_) : area_.right;
    for (size_t i = 0; i < front_.size(); ++i) {
      const StudyGroup& g = *groups_[front_[i]];
      const double next = i + 1 < front_.size() ? x(*groups_[front_[i + 1]]) : last;
      d += i == 0 ? fmt::format("M{} {}", pixels(x(g)), pixels(y(g.mean)))
                  : fmt::format("V{}", pixels(y(g.mean)));
      d += fmt::format("H{}", pixels(next));
      pieces.push_back({x(g), y(g.mean) - 2, next, y(g.mean) + 2});
      if (i > 0) pieces.push_back({x(g) - 2, y(g.mean), x(g) + 2, before});
      before = y(g.mean);
    }
    if (!d.empty()) svg_.path("front", d);
    return pieces;
  }

  void mark(const StudyGroup& g, std::vector<Area>& taken) {
    const auto model =
        static_cast<size_t>(std::ranges::find(study_.models, g.model) - study_.models.begin());
    svg_.begin_group(method_class(g.method), story_of(g));
    if (g.high > g.low) svg_.line("bar", x(g), y(g.high), x(g), y(g.low));
    svg_.path(g.variant.empty() ? "mark" : "mark hollow", mark_path(model, x(g), y(g.mean), kMark));
    svg_.end_group();
    const double r = kMark + 1;
    taken.push_back({x(g) - r, y(g.mean) - r, x(g) + r, y(g.mean) + r});
    taken.push_back({x(g) - 4, y(g.high) - 1, x(g) + 4, y(g.low) + 1});
  }

  // First those on the front with their accuracy, then the others by name where there is room.
  void labels(std::vector<Area> taken, const std::vector<Area>& steps) {
    std::vector<const StudyGroup*> named;
    std::vector<LabelWish> wishes;
    std::vector<bool> on_front(groups_.size(), false);
    for (const size_t i : front_) {
      on_front[i] = true;
      const StudyGroup& g = *groups_[i];
      named.push_back(&g);
      wishes.push_back({x(g), y(g.mean), kMark, text_width(front_words(g), kFont), kFont + 3});
    }
    for (size_t i = 0; i < groups_.size(); ++i) {
      if (on_front[i]) continue;
      const StudyGroup& g = *groups_[i];
      named.push_back(&g);
      wishes.push_back(
          {x(g), y(g.mean), kMark, text_width(g.name(), kSmallFont), kSmallFont + 2, kNearby});
    }
    const Area bounds{area_.left + 2, area_.top - 14, area_.right + 4, area_.bottom - 2};
    const auto places = place_labels(wishes, bounds, std::move(taken), steps);
    for (size_t i = 0; i < places.size(); ++i) {
      if (places[i]) label(*named[i], wishes[i], *places[i], i < front_.size());
    }
  }

  static std::string front_words(const StudyGroup& g) {
    return g.name() + fmt::format(" {:.1f}", 100 * g.mean);
  }

  void label(const StudyGroup& g, const LabelWish& wish, const Area& place, bool is_on_front) {
    const double middle = (place.left + place.right) / 2;
    const auto [near_x, near_y] = nearest(place, wish.x, wish.y);
    const double away = std::hypot(near_x - wish.x, near_y - wish.y);
    if (away > kMark + 12) {  // far enough to need a thread
      const double part = (kMark + 2) / away;
      svg_.line("thread", wish.x + (near_x - wish.x) * part, wish.y + (near_y - wish.y) * part,
                near_x, near_y);
    }
    const bool is_right = place.left >= wish.x, is_left = place.right <= wish.x;
    svg_.text(
        is_right  ? place.left
        : is_left ? place.right
                  : middle,
        place.bottom - 4,
        std::string(is_on_front ? "words strong" : "words muted small") + (is_right  ? ""
                                                                           : is_left ? " end"
                                                                                     : " middle"),
        is_on_front ? front_words(g) : g.name());
  }

  const Study& study_;
  const double budget_;  // MB; 0: none
  Svg svg_;
  std::vector<const StudyGroup*> groups_;
  std::vector<size_t> front_;
  Area area_;
  Scale x_, y_;
};

}  // namespace

std::string front_figure(const Study& study, size_t budget_bytes) {
  return FrontFigure(study, budget_bytes).figure();
}

std::string front_file(const Study& study) { return FrontFigure(study).file(); }

}  // namespace tinytl::cli
