#include "tinytl/methods/update.h"

#include <algorithm>

namespace tinytl {
namespace {

constexpr std::pair<Update, std::string_view> kNames[] = {
    {Update::kLast, "last"}, {Update::kBias, "bias"}, {Update::kFull, "full"}};

bool trains(Update update, Role role) {
  return (update == Update::kBias && role == Role::kBias) ||
         (update == Update::kFull && is_parameter(role));
}

}  // namespace

std::optional<Update> parse_update(std::string_view name) {
  for (const auto& [update, text] : kNames) {
    if (text == name) return update;
  }
  return std::nullopt;
}

std::string_view name_of(Update update) {
  for (const auto& [value, text] : kNames) {
    if (value == update) return text;
  }
  return "?";
}

UpdateScheme make_scheme(const Graph& graph, Update update, std::span<const ValueId> classifier) {
  UpdateScheme scheme;
  for (size_t v = 0; v < graph.values().size(); ++v) {
    const ValueId id{static_cast<uint32_t>(v)};
    const Role role = graph.values()[v].role;
    if (std::find(classifier.begin(), classifier.end(), id) != classifier.end()) {
      scheme.parameters.push_back({id, Group::kHead});
    } else if (trains(update, role)) {
      scheme.parameters.push_back({id, Group::kBackbone});
    }
  }
  if (scheme.parameters.empty()) {
    throw InputError(graph.source + ": --update " + std::string(name_of(update)) +
                     " finds nothing to train in this network; try --update " +
                     (update == Update::kLast ? "bias" : "full") +
                     ", or name the classifier with --head NAME (--new-head replaces it)");
  }
  return scheme;
}

}  // namespace tinytl
