// The classifier of a network: finding it, fitting it to the classes of a data set.
#pragma once

#include <string>
#include <vector>

#include "engine/graph/graph.h"

namespace tinytl {

struct ClassifierOptions {
  std::string head;      // ONNX node name of the classifier; empty: found
  bool replace = false;  // a new classifier even where the old one fits
  uint64_t seed = 0;     // of the new weights
};

struct FittedClassifier {
  Graph graph;
  std::vector<ValueId> parameters;  // of the classifier: its weight and bias
  std::vector<ValueId> lite = {};   // of lite residual modules (in_form_for in update.h)
  bool is_new = false;              // starts at random, not pretrained
  std::string description;          // for people: "replaced fc (1000 classes)"
};

// The network with a classifier for `classes` classes, and no output but its scores.
//
// Which layer is the classifier: see find_end. One that already has `classes` outputs is kept.
// Otherwise it is replaced by a Linear layer "classifier" on what it reads (pooled where that has
// positions): weights uniform in +-1/sqrt(features) (PyTorch's own start), bias 0. So is a layer
// that `head` names further up, with all behind it. A network that ends in features gets one added.
//
// Throws InputError where `head` names no such node, the network has no place for a classifier, or
// it ends in a softmax or sigmoid and its classifier is not found.
FittedClassifier fit_classifier(const Graph& graph, int64_t classes,
                                const ClassifierOptions& options);

// The network with class scores [batch, classes] where its output is [batch, classes, 1, 1], as
// that of a 1x1 convolution. A sigmoid behind them is left out, and so is a softmax, unless it ends
// a network whose output is a matrix already. Otherwise the network as it is.
Graph flatten_scores(Graph graph);

// The network up to its first output, for losses that need no classes. `parameters` are those of
// its own classifier or last layer where it has one.
FittedClassifier keep_classifier(const Graph& graph, const std::string& head);

// The training form of the network: dropout at `rate` in (0, 1) on what the classifier reads. The
// seed is a new input i32[2], the last one. Parameters are shared with the original.
FittedClassifier with_dropout(const FittedClassifier& network, float rate);

// The training form of the network, in which every BatchNormInference is a BatchNorm: it normalises
// with the statistics of the batch, and moves the running ones that both forms share (Ioffe and
// Szegedy, ICML 2015). Ids stay. Throws InputError where a channel has one number in a batch.
FittedClassifier with_batch_statistics(FittedClassifier network);

}  // namespace tinytl
