// A small network, small data, and a folder to save to: what the tests of tinytl/train run on.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "tinytl/methods/update.h"
#include "tinytl/train/trainer.h"

namespace tinytl {

// A new folder, removed at the end of the test.
class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  std::vector<std::string> files() const;  // names, sorted

 private:
  std::filesystem::path path_;
};

std::string read_text(const std::filesystem::path& path);
void write_text(const std::filesystem::path& path, const std::string& text);

// The message of the InputError that `call` throws.
std::string error_of(const std::function<void()>& call);

// Noise of 20 x 18 pixels in which class c has more of channel c (of three).
class ColourDataset : public Dataset {
 public:
  ColourDataset(int64_t per_class, uint64_t seed,
                std::vector<std::string> classes = {"r", "g", "b"});

  SampleKind kind() const override { return SampleKind::kImage; }
  int64_t size() const override { return size_; }
  int32_t label(int64_t i) const override;
  std::string name(int64_t i) const override { return "colour " + std::to_string(i); }
  std::vector<int64_t> sample_shape() const override { return {}; }
  void load(int64_t i, int channels, int at_least_side, Sample& out) const override;

  std::vector<int64_t> damaged;  // these throw

 private:
  uint64_t seed_;
  int64_t size_;
};

// Rows of floats that lie on a plane, without labels: what an autoencoder can learn.
class PlaneDataset : public Dataset {
 public:
  explicit PlaneDataset(int64_t size) : size_(size) {}
  static constexpr int64_t kWidth = 6;

  SampleKind kind() const override { return SampleKind::kFloats; }
  int64_t size() const override { return size_; }
  int32_t label(int64_t) const override { return -1; }
  std::string name(int64_t i) const override { return "row " + std::to_string(i); }
  std::vector<int64_t> sample_shape() const override { return {kWidth}; }
  void load(int64_t i, int channels, int at_least_side, Sample& out) const override;

 private:
  int64_t size_;
};

struct Recipe {
  Update update = Update::kBias;
  OptimizerOptions optimizer = {};
  float dropout = 0;
  int64_t batch = 4;
  int64_t micro_batch = 0;  // 0: the whole batch
  int64_t classes = 3;
  std::filesystem::path network = "mobilenet_small.onnx";  // in tests/golden, unless absolute
  int threads = 1;
};

// A network ready to train.
struct Prepared {
  Graph imported;
  LearntInfo info;
  std::unique_ptr<Session> session;
};
Graph golden_network(int64_t batch);
Prepared prepare(const Recipe& recipe = {});
// The samples [first, first + count) of a batch.
Batch part_of(const Batch& batch, int first, int count);

// Two linear layers that reproduce their six inputs.
Prepared prepare_autoencoder(int64_t batch);

// Names, types and numbers of all tensors.
std::string bytes_of(std::span<const Value> values);

TrainingResult train(Prepared& prepared, const Dataset& data, const Dataset* val,
                     const TrainerOptions& options, const TrainerEvents& events = {});

}  // namespace tinytl
