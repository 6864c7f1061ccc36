// How far gradients are from those with float saves when what the backward pass keeps has 8 or 4
// bits (--save-activations), parameter by parameter, on a batch of real images.
//
//   saved_bits_error MODEL.onnx IMAGES [UPDATE]      IMAGES as of tinytl-train; full by default

#include <algorithm>
#include <cstdio>

#include "engine/onnx/import.h"
#include "tests/golden/fixed_batch.h"
#include "tinytl/data/loader.h"
#include "tinytl/methods/classifier.h"
#include "tinytl/train/inference.h"

namespace tinytl {
namespace {

constexpr int64_t kBatch = 8;

// The pretrained network with a new classifier, on the first batch of the training set.
FixedBatch first_batch(const char* model, const char* images) {
  const DatasetSplits data = open_dataset(images);
  const auto classes = static_cast<int64_t>(data.train->classes().size());
  FixedBatch result;
  result.model = fit_classifier(import_onnx(model, {.batch = kBatch}), classes, {}).graph;
  const TensorType& input = result.model.value(result.model.inputs.at(0)).type;
  Loader loader(*data.train, loader_for(input, /*training=*/true));
  Batch batch;
  if (!loader.next(batch)) throw InputError(std::string(images) + ": fewer than 8 images");
  result.input.resize(static_cast<size_t>(input.elements()));
  to_float(batch, {}, result.input.data());
  result.labels = batch.labels;
  result.loss.label_smoothing = 0.1f;
  return result;
}

struct Error {
  double relative;
  std::string parameter;
};

// Of the parameters whose gradient changes: a bias reads bit masks, which stay exact.
std::vector<Error> errors_of(const BatchGradients& got, const BatchGradients& want) {
  std::vector<Error> errors;
  for (const auto& [name, values] : want.gradients) {
    const std::vector<double> exact(values.begin(), values.end());
    const double relative = relative_error(got.gradients.at(name), exact);
    if (relative > 0) errors.push_back({relative, name});
  }
  std::ranges::sort(errors, {}, &Error::relative);
  return errors;
}

void run(const char* model, const char* images, Update update) {
  const FixedBatch batch = first_batch(model, images);
  const tt_kernels& kernels = *tt_best_kernels();
  const BatchGradients exact = compute_gradients(batch, update, kernels);
  std::printf("%-6s %10s %10s %10s %10s   worst parameter\n", "bits", "changed", "median", "90 %",
              "worst");
  for (const int bits : {8, 4}) {
    const std::vector<Error> e = errors_of(compute_gradients(batch, update, kernels, bits), exact);
    if (e.empty())
      throw InputError("--update " + std::string(name_of(update)) + " keeps no values");
    std::printf("%-6d %4zu of %3zu %9.2f%% %9.2f%% %9.2f%%   %s\n", bits, e.size(),
                exact.gradients.size(), 100 * e[e.size() / 2].relative,
                100 * e[e.size() * 9 / 10].relative, 100 * e.back().relative,
                e.back().parameter.c_str());
  }
}

}  // namespace
}  // namespace tinytl

int main(int argc, char** argv) {
  const auto update = tinytl::parse_update(argc == 4 ? argv[3] : "full");
  if (argc < 3 || argc > 4 || !update.has_value()) {
    std::fprintf(stderr, "usage: saved_bits_error MODEL.onnx IMAGES [UPDATE]\n");
    return 2;
  }
  try {
    tinytl::run(argv[1], argv[2], *update);
    return 0;
  } catch (const tinytl::InputError& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 3;
  }
}
