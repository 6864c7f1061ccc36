#include "tinytl/networks/reference_network.h"

#include <charconv>
#include <optional>

#include "tinytl/networks/networks.h"

namespace tinytl {
namespace {

struct Family {
  std::string_view name;
  void (*build)(NetworkBuilder&, double width);
  bool has_widths = false;
};

constexpr Family kFamilies[] = {
    {"proxylessnas-mobile", build_proxylessnas_mobile, true},
    {"mobilenet-v2", build_mobilenet_v2, true},
    {"mobilenet-v1", build_mobilenet_v1, true},
    {"resnet-18", build_resnet_18},
    {"resnet-34", build_resnet_34},
    {"resnet-50", build_resnet_50},
};

constexpr double kSmallestWidth = 0.05, kLargestWidth = 4;

// The width that `name` gives to the family: 1 without one; empty where it is of another family.
std::optional<double> width_in(std::string_view name, const Family& family) {
  if (name == family.name) return 1.0;
  const size_t used = family.name.size() + 1;
  if (!family.has_widths || name.size() <= used || !name.starts_with(family.name) ||
      name[used - 1] != '-') {
    return std::nullopt;
  }
  double width = 0;
  const auto [end, error] = std::from_chars(name.data() + used, name.data() + name.size(), width,
                                            std::chars_format::fixed);
  const bool whole = error == std::errc() && end == name.data() + name.size();
  if (!whole || !(width >= kSmallestWidth && width <= kLargestWidth)) return std::nullopt;
  return width;
}

void check_resolution(std::string_view name, int64_t resolution) {
  if (resolution >= kTotalStride) return;
  throw InputError(std::string(name) + ": --resolution " + std::to_string(resolution) +
                   " is too small for it: it halves the image five times; take " +
                   std::to_string(kTotalStride) + " or more");
}

}  // namespace

std::vector<std::string> reference_networks() {
  std::vector<std::string> names;
  for (const Family& family : kFamilies) names.emplace_back(family.name);
  return names;
}

std::string reference_networks_text() {
  std::string text;
  for (const Family& family : kFamilies) {
    text += (text.empty() ? "" : ", ") + std::string(family.name);
  }
  return text + " (the mobile ones at any width, as in mobilenet-v2-0.35)";
}

Graph reference_network(std::string_view name, const NetworkOptions& options) {
  for (const Family& family : kFamilies) {
    const std::optional<double> width = width_in(name, family);
    if (!width.has_value()) continue;
    check_resolution(name, options.resolution);
    NetworkBuilder network(name, options);
    family.build(network, *width);
    return network.take();
  }
  throw InputError("--network " + std::string(name) + " is not known; take one of " +
                   reference_networks_text());
}

}  // namespace tinytl
