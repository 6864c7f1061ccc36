#include "tinytl/train/inference.h"

#include <algorithm>
#include <cmath>

#include "engine/ops/passes.h"
#include "engine/schedule/fuse_accumulate.h"

namespace tinytl {
namespace {

// -log softmax(scores)[label].
double negative_log_likelihood(std::span<const float> scores, int32_t label) {
  const double top = *std::max_element(scores.begin(), scores.end());
  double sum = 0;
  for (const float s : scores) sum += std::exp(s - top);
  return std::log(sum) - (scores[static_cast<size_t>(label)] - top);
}

// Rows of the output are read by sample.
Program checked(Program program, Loss::Kind loss) {
  check_output(program.graph, program.graph.outputs.at(0), loss);
  return program;
}

}  // namespace

Program inference_program(Graph network, Loss::Kind loss, const tt_kernels& kernels,
                          const ScheduleOptions& options) {
  network.outputs = {loss == Loss::Kind::kSoftmaxCrossEntropy ? class_scores(network)
                                                              : network.outputs.at(0)};
  fuse_accumulate(network);
  return compile(prune(network), kernels, options);
}

LoaderOptions loader_for(const TensorType& input, bool training) {
  InputSize size;
  if (input.rank() == 4) {
    size = {static_cast<int>(input.dim(1)), static_cast<int>(input.dim(2)),
            static_cast<int>(input.dim(3))};
  } else {  // float data, taken as it is
    size = {1, 1, static_cast<int>(input.elements() / input.dim(0))};
  }
  const auto batch_size = static_cast<int>(input.dim(0));
  // One batch waits while the next is prepared: enough, and every batch is memory.
  constexpr int kPrefetch = 1;
  LoaderOptions options = training ? LoaderOptions{} : evaluation_loader(size, batch_size);
  options.prefetch = kPrefetch;
  options.batch_size = batch_size;
  options.size = size;
  return options;
}

Inference::Inference(Program program, Loss::Kind loss, std::shared_ptr<Arena> arena,
                     XnnpackLayers* xnnpack, std::shared_ptr<ThreadPool> threads)
    : loss_(loss),
      input_(program.graph),
      output_(program.graph.outputs.at(0)),
      output_type_(program.graph.value(output_).type),
      executor_(checked(std::move(program), loss),
                {.kernels = nullptr, .arena = std::move(arena), .threads = std::move(threads)}) {
  if (xnnpack != nullptr) xnnpack->add(executor_);
  executor_.forget_program();
}

int64_t Inference::classes() const {
  return loss_ == Loss::Kind::kSoftmaxCrossEntropy ? output_type().shape.back() : 0;
}

std::span<const float> Inference::predict(const Batch& batch,
                                          const Normalisation& normalisation) noexcept {
  load(batch, normalisation);
  return run();
}

void Inference::load(const Batch& batch, const Normalisation& normalisation) noexcept {
  input_.write(batch, normalisation, executor_);
}

std::span<const float> Inference::run() noexcept {
  executor_.step();
  return executor_.f32(output_);
}

void Inference::add_row(Evaluation& result, std::span<const float> scores, int32_t label) const {
  const float own = scores[static_cast<size_t>(label)];
  // A score that is no number counts as better, and an own one is never right.
  const bool valid = !std::isnan(own);
  const auto better =
      std::count_if(scores.begin(), scores.end(), [&](float s) { return !(s <= own); });
  const auto first_best = std::max_element(scores.begin(), scores.end()) - scores.begin();
  const bool right = valid && better == 0 && first_best == label;
  result.top1 += right;
  result.top5 += valid && better < 5;
  result.loss_sum += negative_log_likelihood(scores, label);
  ++result.class_count[static_cast<size_t>(label)];
  result.class_top1[static_cast<size_t>(label)] += right;
}

Evaluation Inference::evaluate(Loader& loader, const Normalisation& normalisation) {
  Evaluation result;
  result.class_count.resize(static_cast<size_t>(classes()));
  result.class_top1.resize(static_cast<size_t>(classes()));
  const auto width = static_cast<size_t>(output_type().elements() / batch_size());
  std::vector<int32_t> labels;
  std::vector<float> target;
  while (const Batch* const batch = loader.front()) {
    load(*batch, normalisation);
    labels.assign(batch->labels.begin(), batch->labels.end());
    if (loss_ == Loss::Kind::kMeanSquaredError) {
      target.resize(width * static_cast<size_t>(batch_size()));
      to_float(*batch, normalisation, target.data());
    }
    loader.pop();  // the next one is read meanwhile
    const auto scores = run();
    for (size_t n = 0; n < labels.size(); ++n, ++result.count) {
      const auto row = scores.subspan(n * width, width);
      if (loss_ == Loss::Kind::kSoftmaxCrossEntropy) {
        add_row(result, row, labels[n]);
        continue;
      }
      for (size_t i = 0; i < width; ++i) {
        const double d = double(row[i]) - double(target[n * width + i]);
        result.loss_sum += d * d / static_cast<double>(width);
      }
    }
  }
  return result;
}

}  // namespace tinytl
