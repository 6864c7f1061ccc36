// The update methods: each turns a network into an UpdateScheme.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "autodiff/update_scheme.h"
#include "engine/onnx/import.h"
#include "tinytl/methods/classifier.h"
#include "tinytl/methods/lite_residual.h"

namespace tinytl {

enum class Update : uint8_t {
  kLast,  // the classifier alone
  // With the classifier (Cai et al., TinyTL, NeurIPS 2020):
  kBias,      // every bias and shift
  kLite,      // lite residual modules
  kLiteBias,  // both
  kNorm,      // the scale and shift of every channel behind a layer
  kSparse,    // what a scheme file names (Lin et al., NeurIPS 2022): sparse_update/
  kFull,      // every parameter
};

std::optional<Update> parse_update(std::string_view name);
std::string_view name_of(Update update);
// "last, bias, ...", for messages.
std::vector<std::string> update_names();

inline bool has_lite_residuals(Update update) {
  return update == Update::kLite || update == Update::kLiteBias;
}

// The network in the form that the method trains: with lite residual modules beside its blocks
// (their parameters become `lite`), with a scale for every channel behind its layers, or with
// weights that train behind their standardisation where `norms` are group norms. It computes the
// same numbers (standardised weights: but for rounding). Parameters are shared with `network`.
// Throws what insert_lite_residuals throws. `modules`, where given, is told of them.
FittedClassifier in_form_for(Update update, FittedClassifier network, const LiteOptions& options,
                             Norms norms = Norms::kFolded,
                             std::vector<LiteModule>* modules = nullptr);

// Which parameters of such a network train. Those of `classifier` do under every method, as group
// kHead; they may be empty (an autoencoder): then kLast is refused with InputError. Those of lite
// residual modules do as group kLite. Of kSparse, the classifier alone: the rest is in a file.
UpdateScheme make_scheme(const Graph& graph, Update update, std::span<const ValueId> classifier,
                         std::span<const ValueId> lite = {});
inline UpdateScheme make_scheme(const FittedClassifier& network, Update update) {
  return make_scheme(network.graph, update, network.parameters, network.lite);
}

}  // namespace tinytl
