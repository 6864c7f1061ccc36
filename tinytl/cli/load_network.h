// The network that a command is asked for: a model file, or a reference network by name.
#pragma once

#include <set>

#include "tinytl/cli/arguments.h"
#include "tinytl/networks/reference_network.h"

namespace tinytl::cli {

// For people: the name of the file, or of the reference network.
std::string network_name(const MethodArguments& args);

// Parameters that a run need not have as floats: known once the network was fitted to it.
struct KnownParameters {
  std::set<std::string> replaced;  // by a new classifier: their values are not read
  std::set<std::string> packed;    // --frozen-weights: packed as they are read

  bool empty() const { return replaced.empty() && packed.empty(); }
};

// For `batch` samples at once: the file of --model; or --network with random values and `classes`
// classes (0: as many as it was published with). Throws InputError.
Graph load_network(const MethodArguments& args, int64_t classes, int64_t batch,
                   const KnownParameters& known = {});

// What --network is built with; `classes` as above.
NetworkOptions reference_options(const MethodArguments& args, int64_t classes);

// Of its first input, for a sample. Throws InputError.
std::vector<int64_t> sample_shape(const MethodArguments& args);

}  // namespace tinytl::cli
