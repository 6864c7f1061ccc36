#include <fmt/core.h>

#include "tinytl/cli/console.h"
#include "tinytl/cli/load_network.h"
#include "tinytl/cli/sparsify.h"

namespace tinytl::cli {

SparsifyNetwork::SparsifyNetwork(const SparsifyArguments& args, int64_t classes,
                                 int64_t micro_batch)
    : method_(args.method), source_(method_, classes), micro_batch_(micro_batch) {
  const Graph& network = graph();
  layers_ = convolutions(network, classifier());
  if (layers_.empty()) {
    throw InputError(network.source + ": has no convolutions to choose from; take --update last");
  }
  for (const Convolution& layer : layers_) names_.push_back(network.value(layer.weight).name);
}

int layers(const SparsifyArguments& args) {
  constexpr int64_t kUsualClasses = 10;
  SparsifyNetwork network(args, args.classes > 0 ? args.classes : kUsualClasses, 1);
  const Graph& graph = network.graph();
  fmt::print("tinytl-sparsify: convolutions of {}\n\n", network_name(args.method));
  std::vector<std::vector<std::string>> rows{{"weight", "number", "shape", "input", "bias"}};
  for (size_t i = 0; i < network.layers().size(); ++i) {
    const Convolution& layer = network.layers()[i];
    rows.push_back({graph.value(layer.weight).name, std::to_string(i),
                    to_string(graph.value(layer.weight).type.shape),
                    to_string(graph.value(graph.node(layer.node).input(0)).type.shape),
                    layer.bias.has_value() ? graph.value(*layer.bias).name : "-"});
  }
  print_table(rows);
  for (const ValueId id : network.classifier()) {
    fmt::print("  {}  (classifier, always trains)\n", graph.value(id).name);
  }
  return kDone;
}

}  // namespace tinytl::cli
