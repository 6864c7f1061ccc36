// What training memory consists of, and the bytes alive over a step.

#include <fmt/core.h>

#include <algorithm>

#include "tinytl/cli/console.h"
#include "tinytl/cli/plan_xml.h"
#include "tinytl/cli/study_figures.h"
#include "tinytl/cli/study_svg.h"

namespace tinytl::cli {
namespace {

struct Part {
  const char* name;
  const char* colour;  // class
  size_t StudyRow::*bytes;
};
constexpr Part kParts[] = {{"arena", "arena", &StudyRow::arena_bytes},
                           {"trainable", "trainable", &StudyRow::trainable_bytes},
                           {"optimizer", "optimizer", &StudyRow::optimizer_bytes},
                           {"frozen", "frozen", &StudyRow::frozen_bytes}};

class PartsFigure {
 public:
  explicit PartsFigure(const Study& study) : study_(study) {
    for (const std::string& model : study.models) {
      for (const std::string& data : study.data) {
        if (!study.of(model, data).empty()) panels_.push_back(study.of(model, data));
      }
    }
    for (const StudyGroup& g : study.groups) {
      most_ = std::max({most_, g.memory(), g.measured_bytes});
      name_width_ = std::max(name_width_, text_width(g.name(), 12.5));
    }
    for (const auto& groups : panels_) rows_ = std::max(rows_, groups.size());
  }

  std::string svg() {
    legend();
    const Panels panels =
        panels_of(panels_.size(), 40, [&](size_t) { return 30 + kPitch * double(rows_) + 22; });
    for (size_t i = 0; i < panels_.size(); ++i) panel(panels.box(i), panels_[i]);
    return svg_.figure(panels.bottom(), "What training memory consists of");
  }

 private:
  static constexpr double kPitch = 22, kBar = 13;

  void legend() {
    double x = 0;
    for (const Part& part : kParts) {
      svg_.rectangle(part.colour, {x, 9, x + 13, 22});
      svg_.text(x + 20, 20, "", part.name);
      x += 20 + text_width(part.name, 13) + 20;
    }
    svg_.line("tick", x + 4, 7, x + 4, 24);
    svg_.text(x + 14, 20, "", "what the process grew by, measured");
  }

  void panel(const Area& box, const std::vector<const StudyGroup*>& groups) {
    svg_.text(box.left, box.top + 14, "name", groups.front()->data);
    if (study_.models.size() > 1) {
      svg_.text(box.left + 0.9 * text_width(groups.front()->data, 15) + 12, box.top + 14, "muted",
                model_label(groups.front()->model));
    }
    const double left = box.left + name_width_ + 12;
    const Scale x = {0, double(most_), left, box.right - 64};
    for (size_t i = 0; i < groups.size(); ++i) {
      const double top = box.top + 30 + kPitch * double(i);
      bar(x, top, *groups[i]);
    }
  }

  void bar(const Scale& x, double top, const StudyGroup& g) {
    std::string story = fmt::format("{}: {} planned", g.name(), bytes_text(g.memory()));
    for (const Part& part : kParts) {
      story += fmt::format("\n{} {}", part.name, bytes_text(g.largest.*part.bytes));
    }
    svg_.begin_group("bars", story + fmt::format("\n{} measured", bytes_text(g.measured_bytes)));
    svg_.text(x.from - 10, top + kBar - 2, "end", g.name());
    size_t before = 0;
    for (const Part& part : kParts) {
      const size_t bytes = g.largest.*part.bytes;
      svg_.rectangle(part.colour, {x(double(before)), top, x(double(before + bytes)), top + kBar});
      before += bytes;
    }
    const double measured = x(double(g.measured_bytes));
    svg_.line("tick", measured, top - 2, measured, top + kBar + 2);
    svg_.text(std::max(measured, x(double(before))) + 8, top + kBar - 2, "strong",
              bytes_text(g.memory()));
    svg_.end_group();
  }

  const Study& study_;
  Svg svg_;
  std::vector<std::vector<const StudyGroup*>> panels_;
  size_t most_ = 1, rows_ = 0;
  double name_width_ = 0;
};

class TimelineFigure {
 public:
  explicit TimelineFigure(const Study& study) {
    for (const std::string& model : study.models) {
      for (const std::string& data : study.data) {
        std::vector<const StudyGroup*> row = with_timeline(study.of(model, data));
        if (row.empty()) continue;
        rows_.push_back(std::move(row));
        break;  // data sets differ by the classifier only
      }
    }
  }

  std::string svg() {
    double top = 0;
    for (const auto& row : rows_) {
      if (rows_.size() > 1) svg_.text(0, top + 14, "name", model_label(row.front()->model));
      top += rows_.size() > 1 ? 28 : 4;
      size_t most = 1;
      for (const StudyGroup* g : row) most = std::max(most, peak_of(*g));
      for (size_t i = 0; i < row.size(); ++i) {
        const double left = double(i) * (kWidth + 14);
        panel({left, top, left + kWidth, top + kHeight}, *row[i], most);
      }
      top += kHeight + 8;
    }
    return svg_.figure(std::max(top, 20.0), "Bytes alive over a step");
  }

 private:
  static constexpr double kWidth = 188, kHeight = 178;

  static std::vector<const StudyGroup*> with_timeline(std::vector<const StudyGroup*> groups) {
    std::erase_if(groups, [](const StudyGroup* g) {
      return g->largest.alive_bytes.empty() || !g->variant.empty();
    });
    return groups;
  }
  static size_t peak_of(const StudyGroup& g) {
    return *std::ranges::max_element(g.largest.alive_bytes);
  }

  void panel(const Area& box, const StudyGroup& g, size_t most) {
    const std::vector<size_t>& alive = g.largest.alive_bytes;
    const Area area{box.left, box.top + 40, box.right, box.bottom - 22};
    const Scale x{0, double(alive.size()), area.left, area.right};
    const Scale y{0, double(most), area.bottom, area.top};
    const size_t peak = peak_of(g);
    svg_.begin_group(method_class(g.method),
                     fmt::format("{}: at most {} alive", g.name(), bytes_text(peak)));
    svg_.text(box.left, box.top + 14, "strong", g.method);
    std::string outline, before;
    for (size_t i = 0; i < alive.size(); ++i) {
      const std::string level = pixels(y(double(alive[i])));
      if (level == before) continue;
      outline += i == 0 ? fmt::format("M{} {}", pixels(area.left), level)
                        : fmt::format("H{}V{}", pixels(x(double(i))), level);
      before = level;
    }
    outline += fmt::format("H{}", pixels(area.right));
    svg_.path("alive", outline + fmt::format("V{}H{}Z", pixels(area.bottom), pixels(area.left)));
    svg_.path("outline", outline);
    svg_.end_group();
    svg_.line("axis", area.left, area.bottom, area.right, area.bottom);
    const double turn = x(double(g.largest.backward_begins));
    svg_.line("turn", turn, area.top, turn, area.bottom);
    if (turn - area.left > 52) svg_.text(turn - 5, area.bottom + 16, "muted small end", "forward");
    if (area.right - turn > 58) svg_.text(turn + 5, area.bottom + 16, "muted small", "backward");
    mark_peak(area, x, y, alive, peak);
  }

  void mark_peak(const Area& area, const Scale& x, const Scale& y, const std::vector<size_t>& alive,
                 size_t peak) {
    const auto at = std::ranges::max_element(alive) - alive.begin();
    const double middle = (x(double(at)) + x(double(at + 1))) / 2;
    const std::string words = bytes_text(peak);
    const double half = text_width(words, 12.5) / 2;
    const double place = std::clamp(middle, area.left + half, area.right - half);
    svg_.text(place, y(double(peak)) - 6, "words middle", words);
  }

  Svg svg_;
  std::vector<std::vector<const StudyGroup*>> rows_;
};

}  // namespace

std::string parts_figure(const Study& study) { return PartsFigure(study).svg(); }

std::string timeline_figure(const Study& study) { return TimelineFigure(study).svg(); }

}  // namespace tinytl::cli
