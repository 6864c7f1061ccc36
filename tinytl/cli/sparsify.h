// tinytl-sparsify: what parts of a network bring, and which to train within a budget.
#pragma once

#include "sparse_update/gradient_statistics.h"
#include "tinytl/cli/arguments.h"
#include "tinytl/cli/network_source.h"
#include "tinytl/cli/sparsify_table.h"

namespace tinytl::cli {

// Of all three subcommands. `method.update` is none of the user's.
struct SparsifyArguments {
  MethodArguments method;
  DataArguments data;
  ImageArguments image;
  int64_t classes = 0;  // 0: of the data set, or 10
  std::string out;      // folder of contributions.csv and the pictures
  std::string estimate = "fisher";
  bool full = false;  // analyse by training runs
  int64_t samples = 256;
  // Of training runs.
  int64_t epochs = 5, bias_step = 1, jobs = 1;
  std::vector<double> ratios;  // empty: all
  double hold_out = 0.2;
  std::vector<std::string> passed;  // to every run, behind --
  std::string train_command;
  // Of the search.
  std::string accounting;  // mcunetv3, or empty: the planned bytes
  std::string scheme = "scheme.json";
};

// The network that the schemes are for, its biases training until another scheme is given.
class SparsifyNetwork {
 public:
  // Throws what NetworkSource throws; InputError where there is nothing to choose from.
  SparsifyNetwork(const SparsifyArguments& args, int64_t classes, int64_t micro_batch);

  const Graph& graph() { return source_.network(micro_batch_); }
  std::span<const ValueId> classifier() const { return source_.fitted().parameters; }
  const std::vector<Convolution>& layers() const { return layers_; }
  // Of the weight of each.
  const std::vector<std::string>& names() const { return names_; }
  NetworkSource& source() { return source_; }
  int64_t micro_batch() const { return micro_batch_; }

 private:
  MethodArguments method_;
  NetworkSource source_;
  int64_t micro_batch_;
  std::vector<Convolution> layers_;
  std::vector<std::string> names_;
};

// Squared gradients of some training samples; prints what it does. Exit codes as everywhere.
Contributions estimate_contributions(const SparsifyArguments& args, Estimate estimate);

// The rows of OUT/contributions.csv: those of `estimate` are made where there are none.
int layers(const SparsifyArguments& args);
int analyse(const SparsifyArguments& args, const char* argv0);
int search(const SparsifyArguments& args);

}  // namespace tinytl::cli
