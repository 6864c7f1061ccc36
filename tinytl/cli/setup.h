// The pipeline that every command shares, from a model file to a session ready to train.
#pragma once

#include "tinytl/cli/arguments.h"

namespace tinytl::cli {

struct Setup {
  std::string classifier;       // "new, 112 -> 17, in place of fc (1000 classes)"
  bool new_classifier = false;  // starts at random, not pretrained
  std::string fingerprint;      // of the network as imported
  std::string imported;         // "51 convolutions, 1 matrix; 357,448 parameters"
  std::unique_ptr<Session> session;
};

// `classes`: of the data set; 0 where the loss needs none. Imports and plans once, and for every
// divisor of the batch with --micro-batch auto. Throws CLI::ValidationError, InputError.
Setup prepare(const MethodArguments& args, int64_t classes);

}  // namespace tinytl::cli
