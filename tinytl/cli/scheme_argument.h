// --scheme: what --update sparse trains.
#pragma once

#include "sparse_update/scheme_file.h"
#include "tinytl/cli/arguments.h"

namespace tinytl::cli {

// The file of --scheme, or what last:K stands for: weights and biases of the last K convolutions.
// Throws InputError.
SchemeFile scheme_of(const MethodArguments& args);

// Which parameters of `network`, in the form for --update (in_form_for), train. Throws InputError.
UpdateScheme update_scheme_of(const MethodArguments& args, const FittedClassifier& network);

// The same parameters, by name, in another form of the network.
UpdateScheme moved_to(const Graph& form, const Graph& network, UpdateScheme scheme);

}  // namespace tinytl::cli
