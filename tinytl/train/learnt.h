// What training leaves behind: the trained tensors, and enough about them to use them safely.
#pragma once

#include "tinytl/data/augment.h"
#include "tinytl/data/normalise.h"
#include "tinytl/methods/update.h"
#include "tinytl/train/safetensors.h"

namespace tinytl {

// How the tensors were made and how to feed the network: stored as text beside them.
struct LearntInfo {
  std::string model_fingerprint;     // of the imported network, before training
  std::string update;                // "bias", ...
  LiteOptions lite = {};             // of an update with lite residuals
  int64_t resolution = 0;            // of the network's input; 0: the model file's
  std::string norm = "folded";       // what the batch norms of the model file became: --norm
  double width = 1;                  // of its expanded channels (prune_width)
  std::vector<std::string> classes;  // empty: the loss needs none
  std::string head;                  // --head, where it was given
  bool new_head = false;             // the classifier is not the network's own
  Normalisation normalisation;
  bool squash = false;
  double center_fraction = 0.875;
  std::string frozen_weights = "float";  // how the others were stored (freeze_weights)
  std::string precision = "float";       // of the layers: --precision
  std::string requantize = "float";      // of int8 layers: --requantize
};

// A hash of the names, types and bytes of the parameters and statistics of a network as imported.
// The batch size does not matter.
std::string fingerprint(const Graph& network);

TensorFile pack_learnt(const LearntInfo& info, std::span<const Value> trained);
LearntInfo unpack_info(const TensorFile& file, const std::filesystem::path& path);

// The option (or, where none sets it, the field) in which the two differ; empty where they agree.
std::string first_difference(const LearntInfo& a, const LearntInfo& b);

// Copies tensors of `file` over the parameters, statistics or states of the same name. Throws
// InputError where one is missing in the file or differs in shape.
void restore(std::span<const Value> values, const TensorFile& file,
             const std::filesystem::path& path);

// The imported network with what was learnt: classifier fitted, tensors in place, the others stored
// as they were in training. Throws InputError where the file was learnt on another network.
struct AdaptedNetwork {
  FittedClassifier network;
  LearntInfo info;
};
AdaptedNetwork adapt(Graph network, const std::filesystem::path& learnt);

// What a learnt file says of itself: the network has to be imported at its resolution, with its
// norms. Throws InputError.
LearntInfo read_learnt_info(const std::filesystem::path& learnt);

}  // namespace tinytl
