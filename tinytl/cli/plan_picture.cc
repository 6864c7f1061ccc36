#include "tinytl/cli/plan_picture.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "tinytl/cli/console.h"
#include "tinytl/cli/plan_label.h"
#include "tinytl/cli/plan_style.h"
#include "tinytl/cli/plan_xml.h"

namespace tinytl::cli {
namespace {

// Pixels. The picture is read at a width of about 1200.
constexpr double kWidth = 1200, kLeft = 96, kRight = 1092;
constexpr double kLegendTop = 94;
constexpr double kLiveTop = 148, kLiveBottom = 228;
constexpr double kArenaTop = 264, kArenaBottom = 704;
constexpr double kLaneTop = 732, kLanePitch = 15, kLaneHeight = 9;

constexpr const char* kClasses[kPlanRoles] = {"saved",      "recomputed", "gradient",
                                              "activation", "input",      "scratch"};

// The first of 1, 2, 5, 10, 20... at which `range` has at most `most` ticks.
double tick_step(double range, int most) {
  double step = 1;
  for (int i = 0; range / step > most; ++i) step *= i % 3 == 1 ? 2.5 : 2;
  return step;
}

// A size at a tick, without digits that say nothing: "20 MB".
std::string tick_text(double bytes) {
  if (bytes >= 1e6) return fmt::format("{:g} MB", bytes / 1e6);
  return bytes >= 1e3 ? fmt::format("{:g} kB", bytes / 1e3) : fmt::format("{:g} B", bytes);
}

struct Box {
  double x = 0, y = 0, width = 0, height = 0;
};

class Picture {
 public:
  Picture(const Program& program, const PlanFacts& facts, const PlanTitle& title)
      : plan_(program.plan),
        facts_(facts),
        title_(title),
        steps_(std::max(1, facts.steps)),
        arena_(static_cast<double>(std::max<size_t>(1, program.plan.arena_bytes))) {
    for (const Phase phase : facts.phases) {
      if (std::ranges::find(lanes_, phase) == lanes_.end()) lanes_.push_back(phase);
    }
    std::ranges::sort(lanes_);
    height_ = kLaneTop + kLanePitch * static_cast<double>(std::max<size_t>(1, lanes_.size())) + 14;
  }

  std::string svg() {
    out_ = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plan\" role=\"img\" "
        "aria-label=\"Memory plan of {0}\" viewBox=\"0 0 {1} {2}\" width=\"{1}\" "
        "height=\"{2}\">\n{3}<rect class=\"paper\" width=\"{1}\" height=\"{2}\"/>\n",
        xml_text(title_.model), pixels(kWidth), pixels(height_), kPictureStyle);
    add_head();
    add_legend();
    add_grid();
    add_live();
    add_tensors();
    add_arena_line();
    add_bound();
    add_labels();
    add_lanes();
    return out_ + "</svg>\n";
  }

 private:
  double x(double step) const { return kLeft + (kRight - kLeft) * step / steps_; }
  double y(double bytes) const {
    return kArenaBottom - (kArenaBottom - kArenaTop) * bytes / arena_;
  }
  double live_y(double bytes) const {
    return kLiveBottom - (kLiveBottom - kLiveTop) * bytes / arena_;
  }
  double bound_x() const { return x(plan_.lower_bound_step + 0.5); }

  void text(double at_x, double at_y, std::string_view classes, std::string_view words) {
    out_ += fmt::format("<text class=\"{}\" x=\"{}\" y=\"{}\">{}</text>\n", classes, pixels(at_x),
                        pixels(at_y), xml_text(words));
  }
  void line(std::string_view classes, double x1, double y1, double x2, double y2) {
    out_ += fmt::format("<path class=\"{}\" d=\"M{} {}L{} {}\"/>\n", classes, pixels(x1),
                        pixels(y1), pixels(x2), pixels(y2));
  }

  void add_head() {
    text(kLeft, 36, "head title", shortened(title_.model, 80));
    const std::string gap = plan_.arena_bytes == plan_.lower_bound_bytes
                                ? "gap 0, so no placement can be smaller"
                                : fmt::format("lower bound {}, gap {}",
                                              bytes_text(plan_.lower_bound_bytes), gap_text(plan_));
    text(kLeft, 58, "head muted", work_text(title_));
    text(kLeft, 77, "head muted",
         fmt::format("arena {}, {}   ·   {} tensors over {} steps", bytes_text(plan_.arena_bytes),
                     gap, count_text(static_cast<int64_t>(facts_.tensors.size())),
                     count_text(facts_.steps)));
  }

  void add_legend() {
    double at = kLeft;
    for (size_t r = 0; r < kPlanRoles; ++r) {
      const auto role = static_cast<PlanRole>(r);
      if (std::ranges::find(facts_.tensors, role, &PlannedTensor::role) == facts_.tensors.end()) {
        continue;
      }
      out_ += fmt::format("<rect class=\"{}\" x=\"{}\" y=\"{}\" width=\"11\" height=\"11\"/>\n",
                          kClasses[r], pixels(at), pixels(kLegendTop));
      text(at + 16, kLegendTop + 10, "muted", name_of(role));
      at += 38 + 6 * static_cast<double>(name_of(role).size());
    }
  }

  void add_grid() {
    const double size_step = tick_step(arena_, 6);
    text(kLeft - 10, kArenaTop - 14, "muted end", "arena offset");
    for (double b = 0; b <= double(plan_.arena_bytes); b += size_step) {
      if (b > 0) line("grid", kLeft, y(b), kRight, y(b));
      text(kLeft - 10, y(b) + 4, "muted end", b == 0 ? "0" : tick_text(b));
    }
    const double step = tick_step(steps_, 12);
    for (double s = 0; s <= steps_; s += step) {
      line("axis", x(s), kArenaBottom, x(s), kArenaBottom + 4);
      if (x(s) < kRight - 14 || s == 0) {
        text(x(s), kArenaBottom + 17, "muted middle", count_text(static_cast<int64_t>(s)));
      }
    }
    text(kRight + 10, kArenaBottom + 17, "muted", "step");
    line("axis", kLeft, kArenaBottom, kRight, kArenaBottom);
    const int turn = facts_.backward_begins;
    if (turn <= 0 || turn >= facts_.steps) return;
    line("turn", x(turn), kLiveTop, x(turn), lanes_bottom());
    const bool before = bound_x() > x(turn) - 62 && bound_x() <= x(turn);
    if (x(turn) - kLeft > 70 && !before) text(x(turn) - 8, kArenaTop - 14, "muted end", "forward");
    const bool crossed = bound_x() > x(turn) && bound_x() < x(turn) + 66;
    const double beside = crossed ? bound_x() + 6 : x(turn) + 8;
    if (kRight - beside > 60) text(beside, kArenaTop - 14, "muted", "backward");
  }

  double lanes_bottom() const {
    return kLaneTop + kLanePitch * static_cast<double>(lanes_.size()) - kLanePitch + kLaneHeight;
  }

  // Filled steps: a level for each step, merged where it does not change by a visible amount.
  void area(std::string_view classes, const std::vector<size_t>& bytes) {
    std::string path = fmt::format("M{} {}", pixels(kLeft), pixels(kLiveBottom));
    std::string before = pixels(kLiveBottom);
    for (int s = 0; s < facts_.steps; ++s) {
      const std::string level = pixels(live_y(double(bytes[static_cast<size_t>(s)])));
      if (level == before) continue;
      path += fmt::format("H{}V{}", pixels(x(s)), level);
      before = level;
    }
    path += fmt::format("H{}V{}Z", pixels(x(facts_.steps)), pixels(kLiveBottom));
    out_ += fmt::format("<path class=\"{}\" d=\"{}\"/>\n", classes, path);
  }

  void add_live() {
    if (facts_.steps > 0) {
      area("alive", facts_.live);
      area("saved", facts_.saved);
    }
    line("axis", kLeft, kLiveBottom, kRight, kLiveBottom);
    text(kLeft - 10, kLiveTop - 14, "muted end", "bytes alive");
    text(kLeft - 10, kLiveBottom + 4, "muted end", "0");
    if (plan_.lower_bound_bytes > 0) {
      text(kLeft - 10, live_y(double(plan_.lower_bound_bytes)) + 4, "muted end",
           bytes_text(plan_.lower_bound_bytes));
    }
    if (facts_.kept.empty()) return;
    const size_t most = *std::ranges::max_element(facts_.saved);
    const double label_y = std::min(live_y(double(most)) + 4, kLiveBottom - 4);
    text(kRight + 10, label_y, "strong", bytes_text(most));
    text(kRight + 10, label_y + 14, "muted", "saved, at most");
  }

  Box box_of(const PlannedTensor& t) const {
    constexpr double kVisible = 0.02;  // a rectangle without height is not drawn at all
    const double top = y(double(t.offset + t.bytes)), left = x(t.first);
    return {left, top, std::max(kVisible, x(t.last + 1) - left),
            std::max(kVisible, y(double(t.offset)) - top)};
  }

  void add_tensors() {
    for (size_t r = 0; r < kPlanRoles; ++r) {
      out_ += fmt::format("<g class=\"tensors {}\">\n", kClasses[r]);
      for (size_t b = 0; b < facts_.tensors.size(); ++b) {
        const PlannedTensor& t = facts_.tensors[b];
        if (t.role != static_cast<PlanRole>(r)) continue;
        const Box box = box_of(t);
        // Edges are rounded, not sizes: neighbours then touch and never overlap.
        const auto rounded = [](double v) { return std::round(v * 100) / 100; };
        const double left = rounded(box.x), top = rounded(box.y);
        const bool thin = box.width < 1.5 || box.height < 1.5;
        const bool slim = box.width < 4 || box.height < 4;
        out_ += fmt::format(
            "<rect id=\"b{}\"{} x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"><title>{}</title>"
            "</rect>\n",
            b,
            thin   ? " class=\"thin\""
            : slim ? " class=\"slim\""
                   : "",
            pixels(left), pixels(top), pixels(std::max(0.01, rounded(box.x + box.width) - left)),
            pixels(std::max(0.01, rounded(box.y + box.height) - top)), xml_text(t.story));
      }
      out_ += "</g>\n";
    }
  }

  void add_arena_line() {
    line("mark", kLeft, kArenaTop, kRight, kArenaTop);
    text(kRight + 10, kArenaTop + 4, "strong", bytes_text(plan_.arena_bytes));
    text(kRight + 10, kArenaTop + 19, "muted", "arena");
  }

  void add_bound() {
    if (facts_.steps == 0) return;
    const double peak = live_y(double(plan_.lower_bound_bytes));
    line("mark", bound_x(), kLiveTop - 12, bound_x(), kArenaBottom);
    out_ += fmt::format("<circle class=\"dot\" cx=\"{}\" cy=\"{}\" r=\"3.5\"/>\n",
                        pixels(bound_x()), pixels(peak));
    const std::string words =
        shortened(fmt::format("lower bound {} at step {}: {}", bytes_text(plan_.lower_bound_bytes),
                              plan_.lower_bound_step, facts_.bound_node),
                  100);
    const double half = kCharacterWidth * 12 * static_cast<double>(character_count(words)) / 2;
    const double middle = std::clamp(bound_x(), kLeft + half, kWidth - 10 - half);
    text(middle, kLiveTop - 18, "strong middle", words);
  }

  void add_labels() {
    out_ += "<g class=\"labels\">\n";
    for (const PlannedTensor& t : facts_.tensors) add_label(t);
    out_ += "</g>\n";
  }

  void add_label(const PlannedTensor& t) {
    Box box = box_of(t);
    if (box.height < 11 || box.width < 11) return;
    const std::string colour = std::string("on-") + kClasses[static_cast<size_t>(t.role)];
    // Beside the line of the lower bound, on the wider side of it.
    if (box.x < bound_x() && bound_x() < box.x + box.width) {
      const double before = bound_x() - box.x, behind = box.width - before;
      box.x = before > behind ? box.x : bound_x() + 1;
      box.width = std::max(before, behind) - 1;
    }
    if (box.width < box.height && box.width < 60) {
      const auto fitted = fit_label(t.name, t.bytes, box.height, box.width);
      if (fitted) add_upright(box, *fitted, colour);
      return;
    }
    const auto fitted = fit_label(t.name, t.bytes, box.width, box.height);
    if (!fitted) return;
    const double pitch = 1.2 * fitted->size;
    double at = box.y + box.height / 2 + 0.36 * fitted->size -
                pitch * static_cast<double>(fitted->lines.size() - 1) / 2;
    for (const std::string& words : fitted->lines) {
      out_ +=
          fmt::format("<text class=\"{}\" style=\"font-size:{}px\" x=\"{}\" y=\"{}\">{}</text>\n",
                      colour, fitted->size, pixels(box.x + 5), pixels(at), xml_text(words));
      at += pitch;
    }
  }

  // Reads from below, as the axis does.
  void add_upright(const Box& box, const FittedLabel& fitted, std::string_view colour) {
    const double pitch = 1.2 * fitted.size;
    double at = box.x + box.width / 2 + 0.36 * fitted.size -
                pitch * static_cast<double>(fitted.lines.size() - 1) / 2;
    for (const std::string& words : fitted.lines) {
      out_ += fmt::format(
          "<text class=\"{}\" style=\"font-size:{}px\" transform=\"translate({} {})rotate(-90)\">{}"
          "</text>\n",
          colour, fitted.size, pixels(at), pixels(box.y + box.height - 5), xml_text(words));
      at += pitch;
    }
  }

  // One lane a phase, because update nodes run between backward ones.
  void add_lanes() {
    for (size_t lane = 0; lane < lanes_.size(); ++lane) {
      const double top = kLaneTop + kLanePitch * static_cast<double>(lane);
      text(kLeft - 10, top + kLaneHeight, "muted end", name_of(lanes_[lane]));
      std::string path;
      for (int s = 0; s < facts_.steps;) {
        int next = s;
        while (next < facts_.steps && facts_.phases[static_cast<size_t>(next)] == lanes_[lane]) {
          ++next;
        }
        if (next > s) {
          path += fmt::format("M{} {}H{}v{}H{}z", pixels(x(s)), pixels(top), pixels(x(next)),
                              pixels(kLaneHeight), pixels(x(s)));
        }
        s = std::max(next, s + 1);
      }
      out_ += fmt::format("<path class=\"lane\" d=\"{}\"/>\n", path);
    }
  }

  const MemoryPlan& plan_;
  const PlanFacts& facts_;
  const PlanTitle& title_;
  const int steps_;
  const double arena_;
  double height_ = 0;
  std::vector<Phase> lanes_;
  std::string out_;
};

}  // namespace

std::string work_text(const PlanTitle& title) {
  std::string text = fmt::format("{} update, batch {}", title.update, title.batch_size);
  if (!title.levers.empty()) text += ", " + title.levers;
  return title.budget.empty() ? text : text + "   ·   " + title.budget;
}

std::string plan_svg(const Program& program, const PlanTitle& title) {
  return plan_svg(program, plan_facts(program), title);
}

std::string plan_svg(const Program& program, const PlanFacts& facts, const PlanTitle& title) {
  return Picture(program, facts, title).svg();
}

}  // namespace tinytl::cli
