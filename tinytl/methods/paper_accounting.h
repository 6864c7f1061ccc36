// Training memory as Cai et al. count it (TinyTL, NeurIPS 2020, and the profiler in their released
// code): to compare with the paper's figures, not to plan with.
//
//   bill = batch x peak of one image + parameters (4 bytes trained, 1 byte frozen)
//
// The peak is sought over the layers of the forward pass, in node order:
//   tmp of the layer + saved by the layers before it + input of the residual block around it
//
//   layer                      tmp, bytes            saves for the backward pass
//   convolution                4 in + 4 out/groups   4 in, if its weight trains
//   matrix product             4 in + 4 out          4 in, if its weight trains
//   group and other norms      4 in                  4 in, if their scale trains
//   ReLU, ReLU6, leaky ReLU    4 in                  in / 8, if anything but the classifier trains
//   sigmoid, tanh, swish, ...  4 in                  4 in, if anything but the classifier trains
//   pooling, resizing, sums    0                     0
//
// A residual block is what lies between a value and the sum that adds that value, or one
// convolution of it, to what was computed from it; so does a ReLU that alone reads the sum.
//
// It leaves out what a run needs besides: everything alive in the backward pass, gradients, the
// optimizer's state, and the input of a norm whose scale is frozen, which its own gradient reads
// (PaperBill::frozen_norm_bytes). Nothing of that is left out of MemoryReport.
#pragma once

#include <string>

#include "tinytl/methods/update.h"

namespace tinytl {

struct PaperBill {
  int64_t trained_bytes = 0, frozen_bytes = 0;  // parameters
  int64_t activation_bytes = 0;                 // of the batch at the peak, rounded up
  std::string peak_layer;                       // name of the node at the peak
  // What the bill grows by where norms with a frozen scale save 4 in too: the least that training
  // through them takes, unless they are folded, quantized or recomputed.
  int64_t frozen_norm_bytes = 0;

  int64_t parameter_bytes() const { return trained_bytes + frozen_bytes; }
  int64_t bytes() const { return activation_bytes + parameter_bytes(); }
};

// The bill of training `network`, a forward graph built for any number of samples, by `scheme` in
// batches of `batch`. A network whose norms are folded has none to bill. O(nodes x sums).
PaperBill paper_bill(const Graph& network, const UpdateScheme& scheme, int64_t batch);

// LiteOptions::nominal_resolution with which the kernels of modules are the paper's at any input
// height: the authors choose them for an image of 256 pixels. For networks that halve the image
// five times.
int64_t paper_nominal_resolution(int64_t height);

// A network and what of it trains, as in the paper's experiments.
struct PaperForm {
  Graph graph;
  UpdateScheme scheme;
};

// `network` must have its norms as nodes. Lite modules stand beside its blocks under every method,
// as in the network that the authors pretrained; those of a method without them stay frozen but for
// what other methods train of any norm. Throws what insert_lite_residuals throws.
PaperForm paper_form(const FittedClassifier& network, Update update, LiteOptions options = {});

}  // namespace tinytl
