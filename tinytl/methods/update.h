// The update methods: each turns a network into an UpdateScheme.
#pragma once

#include <optional>
#include <string_view>

#include "autodiff/update_scheme.h"

namespace tinytl {

enum class Update : uint8_t {
  kLast,  // the classifier alone
  kBias,  // every bias and shift, and the classifier (Cai et al., TinyTL, NeurIPS 2020)
  kFull,  // every parameter
};

std::optional<Update> parse_update(std::string_view name);
std::string_view name_of(Update update);

// `classifier`: its parameters, which train under every method, as group kHead. They may be empty
// (an autoencoder): then kLast is refused with InputError.
UpdateScheme make_scheme(const Graph& graph, Update update, std::span<const ValueId> classifier);

}  // namespace tinytl
