// The command lines of all commands: one struct a concern, one function that declares its options.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "engine/onnx/import.h"
#include "optim/optimizer.h"
#include "tinytl/data/dataset.h"
#include "tinytl/methods/frozen_weights.h"
#include "tinytl/methods/update.h"
#include "tinytl/train/fit_budget.h"
#include "tinytl/train/trainer.h"

namespace tinytl::cli {

// Exit codes, the same for every command (README).
enum ExitCode : int { kDone = 0, kUsage = 2, kBadInput = 3, kOverBudget = 4, kInterrupted = 130 };

// A budget that no plan meets.
class BudgetError : public InputError {
 public:
  using InputError::InputError;
};

struct MethodArguments {
  std::string model;    // a file, or
  std::string network;  // a reference network
  std::string update;   // empty: bias
  std::string scheme;   // of --update sparse: a file, or last:K
  bool freeze_weights = false;
  std::string precision = "float";   // or int8
  std::string requantize = "float";  // or fixed; of int8
  std::string qas = "on";            // or off; of int8
  std::string gradients = "float";   // or int8; of activations, with int8
  std::string rounding = "nearest";  // or stochastic; of int8
  std::string frozen_weights = "float";
  std::string save_activations = "float";
  LiteOptions lite;
  int64_t resolution = 0;  // 0: that of the model file
  double width = 1;        // part of the expanded channels (prune_width)
  std::string norm = "folded";
  std::string head;
  bool new_head = false;
  std::string loss = "cross-entropy";
  float label_smoothing = 0.1f;
  std::string optimizer = "adam";
  float momentum = 0.9f;
  bool nesterov = false;
  float weight_decay = 0;
  float clip_norm = 0;
  int accumulate = 1;
  float dropout = 0;
  int64_t batch_size = 8;
  std::string micro_batch = "auto";  // or a number
  std::string memory_budget;         // bytes with a unit; empty: none
  std::string arena_budget;
  int threads = 1;
  std::string xnnpack = "off";  // or auto
  uint64_t seed = 0;
};
// One of --model and --network is required.
void add_method_options(CLI::App& app, MethodArguments& args);
// --threads: a number, or auto.
void add_threads_option(CLI::App& app, int& threads);
// --precision: float or int8.
CLI::Option* add_precision_option(CLI::App& app, std::string& precision);
// --xnnpack: auto or off.
void add_xnnpack_option(CLI::App& app, std::string& xnnpack);

struct DataArguments {
  std::string data;
  std::vector<std::string> only;
  int64_t max_per_class = 0;
  double hold_out = 0;
  bool strict = false;
};
void add_data_options(CLI::App& app, DataArguments& args);

// How images become numbers.
struct ImageArguments {
  std::vector<float> mean{127.5f}, deviation{127.5f};
  bool squash = false;
  double center_fraction = 0.875;
  double crop_area_min = 0;  // 0: by the kind of images
  double flip = 0.5;
  double jitter = 0;
  bool no_augment = false;
};
// How evaluation sees images, and what training adds to it.
void add_view_options(CLI::App& app, ImageArguments& args);
void add_augmentation_options(CLI::App& app, ImageArguments& args);

struct LoopArguments {
  int64_t epochs = 15;
  int64_t max_steps = 0;
  std::string rate;      // number or "auto"; empty: the default of the method
  double head_rate = 0;  // 0: the default
  double lite_rate = 0;  // 0: the default
  std::string schedule = "cosine";
  double warmup_epochs = 0;
  std::string save = "learnt.safetensors";
  std::string keep = "best";
  std::string checkpoint;
  int64_t checkpoint_steps = 0;
  bool resume = false;
  std::string export_file;
};
void add_loop_options(CLI::App& app, LoopArguments& args);

// From words to values. Combinations that contradict each other throw CLI::ValidationError (exit
// 2).
Update update_of(const MethodArguments& args);
Norms norms_of(const MethodArguments& args);
Precision precision_of(std::string_view name);
LiteOptions lite_of(const MethodArguments& args);
FrozenWeights frozen_weights_of(const MethodArguments& args);
Loss loss_of(const MethodArguments& args);
OptimizerOptions optimizer_of(const MethodArguments& args);
// Samples that run at once; empty: to be chosen.
std::optional<int64_t> micro_batch_of(const MethodArguments& args);
Budget budget_of(const MethodArguments& args);
DatasetOptions dataset_of(const DataArguments& args);
Normalisation normalisation_of(const ImageArguments& args);
// `native_size`: the images come in the network's own size, as digits do and photographs do not.
AugmentOptions augmentation_of(const ImageArguments& args, bool native_size);
// `new_head`: the classifier starts at random rather than pretrained.
LearningRates rates_of(const LoopArguments& loop, const MethodArguments& args, bool new_head);
// Where the checkpoint goes: --checkpoint, or beside --save.
std::string checkpoint_of(const LoopArguments& loop);
TrainerOptions trainer_of(const LoopArguments& loop, const MethodArguments& method,
                          const ImageArguments& image, const DataArguments& data, bool native_size);

// Parses and runs `body`; turns every error into one line on stderr and its exit code.
int run_command(CLI::App& app, int argc, char** argv, const std::function<int()>& body);

}  // namespace tinytl::cli
