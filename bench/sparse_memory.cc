// What pruning the backward pass and ordering the step save of an 8-bit training step, at batch 1:
// the figure of MCUNetV3 (Lin et al., NeurIPS 2022, fig. 8) in planned bytes of the arena.
//
//   TINYTL_DATA=... sparse_memory
//
// "kept order": nodes as differentiation wrote them, gradients until the end of the step, nothing
// fused. "planned": the step as tinytl-train runs it.

#include <cstdio>
#include <cstdlib>

#include "autodiff/gradient_codes.h"
#include "engine/onnx/import.h"
#include "engine/runtime/program.h"
#include "optim/optimizer.h"
#include "sparse_update/resolve.h"
#include "tinytl/methods/classifier.h"
#include "tinytl/methods/update.h"

namespace tinytl {
namespace {

constexpr int64_t kClasses = 10;

struct Case {
  const char* model;
  SchemeFile scheme;  // of the authors, 100 KB by their bill
};

SchemeFile scheme_of(int64_t biases, const std::vector<std::pair<int64_t, double>>& weights) {
  using Kind = SchemeEntry::Kind;
  SchemeFile file{.train = {{.kind = Kind::kLastBiases, .number = biases}}};
  for (const auto& [number, part] : weights) {
    file.train.push_back({.kind = Kind::kConvolution, .number = number, .channels = part});
  }
  return file;
}

size_t arena(const FittedClassifier& network, const UpdateScheme& scheme,
             const ScheduleOptions& options, bool gradients_in_8_bits = false) {
  GradientGraph gradients = differentiate(network.graph, {}, scheme);
  if (gradients_in_8_bits) hold_gradients_in_8_bits(gradients);
  TrainingGraph training =
      append_updates(std::move(gradients), {.kind = OptimizerOptions::Kind::kSgd, .momentum = 0});
  return compile(std::move(training.graph), *tt_best_kernels(), options).plan.arena_bytes;
}

void report(const Case& c, const std::string& folder) {
  const FittedClassifier network = fit_classifier(
      import_onnx(folder + "/models/" + c.model, {.precision = Precision::kInt8}), kClasses, {});
  const UpdateScheme full = make_scheme(network.graph, Update::kFull, network.parameters);
  const UpdateScheme sparse = resolve(c.scheme, network.graph, network.parameters);
  const ScheduleOptions kept{.updates_last = true, .reorder = false, .fuse = false};
  const auto kib = [](size_t bytes) { return static_cast<double>(bytes) / 1024; };
  std::printf("%-42s %7.1f %7.1f %7.1f %7.1f %7.1f\n", c.model, kib(arena(network, full, kept)),
              kib(arena(network, full, {})), kib(arena(network, sparse, kept)),
              kib(arena(network, sparse, {})), kib(arena(network, sparse, {}, true)));
}

}  // namespace
}  // namespace tinytl

int main() {
  const char* folder = std::getenv("TINYTL_DATA");
  if (folder == nullptr) {
    std::fprintf(stderr, "sparse_memory: set TINYTL_DATA to the folder of models\n");
    return 2;
  }
  std::printf("%-42s %15s %15s %7s\n%-42s %7s %7s %7s %7s %7s\n", "KiB of arena, batch 1, int8",
              "full update", "sparse update", "int8", "", "kept", "planned", "kept", "planned",
              "grad.");
  using tinytl::scheme_of;
  tinytl::report({"mcunet-5fps_imagenet128_qdq_int8.onnx",
                  scheme_of(22, {{21, 1}, {24, 1}, {27, 1}, {30, 1}, {36, 0.125}, {39, 0.25}})},
                 folder);
  tinytl::report(
      {"mbv2-w0.35_imagenet128_qdq_int8.onnx",
       scheme_of(25,
                 {{27, 1}, {30, 1}, {33, 1}, {36, 1}, {39, 1}, {42, 0.125}, {45, 0.5}, {48, 1}})},
      folder);
  return 0;
}
