// The stages of training, from C++: adapts a network to a folder of images by the bias-only update.
//
//   adapt network.onnx photos

#include <cstdio>

#include "engine/onnx/import.h"
#include "tinytl/methods/classifier.h"
#include "tinytl/methods/update.h"
#include "tinytl/train/session.h"

int main(int argc, char** argv) try {
  using namespace tinytl;
  if (argc != 3) {
    std::fprintf(stderr, "usage: adapt NETWORK.onnx PHOTOS\n");
    return 2;
  }
  const DatasetSplits photos = open_dataset(argv[2]);
  const auto classes = static_cast<int64_t>(photos.train->classes().size());

  const Graph network = import_onnx(argv[1], {.batch = 4});
  const FittedClassifier fitted = fit_classifier(network, classes, {});
  const UpdateScheme scheme = make_scheme(fitted.graph, Update::kBias, fitted.parameters);
  const Loss loss{.label_smoothing = 0.1f};
  GradientGraph gradients = differentiate(fitted.graph, loss, scheme);
  TrainingGraph training = append_updates(std::move(gradients), OptimizerOptions{});
  Session session(std::move(training), fitted.graph, loss);
  std::printf("training memory: %zu bytes\n", session.memory().training_memory());

  LoaderOptions options = loader_for(session.input_type(), /*training=*/true);
  options.end_epoch = 3;
  Loader loader(*photos.train, options);
  Batch batch;
  for (int64_t epoch = 0; epoch < options.end_epoch; ++epoch) {
    double loss_sum = 0;
    while (loader.next(batch)) {
      loss_sum +=
          session.train_step(batch, Normalisation{}, LearningRates{}, /*dropout_seed=*/0).loss;
    }
    std::printf("epoch %ld: loss %.4f\n", static_cast<long>(epoch + 1),
                loss_sum / static_cast<double>(loader.batches_per_epoch()));
  }
  return 0;
} catch (const tinytl::InputError& error) {
  std::fprintf(stderr, "adapt: %s\n", error.what());
  return 3;
}
