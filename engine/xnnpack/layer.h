// A layer as XNNPACK computes it.
#pragma once

#include <memory>
#include <optional>

#include "engine/ops/op.h"

struct pthreadpool;

namespace tinytl::xnnpack {

// y = limited(conv(x, w) + bias). Everything that tells one layer from another: nodes with equal
// ones can share what XNNPACK makes of them.
struct LayerShape {
  enum class Kind { kConvolution, kDepthwise, kMatrix };
  Kind kind = Kind::kConvolution;
  tt_conv2d_shape conv{};  // kMatrix: `batch` rows of in_c, to out_c
  int32_t pad_bottom = 0, pad_right = 0;
  float low = 0, high = 0;  // infinite where the result is not limited
  const float* w = nullptr;
  const float* bias = nullptr;  // or null
  bool bias_changes = false;    // between runs
};
bool operator<(const LayerShape& a, const LayerShape& b);

// Of an operator that XNNPACK has.
bool is_layer(const Node& node);

// Empty where XNNPACK has no such layer: another operator, weights in 8 bits, a result that lies
// over the input, ends that only gradients have.
std::optional<LayerShape> layer_shape(const Node& node, const KernelArgs& args, bool bias_changes);

inline constexpr size_t kReadBehind = 16;

class Layer {
 public:
  // Copies the weights into XNNPACK's own form. Null where XNNPACK cannot, its memory cannot be
  // counted, or, for a bias that changes, where it keeps the bias is not understood. Of k x k
  // convolutions, a second copy of the weights exists meanwhile. `x` and `y`: where a run may read
  // and write; nothing is, yet. `threads`, which compute it, must outlive it; null: the caller's.
  static std::shared_ptr<Layer> make(const LayerShape& shape, const float* x, float* y,
                                     pthreadpool* threads);
  ~Layer();
  Layer(const Layer&) = delete;
  Layer& operator=(const Layer&) = delete;

  // Allocates nothing. Up to kReadBehind bytes behind x are read.
  void run(const float* x, float* y) noexcept;

  // All that XNNPACK holds for this layer.
  size_t bytes() const { return bytes_; }

 private:
  struct Delete {
    void operator()(void* op) const;
  };
  // Where the packed weights have the bias: in blocks of `width` channels, those of a group
  // together.
  struct BiasPlaces {
    float* first = nullptr;
    size_t channels_of_group = 0, group_step = 0, width = 0, block_step = 0;
    float* operator[](size_t channel) const;
  };
  Layer(const LayerShape& shape, pthreadpool* threads) : shape_(shape), threads_(threads) {}
  bool create(const float* bias);
  bool set_up(const float* x, float* y) noexcept;
  bool find_bias();
  bool find_bias_in(std::span<std::byte> block);
  void write_bias() noexcept;
  size_t channels() const { return static_cast<size_t>(shape_.conv.out_c); }

  const LayerShape shape_;
  pthreadpool* const threads_;
  std::unique_ptr<void, Delete> op_;  // xnn_operator_t
  BiasPlaces places_;
  size_t bytes_ = 0;
};

}  // namespace tinytl::xnnpack
