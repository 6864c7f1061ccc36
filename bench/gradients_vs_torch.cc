// Loss, gradients and ten training steps of a real network against bench/peers/gradients_torch.py.
//
//   gradients_vs_torch --model M.onnx --reference g.safetensors --update bias|full|last
//
// Exit code 1 where an error is above 1e-4. Where an activation of the batch lies within rounding
// of a kink, float32 arithmetic itself is further from the exact gradient than that: then the limit
// is ten times the error of PyTorch's own float32 gradient, which the reference file holds. A kink
// that PyTorch's rounding happens to miss still fails; it is one if --kernels portable passes.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "engine/onnx/import.h"
#include "tests/golden/fixed_batch.h"

namespace tinytl {
namespace {

constexpr double kLimit = 1e-4;
constexpr double kKinkFactor = 10;
// PyTorch's script and this one must agree on the optimizers.
constexpr float kRate = 1e-4f;
constexpr float kLabelSmoothing = 0.1f;

using Tensors = std::map<std::string, std::vector<double>>;

template <typename T>
std::vector<double> numbers(const char* data, size_t bytes) {
  std::vector<T> values(bytes / sizeof(T));
  std::memcpy(values.data(), data, values.size() * sizeof(T));
  return {values.begin(), values.end()};
}

// Every tensor as double: the file mixes F64, F32 and I32.
Tensors read_reference(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw InputError(path + ": cannot be read");
  const std::string file{std::istreambuf_iterator<char>(in), {}};
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, file.data(), std::min(sizeof header_bytes, file.size()));
  const char* data = file.data() + sizeof header_bytes + header_bytes;
  const auto header = nlohmann::json::parse(file.substr(sizeof header_bytes, header_bytes));
  Tensors tensors;
  for (const auto& [name, entry] : header.items()) {
    const size_t begin = entry["data_offsets"][0], end = entry["data_offsets"][1];
    if (data + end > file.data() + file.size()) throw InputError(path + ": was cut short");
    const std::string dtype = entry["dtype"];
    tensors[name] = dtype == "F64"   ? numbers<double>(data + begin, end - begin)
                    : dtype == "F32" ? numbers<float>(data + begin, end - begin)
                                     : numbers<int32_t>(data + begin, end - begin);
  }
  return tensors;
}

FixedBatch make_batch(const std::string& model, const Tensors& reference) {
  FixedBatch batch;
  const std::vector<double>& input = reference.at("input");
  const std::vector<double>& labels = reference.at("labels");
  batch.model = import_onnx(model, {.batch = static_cast<int64_t>(labels.size())});
  batch.input.assign(input.begin(), input.end());
  batch.labels.assign(labels.begin(), labels.end());
  batch.loss.label_smoothing = kLabelSmoothing;
  // An autoencoder's output has the shape of its input.
  if (reference.at("logits").size() == input.size()) {
    batch.loss = {.kind = Loss::Kind::kMeanSquaredError};
  }
  return batch;
}

std::vector<float> as_float(const std::vector<double>& values) {
  return {values.begin(), values.end()};
}

struct Comparison {
  std::string name;
  double error = 0;        // of the engine
  double torch_error = 0;  // of PyTorch in float32
  bool fails() const { return !(error <= std::max(kLimit, kKinkFactor * torch_error)); }
};

std::vector<Comparison> compare_gradients(const BatchGradients& got, const Tensors& reference) {
  std::vector<Comparison> result;
  for (const auto& [key, want] : reference) {
    if (!key.starts_with("grad.")) continue;
    const std::string name = key.substr(5);
    const auto found = got.gradients.find(name);
    const double torch_error = relative_error(as_float(reference.at("grad_f32." + name)), want);
    const bool comparable = found != got.gradients.end() && found->second.size() == want.size();
    if (!comparable) std::printf("no gradient of parameter %s\n", name.c_str());
    result.push_back(
        {name, comparable ? relative_error(found->second, want) : INFINITY, torch_error});
  }
  if (got.gradients.size() != result.size()) {
    std::printf("the engine trains %zu parameters, the reference %zu\n", got.gradients.size(),
                result.size());
    result.push_back({"(number of parameters)", INFINITY, 0});
  }
  std::sort(result.begin(), result.end(),
            [](const Comparison& a, const Comparison& b) { return a.error > b.error; });
  return result;
}

// The step that is furthest off.
Comparison compare_losses(const std::string& name, const std::vector<float>& got,
                          const Tensors& reference) {
  const std::vector<double>& want = reference.at(name + ".losses");
  const std::vector<double>& rounded = reference.at(name + "_f32.losses");
  Comparison result{name + " losses", 0, 0};
  for (size_t t = 0; t < want.size(); ++t) {
    result.error = std::max(result.error, std::abs(got.at(t) - want[t]) / std::abs(want[t]));
    result.torch_error =
        std::max(result.torch_error, std::abs(rounded[t] - want[t]) / std::abs(want[t]));
  }
  return result;
}

bool report(const Comparison& c) {
  std::printf("  %-44s %8.1e  (PyTorch float32 %8.1e)%s\n", c.name.c_str(), c.error, c.torch_error,
              c.fails() ? "  FAILS" : "");
  return !c.fails();
}

bool compare(const std::string& model, const std::string& reference_path, Update update,
             const tt_kernels& kernels) {
  constexpr size_t kWorst = 5;
  const Tensors reference = read_reference(reference_path);
  const FixedBatch batch = make_batch(model, reference);
  const BatchGradients got = compute_gradients(batch, update, kernels);
  const std::vector<Comparison> gradients = compare_gradients(got, reference);
  const double loss = reference.at("loss")[0];
  std::printf("%s --update %s, %s kernels: %zu parameters\n", model.c_str(),
              std::string(name_of(update)).c_str(), kernels.name, gradients.size());
  bool ok = report({"loss", std::abs(got.loss - loss) / std::abs(loss),
                    std::abs(reference.at("loss_f32")[0] - loss) / std::abs(loss)});
  ok = report({"prediction", relative_error(got.prediction, reference.at("logits")), 0}) && ok;
  for (size_t i = 0; i < gradients.size(); ++i) {
    if (i < kWorst) report(gradients[i]);
    ok = ok && !gradients[i].fails();
  }
  const OptimizerOptions sgd{.kind = OptimizerOptions::Kind::kSgd, .momentum = 0.9f};
  const OptimizerOptions adam{.kind = OptimizerOptions::Kind::kAdam};
  constexpr int kSteps = 10;
  ok = report(compare_losses("sgd", train_losses(batch, update, sgd, kRate, kSteps, kernels),
                             reference)) &&
       ok;
  ok = report(compare_losses("adam", train_losses(batch, update, adam, kRate, kSteps, kernels),
                             reference)) &&
       ok;
  return ok;
}

std::string option(const std::vector<std::string>& arguments, const std::string& name) {
  const auto found = std::find(arguments.begin(), arguments.end(), name);
  return found == arguments.end() || found + 1 == arguments.end() ? "" : *(found + 1);
}

int run(const std::vector<std::string>& arguments) {
  const std::string model = option(arguments, "--model");
  const std::string reference = option(arguments, "--reference");
  const std::optional<Update> update = parse_update(option(arguments, "--update"));
  const bool is_portable = option(arguments, "--kernels") == "portable";
  if (model.empty() || reference.empty() || !update.has_value()) {
    std::fprintf(stderr,
                 "usage: gradients_vs_torch --model M.onnx --reference g.safetensors "
                 "--update bias|full|last [--kernels portable|best]\n");
    return 2;
  }
  const tt_kernels& kernels = is_portable ? tt_portable_kernels : *tt_best_kernels();
  return compare(model, reference, *update, kernels) ? 0 : 1;
}

}  // namespace
}  // namespace tinytl

int main(int argc, char** argv) {
  try {
    return tinytl::run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 3;
  }
}
