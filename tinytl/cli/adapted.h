// A model file and what was learnt on it, ready to predict: for tinytl-eval and tinytl-predict.
#pragma once

#include "tinytl/cli/arguments.h"
#include "tinytl/train/inference.h"

namespace tinytl::cli {

struct AdaptedArguments {
  std::string model, learnt;
  std::string precision = "float";  // without --learnt
  int64_t batch_size = 8;
  int threads = 1;
  std::string xnnpack = "off";  // or auto
};
void add_adapted_options(CLI::App& app, AdaptedArguments& args);
// What was learnt says itself how images are to be seen.
void exclude_views_with_learnt(CLI::App& app);

struct Adapted {
  LearntInfo info;  // classes are empty without --learnt
  Inference inference;

  LoaderOptions loader() const;
};

// Without --learnt: the network as it is, and images as `image` says.
Adapted load_adapted(const AdaptedArguments& args, const ImageArguments& image);

}  // namespace tinytl::cli
