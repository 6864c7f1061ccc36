// The memory of a scheme as Lin et al. count it ("On-Device Training Under 256KB Memory", NeurIPS
// 2022, and their released code): to compare with the paper's figures, not to plan with.
//
// Everything in 8 bits, one image at a time. From the first convolution that trains to the last:
//   output x 1 bit (what its clip let through) + bias x 32 bits, if it trains
//   if its weight trains: (those channels of its input + those of the weight) x 8 bits
// and the input of the classifier x 8 bits. It leaves out the weights that do not train and the
// classifier's, gradients, scratch, and what the forward pass holds. Nothing of that is left out of
// MemoryReport.
#pragma once

#include "autodiff/update_scheme.h"
#include "sparse_update/contributions.h"
#include "sparse_update/layers.h"

namespace tinytl {

struct Mcunetv3Bill {
  // Of each convolution (layers.h), in bits; all 0 before the first that trains.
  struct Line {
    int64_t mask = 0, bias = 0, input = 0, weight = 0;
    int64_t bits() const { return mask + bias + input + weight; }
  };
  std::vector<Line> lines;
  int64_t classifier_input = 0;  // bits

  int64_t bytes() const;  // rounded up
};

// `graph`: a forward graph for any number of images. O(nodes).
Mcunetv3Bill mcunetv3_bill(const Graph& graph, const UpdateScheme& scheme,
                           std::span<const ValueId> classifier);

// Of one convolution, where the convolutions behind it are billed too: its weight by `channels` of
// its input channels (0: frozen).
Mcunetv3Bill::Line mcunetv3_line(const Graph& graph, const Convolution& conv, bool bias_trains,
                                 int64_t channels);

// How many times the bits of the bill another way of training needs: floats have four.
struct CostWeights {
  double mask = 1, bias = 1, input = 1, weight = 1;
};

// What every part of a scheme adds to the bill, in bits, each share times its weight.
Costs part_costs(const Graph& graph, std::span<const ValueId> classifier,
                 const CostWeights& weights = {});

}  // namespace tinytl
