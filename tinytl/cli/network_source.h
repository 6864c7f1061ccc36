// The network of a run at any number of samples at once.
#pragma once

#include "tinytl/cli/load_network.h"
#include "tinytl/train/fit_budget.h"

namespace tinytl::cli {

// Imports when asked and holds one network at a time: weights are most of the memory of planning.
class NetworkSource : public StepSource {
 public:
  // `classes`: of the data set; 0 where the loss needs none. `given`: what another source of the
  // same run came to know().
  NetworkSource(const MethodArguments& args, int64_t classes, KnownParameters given = {})
      : args_(args), classes_(classes), given_(std::move(given)) {}

  const Graph& network(int64_t micro_batch) override;
  StepGraphs build(int64_t micro_batch, std::span<const Tiling> tilings) override;

  // Of the network held: what people are told, and what a learnt file must match.
  const std::string& description() const { return description_; }
  const std::string& fingerprint() const { return fingerprint_; }  // "" with parameters given
  const KnownParameters& known() const { return known_; }
  const FittedClassifier& fitted() const { return fitted_; }
  const UpdateScheme& scheme() const { return scheme_; }  // what trains of it
  // Trains that instead, until another network is held.
  void train(UpdateScheme scheme) { scheme_ = std::move(scheme); }
  const std::vector<LiteModule>& lite_modules() const { return lite_modules_; }

  // The divisors of the batch that the network can be built at, itself first; only itself where a
  // layer mixes the samples.
  std::vector<int64_t> micro_batches();
  // Throws InputError that names the layer that mixes the samples of a batch, if one does.
  void check_samples_apart();

 private:
  void import(int64_t micro_batch);
  void freeze(FittedClassifier& network) const;
  std::optional<Node> mixing_node();
  bool can_build(int64_t micro_batch);

  const MethodArguments& args_;
  const int64_t classes_;
  int64_t micro_batch_ = 0;  // of what is held
  FittedClassifier fitted_;
  UpdateScheme scheme_;
  std::vector<LiteModule> lite_modules_;
  const KnownParameters given_;
  KnownParameters known_;
  std::string description_, fingerprint_;
};

}  // namespace tinytl::cli
