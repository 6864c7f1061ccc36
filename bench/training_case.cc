#include "bench/training_case.h"

#include "tinytl/cli/synthetic.h"

namespace tinytl {

Batch synthetic_batch(const TensorType& input, int64_t classes) {
  const std::vector<int64_t> shape(input.shape.begin() + 1, input.shape.end());
  const cli::SyntheticDataset data(shape, classes, input.dim(0));
  Batch batch;
  batch.size = loader_for(input, /*training=*/false).size;
  batch.count = static_cast<int>(input.dim(0));
  Sample sample;
  for (int64_t i = 0; i < input.dim(0); ++i) {
    data.load(i, /*channels=*/0, /*at_least_side=*/0, sample);
    batch.pixels.insert(batch.pixels.end(), sample.image.pixels.begin(), sample.image.pixels.end());
    batch.floats.insert(batch.floats.end(), sample.floats.begin(), sample.floats.end());
    batch.labels.push_back(data.label(i));
  }
  return batch;
}

TrainingCase::TrainingCase(const cli::MethodArguments& args, int64_t classes)
    : setup_(cli::prepare(args, classes)),
      batch_(synthetic_batch(setup_.session->input_type(), classes)) {}

void TrainingCase::step(StepTimes* times) {
  session().record(times);
  for (int64_t part = 0; part < session().micro_batches(); ++part) {
    session().load(batch_, {});
    session().run({.head = 0, .backbone = 0}, /*dropout_seed=*/0, part);
  }
  session().record(nullptr);
}

}  // namespace tinytl
