#include "tinytl/methods/update.h"

#include <algorithm>

#include "tinytl/methods/channel_scale.h"
#include "tinytl/methods/standardize.h"

namespace tinytl {
namespace {

constexpr std::pair<Update, std::string_view> kNames[] = {
    {Update::kLast, "last"},          {Update::kBias, "bias"}, {Update::kLite, "lite"},
    {Update::kLiteBias, "lite+bias"}, {Update::kNorm, "norm"}, {Update::kSparse, "sparse"},
    {Update::kFull, "full"}};

bool trains(Update update, Role role, bool is_scale) {
  switch (update) {
    case Update::kLast:
    case Update::kLite:
    case Update::kSparse:
      return false;
    case Update::kBias:
    case Update::kLiteBias:
      return role == Role::kBias;
    case Update::kNorm:
      return role == Role::kBias || is_scale;
    case Update::kFull:
      return is_parameter(role);
  }
  return false;
}

bool contains(std::span<const ValueId> ids, ValueId id) {
  return std::ranges::find(ids, id) != ids.end();
}

void renumber(std::vector<ValueId>& ids, const std::vector<ValueId>& now) {
  for (ValueId& id : ids) id = now[index(id)];
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

std::vector<std::string> update_names() {
  std::vector<std::string> names;
  for (const auto& [update, text] : kNames) names.emplace_back(text);
  return names;
}

FittedClassifier in_form_for(Update update, FittedClassifier network, const LiteOptions& options,
                             Norms norms, std::vector<LiteModule>* modules) {
  std::vector<ValueId> ids;
  if (has_lite_residuals(update)) {
    LiteOptions with_bias = options;
    with_bias.trains_last_bias = update == Update::kLite;
    LiteNetwork lite = insert_lite_residuals(network.graph, with_bias, &ids);
    network.graph = std::move(lite.graph);
    renumber(network.parameters, ids);
    network.lite.clear();
    for (const LiteModule& module : lite.modules) {
      network.lite.insert(network.lite.end(), module.parameters.begin(), module.parameters.end());
    }
    if (modules != nullptr) *modules = std::move(lite.modules);
  }
  if (update == Update::kNorm) {
    network.graph = insert_channel_scales(network.graph, network.parameters, &ids);
    renumber(network.parameters, ids);
  }
  if (norms == Norms::kGroup) {
    std::vector<ValueId> trained;
    for (const TrainedParameter& p : make_scheme(network, update).parameters) {
      trained.push_back(p.parameter);
    }
    network.graph = standardize_trained_weights(network.graph, trained, &ids);
    renumber(network.parameters, ids);
    renumber(network.lite, ids);
  }
  return network;
}

UpdateScheme make_scheme(const Graph& graph, Update update, std::span<const ValueId> classifier,
                         std::span<const ValueId> lite) {
  const std::vector<bool> scales = channel_scales(graph);
  UpdateScheme scheme;
  for (size_t v = 0; v < graph.values().size(); ++v) {
    const ValueId id{static_cast<uint32_t>(v)};
    if (contains(classifier, id)) {
      scheme.parameters.push_back({id, Group::kHead});
    } else if (contains(lite, id)) {
      scheme.parameters.push_back({id, Group::kLite});
    } else if (trains(update, graph.values()[v].role, scales[v])) {
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
