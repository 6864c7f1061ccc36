#include "tests/train/support.h"

#include <stdlib.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>

#include "engine/onnx/import.h"
#include "engine/ops/op_table.h"

namespace tinytl {
namespace fs = std::filesystem;

TempFolder::TempFolder() {
  std::string name = (fs::temp_directory_path() / "tinytl-train-XXXXXX").string();
  path_ = mkdtemp(name.data());
}

TempFolder::~TempFolder() { fs::remove_all(path_); }

std::vector<std::string> TempFolder::files() const {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(path_)) {
    names.push_back(entry.path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

std::string read_text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_text(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const InputError& error) {
    return error.what();
  }
  return "(no error)";
}

ColourDataset::ColourDataset(int64_t per_class, uint64_t seed, std::vector<std::string> classes)
    : seed_(seed), size_(per_class * static_cast<int64_t>(classes.size())) {
  classes_ = std::move(classes);
}

int32_t ColourDataset::label(int64_t i) const {
  return static_cast<int32_t>(i % static_cast<int64_t>(classes_.size()));
}

void ColourDataset::load(int64_t i, int channels, int, Sample& out) const {
  if (std::ranges::find(damaged, i) != damaged.end()) throw ImageError(name(i) + ": is damaged");
  Random random(seed_, 0, static_cast<uint64_t>(i));
  out.image = {20, 18, channels, std::vector<uint8_t>(static_cast<size_t>(20 * 18 * channels))};
  for (size_t p = 0; p < out.image.pixels.size(); ++p) {
    const bool own = static_cast<int32_t>(p % static_cast<size_t>(channels)) == label(i) % channels;
    out.image.pixels[p] = static_cast<uint8_t>(random.below(150) + (own ? 100 : 0));
  }
}

void PlaneDataset::load(int64_t i, int, int, Sample& out) const {
  Random random(3, 0, static_cast<uint64_t>(i));
  const double a = random.uniform(-1, 1), b = random.uniform(-1, 1);
  out.floats.resize(kWidth);
  for (size_t k = 0; k < out.floats.size(); ++k) {
    const auto phase = static_cast<double>(k);
    out.floats[k] = static_cast<float>(a * std::sin(phase) + b * std::cos(phase));
  }
}

Graph golden_network(int64_t batch) {
  return import_onnx(fs::path(TINYTL_GOLDEN) / "mobilenet_small.onnx",
                     {.batch = batch, .dims = {}});
}

namespace {

Prepared finish(Graph imported, const FittedClassifier& network, const Loss& loss,
                const Recipe& recipe) {
  const FittedClassifier form =
      recipe.dropout > 0 ? with_dropout(network, recipe.dropout) : network;
  const int64_t parts = recipe.micro_batch == 0 ? 1 : recipe.batch / recipe.micro_batch;
  OptimizerOptions optimizer = recipe.optimizer;
  optimizer.accumulation_steps *= static_cast<int>(parts);
  TrainingGraph training = append_updates(
      differentiate(form.graph, loss, make_scheme(form.graph, recipe.update, form.parameters)),
      optimizer);
  Prepared result{.imported = std::move(imported), .info = {}, .session = nullptr};
  result.session =
      std::make_unique<Session>(std::move(training), network.graph, loss,
                                SessionOptions{.micro_batches = parts, .threads = recipe.threads});
  result.info.model_fingerprint = fingerprint(result.imported);
  result.info.update = name_of(recipe.update);
  return result;
}

}  // namespace

Prepared prepare(const Recipe& recipe) {
  const int64_t batch = recipe.micro_batch == 0 ? recipe.batch : recipe.micro_batch;
  Graph imported =
      import_onnx(fs::path(TINYTL_GOLDEN) / recipe.network, {.batch = batch, .dims = {}});
  const FittedClassifier network =
      fit_classifier(imported, recipe.classes, {.head = "", .replace = false, .seed = 5});
  Prepared result =
      finish(std::move(imported), network,
             {.kind = Loss::Kind::kSoftmaxCrossEntropy, .label_smoothing = 0.1f}, recipe);
  result.info.classes = {"r", "g", "b", "other", "more"};
  result.info.classes.resize(static_cast<size_t>(recipe.classes));
  return result;
}

Prepared prepare_autoencoder(int64_t batch) {
  constexpr int64_t kWidth = PlaneDataset::kWidth, kCode = 3;
  const auto weight = [](Shape shape, uint64_t seed) {
    auto tensor = std::make_shared<Tensor>(TensorType{DType::kF32, std::move(shape)});
    Random random(seed, 0, 0);
    for (float& w : tensor->f32()) w = static_cast<float>(random.uniform(-0.5, 0.5));
    return tensor;
  };
  Graph graph;
  graph.source = "autoencoder";
  const ValueId x = graph.add_input("x", {DType::kF32, {batch, kWidth}});
  const ValueId w1 = graph.add_persistent("w1", Role::kWeight, weight({kWidth, kCode}, 1));
  const ValueId b1 = graph.add_persistent("b1", Role::kBias, weight({kCode}, 2));
  const ValueId w2 = graph.add_persistent("w2", Role::kWeight, weight({kCode, kWidth}, 3));
  const ValueId b2 = graph.add_persistent("b2", Role::kBias, weight({kWidth}, 4));
  const ValueId code = emit(graph, kLinear, "encoder", {x, w1, b1});
  graph.outputs = {emit(graph, kLinear, "decoder", {code, w2, b2})};
  const FittedClassifier network = keep_classifier(graph, "");
  return finish(graph, network, {.kind = Loss::Kind::kMeanSquaredError},
                {.update = Update::kFull, .batch = batch});
}

Batch part_of(const Batch& batch, int first, int count) {
  const auto cut = [&](auto& values) {
    const size_t each = values.size() / static_cast<size_t>(batch.count);
    const auto begin = values.begin() + static_cast<ptrdiff_t>(each) * first;
    values = {begin, begin + static_cast<ptrdiff_t>(each) * count};
  };
  Batch part = batch;
  cut(part.pixels);
  cut(part.floats);
  cut(part.labels);
  part.count = count;
  return part;
}

std::string bytes_of(std::span<const Value> values) {
  std::string text;
  for (const Value& value : values) {
    const auto bytes = value.data->bytes();
    text += value.name + to_string(value.type);
    text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  return text;
}

TrainingResult train(Prepared& prepared, const Dataset& data, const Dataset* val,
                     const TrainerOptions& options, const TrainerEvents& events) {
  std::atomic<bool> never{false};
  return Trainer(*prepared.session, data, val, prepared.info, options).run(events, never);
}

}  // namespace tinytl
