// Some input channels of a layer's weight: gradients, optimizer state and updates may be of these
// alone (sparse update; Lin et al., NeurIPS 2022).
#pragma once

#include <algorithm>
#include <functional>

#include "engine/ops/axis.h"
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

// Of the parameter that an update changes, where these are not all.
inline std::span<const int64_t> trained_channels(const Node& node) {
  if (!node.attributes.has("channels")) return {};
  return node.attributes.integers("channels");
}

// Calls visit(part, of_p, count) for the runs of elements that lie together in p: element `part` of
// those channels is element `of_p` of p.
template <class Visit>
void for_each_run(std::span<const int64_t> channels, const TensorType& p, Share elements,
                  Visit&& visit) {
  const size_t dimension = input_channel_dimension(p);
  const AxisView view = axes_view(p.shape, dimension, dimension + 1);
  const auto count = static_cast<int64_t>(channels.size());
  for (int64_t i = elements.begin; i < elements.end;) {
    const int64_t row = i / view.inner, column = i % view.inner;
    const int64_t n = std::min(view.inner - column, elements.end - i);
    const int64_t of_p = row / count * view.size + channels[static_cast<size_t>(row % count)];
    visit(i, of_p * view.inner + column, n);
    i += n;
  }
}

}  // namespace tinytl
