#include "tinytl/cli/sparsify_picture.h"

#include <fmt/core.h>

#include <algorithm>

#include "tinytl/cli/console.h"
#include "tinytl/cli/study_style.h"
#include "tinytl/cli/study_svg.h"

namespace tinytl::cli {
namespace {

constexpr double kLeft = 70, kRight = 12, kPanel = 150, kGap = 54, kTop = 88;
constexpr const char* kRatioClasses[kRatioCount] = {"m0", "m1", "m4", "m5"};
constexpr const char* kRatioNames[kRatioCount] = {"1/8", "1/4", "1/2", "all"};

class Drawing {
 public:
  explicit Drawing(const PartPicture& picture) : p_(picture) {
    unit_ = p_.in_points ? 100.0 : 1.0;
    if (!p_.in_points) {
      double most = p_.gains.biases.back();
      for (const auto& ratios : p_.gains.weights) most = std::max(most, std::ranges::max(ratios));
      unit_ = most > 0 ? 1 / most : 1;
    }
  }

  std::string run() {
    svg_.text(0, 22, "title", p_.title);
    svg_.text(0, 44, "muted", p_.subtitle);
    if (p_.choice.has_value()) {
      trained_panel();
      gain_panel("what the weights that train bring", /*chosen_only=*/true);
      cost_panel();
    } else {
      gain_panel("what a weight brings over all biases", /*chosen_only=*/false);
      bias_panel();
    }
    numbers();
    return svg_.file(bottom_ + 30, p_.title, kStudyStyle);
  }

 private:
  size_t count() const { return p_.gains.weights.size(); }
  double column() const { return (kFigureWidth - kLeft - kRight) / double(count()); }
  double x_of(size_t i) const { return kLeft + double(i) * column(); }
  std::string gain_text(double gain) const {
    return p_.in_points ? fmt::format("{:+.2f} points", 100 * gain)
                        : fmt::format("{:.3f} of the largest", unit_ * gain);
  }

  // The next panel, with its name and the ticks of its axis.
  Scale begin_panel(const std::string& name, double low, double high) {
    top_ = bottom_ == 0 ? kTop : bottom_ + kGap;
    bottom_ = top_ + kPanel;
    svg_.text(0, top_ - 12, "name", name);
    const Scale y = rounded_scale(low, high, bottom_, top_, 4);
    for (const double tick : y.ticks) {
      svg_.line("grid", kLeft, y(tick), kFigureWidth - kRight, y(tick));
      svg_.text(kLeft - 8, y(tick) + 4, "muted end", tick_text(tick));
    }
    return y;
  }

  void bar(const Scale& y, double left, double right, double value, const std::string& classes,
           const std::string& story) {
    svg_.begin_group("", story);
    const double from = y(0), to = y(value);
    svg_.rectangle(classes, {left, std::min(from, to), right, std::max(from, to)});
    svg_.end_group();
  }

  std::pair<double, double> range_of_gains() const {
    double low = 0, high = 0;
    for (const auto& ratios : p_.gains.weights) {
      low = std::min(low, std::ranges::min(ratios));
      high = std::max(high, std::ranges::max(ratios));
    }
    return {unit_ * low, high > low ? unit_ * high : 1};
  }

  void gain_panel(const std::string& name, bool chosen_only) {
    const auto [low, high] = range_of_gains();
    const Scale y =
        begin_panel(name + (p_.in_points ? ", points of top-1" : ", of the largest"), low, high);
    const double width = 0.84 * column() / double(kRatioCount);
    for (size_t i = 0; i < count(); ++i) {
      for (size_t r = 0; r < kRatioCount; ++r) {
        const double left = x_of(i) + 0.08 * column() + double(r) * width;
        const bool trains = !chosen_only || p_.choice->ratio[i] == static_cast<int>(r);
        bar(y, left, left + width, unit_ * p_.gains.weights[i][r],
            trains ? kRatioClasses[r] : "frozen",
            fmt::format("{} {}: {} of its input channels, {}", i, p_.names[i], kRatioNames[r],
                        gain_text(p_.gains.weights[i][r])));
      }
    }
    legend();
  }

  void legend() {
    double x = kFigureWidth - kRight;
    for (size_t r = kRatioCount; r-- > 0;) {
      svg_.text(x, top_ - 12, "muted end", kRatioNames[r]);
      x -= text_width(kRatioNames[r], 12.5) + 16;
      svg_.rectangle(kRatioClasses[r], {x, top_ - 22, x + 10, top_ - 12});
      x -= 14;
    }
  }

  void bias_panel() {
    const auto [low, high] = std::ranges::minmax(p_.gains.biases);
    const Scale y = begin_panel("what the biases of the last convolutions bring, from this one on",
                                unit_ * std::min(low, 0.0), high > 0 ? unit_ * high : 1);
    for (size_t i = 0; i < count(); ++i) {
      const double gain = p_.gains.biases[count() - i];
      bar(y, x_of(i) + 0.15 * column(), x_of(i) + 0.85 * column(), unit_ * gain, "m2",
          fmt::format("the last {}, from {} {}: {}", count() - i, i, p_.names[i], gain_text(gain)));
    }
  }

  void trained_panel() {
    const Scale y =
        begin_panel("what trains: part of the input channels of each weight, and biases", 0, 1);
    for (size_t i = 0; i < count(); ++i) {
      const bool bias = count() - i <= static_cast<size_t>(p_.choice->biases);
      const int r = p_.choice->ratio[i];
      const std::string story =
          fmt::format("{} {}: {}{}", i, p_.names[i], bias ? "bias" : "frozen",
                      r < 0 ? std::string() : fmt::format(" and {} of its weight", kRatioNames[r]));
      bar(y, x_of(i) + 0.15 * column(), x_of(i) + 0.85 * column(), 1, "frozen", story);
      if (r >= 0) {
        bar(y, x_of(i) + 0.15 * column(), x_of(i) + 0.85 * column(), kRatios[r], kRatioClasses[r],
            story);
      }
      if (!bias) continue;
      svg_.rectangle(
          "m2", {x_of(i) + 0.15 * column(), bottom_ + 2, x_of(i) + 0.85 * column(), bottom_ + 7});
    }
  }

  // Of the biases alone, below that of the weight.
  int64_t bias_cost(size_t i) const {
    const size_t k = count() - i;
    if (k > static_cast<size_t>(p_.choice->biases)) return 0;
    return p_.costs.biases[k] - p_.costs.biases[k - 1];
  }

  void cost_panel() {
    std::vector<int64_t> weight(count(), 0);
    double most = 1;
    for (size_t i = 0; i < count(); ++i) {
      const int r = p_.choice->ratio[i];
      if (r >= 0) weight[i] = p_.costs.weights[i][static_cast<size_t>(r)];
      most = std::max(most, double(weight[i] + bias_cost(i)));
    }
    const Scale y = begin_panel("what that costs, kB", 0, most / 1000);
    for (size_t i = 0; i < count(); ++i) {
      const double left = x_of(i) + 0.15 * column(), right = x_of(i) + 0.85 * column();
      const std::string story =
          fmt::format("{} {}: {} for the bias and what it keeps, {} for the weight", i, p_.names[i],
                      bytes_text(static_cast<size_t>(bias_cost(i))),
                      bytes_text(static_cast<size_t>(weight[i])));
      bar(y, left, right, double(weight[i] + bias_cost(i)) / 1000, "m3", story);
      bar(y, left, right, double(bias_cost(i)) / 1000, "m2", story);
    }
  }

  void numbers() {
    const size_t step = column() > 22 ? 1 : 2;
    for (size_t i = 0; i < count(); i += step) {
      svg_.text(x_of(i) + column() / 2, bottom_ + 20, "small muted middle", std::to_string(i));
    }
    svg_.text(0, bottom_ + 20, "small muted", "convolution");
  }

  const PartPicture& p_;
  Svg svg_;
  double unit_ = 1, top_ = 0, bottom_ = 0;
};

}  // namespace

std::string part_svg(const PartPicture& picture) { return Drawing(picture).run(); }

}  // namespace tinytl::cli
