// Which layer of a network is its classifier.
#pragma once

#include <optional>
#include <string>

#include "engine/graph/graph.h"

namespace tinytl {

// The end of a network, read from its first output backwards.
struct NetworkEnd {
  std::optional<NodeId> classifier;     // nothing where the network ends in features
  std::optional<NodeId> probabilities;  // a softmax or sigmoid that nothing but views follows
};

// The classifier is the last Linear or 1x1 convolution, with nothing behind it but what keeps a
// score a class: pooling, views, softmax, sigmoid, arithmetic with constants. Activations such as
// ReLU make features of a layer, unless a softmax or sigmoid ends the network
// (`through_activations`: anyway).
NetworkEnd find_end(const Graph& graph, bool through_activations = false);

// The node of that name, which need not stand at the end. Throws InputError where no node that
// could be a classifier has the name.
NodeId named_classifier(const Graph& graph, const std::string& name);

// For messages: the last layers that could be one, `--head "fc2", "fc1"`; empty without any.
std::string classifier_candidates(const Graph& graph);

// The first output as it is stored: before the transpose with which the importer puts the channels
// back to where the file has them, where there is one.
ValueId stored_output(const Graph& graph);

}  // namespace tinytl
