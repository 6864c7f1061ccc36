// Some input channels of a layer's weight: gradients, optimizer state and updates may be of these
// alone (sparse update; Lin et al., NeurIPS 2022).
#pragma once

#include <algorithm>
#include <functional>

#include "engine/ops/op.h"

namespace tinytl {

// Of w [kh,kw,ci/groups,co], [kh,kw,c] or [ci,co]: the dimension of the input channels. In a
// grouped convolution channel j is that of each group.
inline size_t input_channel_dimension(const TensorType& w) { return w.rank() == 2 ? 0 : 2; }

// Those channels of `w`; all where the list is empty.
inline TensorType channels_of(TensorType w, std::span<const int64_t> channels) {
  if (!channels.empty()) {
    w.shape.at(input_channel_dimension(w)) = static_cast<int64_t>(channels.size());
  }
  return w;
}

// Ascending, each once, all of them in `w`.
inline bool are_input_channels(const TensorType& w, std::span<const int64_t> channels) {
  return w.rank() >= 2 && w.rank() <= 4 && !channels.empty() && channels.front() >= 0 &&
         channels.back() < w.dim(input_channel_dimension(w)) &&
         std::ranges::is_sorted(channels, std::ranges::less_equal());
}

}  // namespace tinytl
