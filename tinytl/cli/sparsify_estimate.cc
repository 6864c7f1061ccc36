#include <fmt/core.h>

#include <algorithm>

#include "tinytl/cli/console.h"
#include "tinytl/cli/sparsify.h"
#include "tinytl/data/loader.h"

namespace tinytl::cli {
namespace {

constexpr int64_t kClassifierSamples = 2048;  // that a new classifier sees before
constexpr float kClassifierRate = 3e-3f;

// Training samples one at a time, in the network's form.
class Samples {
 public:
  Samples(const Dataset& data, const Shape& input, const SparsifyArguments& args)
      : normalisation_(normalisation_of(args.image)), loader_(data, options_of(input, args)) {}

  // Into the network; the next epoch follows the one that has ended.
  void next(const GradientStatistics& network) {
    const Batch* batch = loader_.front();
    if (batch == nullptr) batch = loader_.front();
    if (batch == nullptr) throw InputError("no image of the training set can be read");
    to_float(*batch, normalisation_, network.input().data());
    network.label() = batch->labels.at(0);
    loader_.pop();
  }

 private:
  // Training samples as they are seen in evaluation, in random order.
  static LoaderOptions options_of(const Shape& input, const SparsifyArguments& args) {
    LoaderOptions options;
    options.batch_size = 1;
    options.seed = args.method.seed;
    if (input.size() == 4) {
      options.size = {static_cast<int>(input[1]), static_cast<int>(input[2]),
                      static_cast<int>(input[3])};
    }
    options.augment = AugmentOptions::evaluation();
    options.augment.squash = args.image.squash;
    options.augment.center_fraction = args.image.center_fraction;
    return options;
  }

  const Normalisation normalisation_;
  Loader loader_;
};

}  // namespace

Contributions estimate_contributions(const SparsifyArguments& args, Estimate estimate) {
  const DatasetSplits data = open_dataset(args.data.data, dataset_of(args.data));
  const auto classes = static_cast<int64_t>(data.train->classes().size());
  if (classes == 0) throw InputError(args.data.data + ": has no labels");
  SparsifyArguments real = args;
  real.method.precision = "float";  // integers have the gradients of what they stand for
  SparsifyNetwork network(real, classes, /*micro_batch=*/1);
  const Graph& graph = network.graph();
  GradientStatistics statistics(graph, network.classifier(), loss_of(args.method));
  const Shape input = graph.value(graph.inputs.at(0)).type.shape;
  Samples samples(*data.train, input, args);
  if (network.source().fitted().is_new) {
    for (int64_t i = 0; i < kClassifierSamples; ++i) {
      samples.next(statistics);
      statistics.train_classifier(kClassifierRate);
    }
  }
  for (int64_t i = 0; i < args.samples; ++i) {
    samples.next(statistics);
    statistics.measure();
  }
  return statistics.contributions(estimate);
}

}  // namespace tinytl::cli
