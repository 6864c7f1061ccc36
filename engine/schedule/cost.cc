#include "engine/schedule/cost.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include "engine/ops/conv_chain.h"
#include "engine/ops/op_helpers.h"
#include "engine/ops/op_table.h"
#include "engine/schedule/parts.h"

namespace tinytl {
namespace {

// Seconds per node, flop, byte and far byte.
struct Rates {
  double node, flop, byte, far_byte;
};

// From `cost_bench --fit`, by CostKind.
constexpr std::array<Rates, kCostKinds> kReference{{
    {0, 0, 0, 0},                                 // view
    {3.60e-08, 3.831e-12, 1.061e-11, 6.061e-12},  // pointwise
    {2.85e-07, 3.882e-12, 9.144e-12, 6.426e-12},  // pointwise dx
    {0.00e+00, 4.047e-12, 1.273e-11, 1.440e-11},  // pointwise dw
    {2.37e-07, 3.358e-12, 3.557e-11, 0.000e+00},  // matrix
    {0.00e+00, 3.986e-12, 1.735e-11, 2.531e-12},  // conv
    {0.00e+00, 4.124e-12, 2.486e-11, 2.531e-12},  // conv dx
    {0.00e+00, 4.148e-12, 1.899e-11, 3.930e-12},  // conv dw
    {0.00e+00, 1.114e-11, 3.992e-12, 9.750e-12},  // depthwise
    {3.27e-07, 7.030e-12, 1.313e-11, 1.058e-11},  // depthwise dx
    {2.76e-07, 2.447e-11, 0.000e+00, 2.106e-11},  // depthwise dw
    {3.66e-08, 0.000e+00, 3.548e-12, 4.568e-12},  // map
    {1.29e-07, 0.000e+00, 1.785e-10, 0.000e+00},  // function
    {1.07e-08, 0.000e+00, 5.864e-12, 6.509e-12},  // sum
    {1.09e-07, 0.000e+00, 8.901e-12, 1.330e-12},  // update
    {1.45e-07, 0.000e+00, 1.620e-11, 0.000e+00},  // other
}};

// Of the three probes of machine_scale.
constexpr double kReferenceProduct = 7.3e-6, kReferenceDepthwise = 6.2e-6, kReferenceAdd = 8.2e-7;

constexpr double kNearBytes = 1 << 19;
constexpr int64_t kVector = 16;  // floats

double filled_up(int64_t n) { return static_cast<double>((n + kVector - 1) / kVector * kVector); }

// Which of the inputs and outputs of a convolution node are its x and its w.
struct ConvOp {
  const OpDef* op;
  CostKind kind, pointwise_kind;
  enum class From : uint8_t { kForward, kGradInput, kGradWeight } from;
  int x = 0;   // the input that has the other side's pixels
  int w = -1;  // of a gradient of weights: the input of that shape; -1: it is the output
};
constexpr ConvOp kConvOps[] = {
    {&kConv2d, CostKind::kConv, CostKind::kPointwise, ConvOp::From::kForward},
    {&kConv2dGradInput, CostKind::kConvGradInput, CostKind::kPointwiseGradInput,
     ConvOp::From::kGradInput},
    {&kConv2dGradWeight, CostKind::kConvGradWeight, CostKind::kPointwiseGradWeight,
     ConvOp::From::kGradWeight},
    {&kConv2dGradWeightAdd, CostKind::kConvGradWeight, CostKind::kPointwiseGradWeight,
     ConvOp::From::kGradWeight, 1, 0},
    {&kDepthwiseConv2dGradWeightAdd, CostKind::kDepthwiseGradWeight, CostKind::kDepthwiseGradWeight,
     ConvOp::From::kGradWeight, 1, 0},
    {&kDepthwiseConv2d, CostKind::kDepthwise, CostKind::kDepthwise, ConvOp::From::kForward},
    {&kDepthwiseConv2dGradInput, CostKind::kDepthwiseGradInput, CostKind::kDepthwiseGradInput,
     ConvOp::From::kGradInput},
    {&kDepthwiseConv2dGradWeight, CostKind::kDepthwiseGradWeight, CostKind::kDepthwiseGradWeight,
     ConvOp::From::kGradWeight},
    {&kQConv2d, CostKind::kConv, CostKind::kPointwise, ConvOp::From::kForward},
    {&kQConv2dGradWeight, CostKind::kConvGradWeight, CostKind::kPointwiseGradWeight,
     ConvOp::From::kGradWeight},
    {&kQDepthwiseConv2d, CostKind::kDepthwise, CostKind::kDepthwise, ConvOp::From::kForward},
    {&kQDepthwiseConv2dGradWeight, CostKind::kDepthwiseGradWeight, CostKind::kDepthwiseGradWeight,
     ConvOp::From::kGradWeight},
};

tt_conv2d_shape shape_of(const Graph& graph, const Node& node, const ConvOp& conv) {
  const auto type = [&](ValueId id) -> const Shape& { return graph.value(id).type.shape; };
  const bool depthwise = conv.kind >= CostKind::kDepthwise;
  const bool grad_input = conv.from == ConvOp::From::kGradInput;
  const bool grad_weight = conv.from == ConvOp::From::kGradWeight;
  const auto input = [&](int i) { return node.input(static_cast<size_t>(i)); };
  const ValueId w = !grad_weight ? input(1) : conv.w < 0 ? node.output() : input(conv.w);
  return conv2d_shape(node, type(grad_input ? node.output() : input(conv.x)), type(w), depthwise);
}

void count_convolution(const Graph& graph, const Node& node, const ConvOp& conv, NodeWork& work) {
  const tt_conv2d_shape s = shape_of(graph, node, conv);
  const bool is_pointwise = s.kernel_h * s.kernel_w == 1 && s.stride_h * s.stride_w == 1;
  work.kind = is_pointwise ? conv.pointwise_kind : conv.kind;
  const double taps = double{s.kernel_h * 1.0} * s.kernel_w * s.batch * s.out_h * s.out_w;
  if (s.groups == s.in_c && s.groups == s.out_c) {
    work.flops = 2 * taps * filled_up(s.out_c);
    return;
  }
  const int64_t in = s.in_c / s.groups, out = s.out_c / s.groups;
  const bool grad_input = conv.from == ConvOp::From::kGradInput;
  work.flops = 2 * taps * s.groups *
               (grad_input ? filled_up(in) * static_cast<double>(out)
                           : filled_up(out) * static_cast<double>(in));
}

void count_product(const Graph& graph, const Node& node, NodeWork& work) {
  const bool accumulates = node.op == &kPointwiseAccumulate;  // (acc, a, w), the others (a, w)
  const TensorType& a = graph.value(node.input(accumulates ? 1 : 0)).type;
  const TensorType& y = graph.value(node.output()).type;
  const bool transposed = node.op == &kMatMul && node.attributes.integer("transpose_a") != 0;
  const int64_t depth = transposed ? a.shape[a.rank() - 2] : a.shape.back();
  work.kind = accumulates ? CostKind::kPointwise : CostKind::kMatrix;
  work.flops =
      2 * static_cast<double>(rows_of(y)) * filled_up(columns_of(y)) * static_cast<double>(depth);
}

CostKind kind_of(const OpDef* op) {
  static constexpr std::pair<CostKind, const OpDef*> kKinds[] = {
      {CostKind::kMap, &kAdd},
      {CostKind::kMap, &kSub},
      {CostKind::kMap, &kMul},
      {CostKind::kMap, &kDiv},
      {CostKind::kMap, &kScale},
      {CostKind::kMap, &kClip},
      {CostKind::kMap, &kClipMask},
      {CostKind::kMap, &kMaskApply},
      {CostKind::kMap, &kClipGrad},
      {CostKind::kMap, &kMaskScale},
      {CostKind::kMap, &kRangeEncode},
      {CostKind::kMap, &kRangeDecode},
      {CostKind::kMap, &kDecodeTable},
      {CostKind::kMap, &kLeakyRelu},
      {CostKind::kMap, &kAbs},
      {CostKind::kMap, &kNeg},
      {CostKind::kMap, &kHardSigmoid},
      {CostKind::kMap, &kHardSwish},
      {CostKind::kMap, &kHardSwishGrad},
      {CostKind::kFunction, &kSigmoid},
      {CostKind::kFunction, &kSilu},
      {CostKind::kFunction, &kSiluGrad},
      {CostKind::kFunction, &kGelu},
      {CostKind::kFunction, &kGeluGrad},
      {CostKind::kFunction, &kTanh},
      {CostKind::kFunction, &kElu},
      {CostKind::kFunction, &kSoftplus},
      {CostKind::kFunction, &kSoftplusGrad},
      {CostKind::kFunction, &kErf},
      {CostKind::kFunction, &kErfGrad},
      {CostKind::kFunction, &kExp},
      {CostKind::kFunction, &kLog},
      {CostKind::kFunction, &kPow},
      {CostKind::kFunction, &kPowGrad},
      {CostKind::kFunction, &kSoftmax},
      {CostKind::kFunction, &kLogSoftmax},
      {CostKind::kFunction, &kLogSoftmaxGrad},
      {CostKind::kFunction, &kDropout},
      {CostKind::kSum, &kSumTo},
      {CostKind::kSum, &kReduceSum},
      {CostKind::kSum, &kReduceMean},
      {CostKind::kUpdate, &kSgdUpdate},
      {CostKind::kUpdate, &kAdamUpdate},
      {CostKind::kUpdate, &kAdam8Update},
      {CostKind::kMap, &kQuantize},
      {CostKind::kMap, &kDequantize},
      {CostKind::kMap, &kLevelMask},
      {CostKind::kMap, &kQAdd},
      {CostKind::kSum, &kQGlobalAveragePool},
      {CostKind::kUpdate, &kQSgdUpdate},
      {CostKind::kUpdate, &kQBiasSgdUpdate},
  };
  for (const auto& [kind, listed] : kKinds) {
    if (listed == op) return kind;
  }
  return CostKind::kOther;
}

}  // namespace

NodeWork node_work(const Graph& graph, const Node& node) {
  NodeWork work;
  if (view_offset(graph, node).has_value()) return work;
  const auto count = [&](ValueId id) {
    const TensorType& type = graph.value(id).type;
    work.bytes += static_cast<double>(type.bytes());
    // Computed with in f32, strip by strip.
    if (type.dtype == DType::kRow8)
      work.bytes += sizeof(float) * static_cast<double>(type.elements());
  };
  std::ranges::for_each(node.inputs, count);
  std::ranges::for_each(node.outputs, count);
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    if ((node.op->mutates >> i & 1) != 0) count(node.inputs[i]);
  }
  work.far_bytes = std::max(0.0, work.bytes - kNearBytes);
  work.kind = kind_of(node.op);
  const auto conv = std::ranges::find(kConvOps, node.op, &ConvOp::op);
  if (conv != std::end(kConvOps)) count_convolution(graph, node, *conv, work);
  if (node.op == &kLinear || node.op == &kMatMul || node.op == &kPointwiseAccumulate) {
    count_product(graph, node, work);
  }
  if (node.op == &kQConvChain) {
    work.kind = CostKind::kConv;
    work.flops = 2 * static_cast<double>(chain_products(graph, node));
  }
  if (node.op == &kWeightSgdUpdate || node.op == &kWeightAdamUpdate ||
      node.op == &kQWeightSgdUpdate) {
    const TensorType &x = graph.value(node.input(3)).type, &dy = graph.value(node.input(4)).type;
    work.kind = CostKind::kPointwiseGradWeight;
    work.flops = 2 * static_cast<double>(x.elements()) * filled_up(columns_of(dy));
  }
  return work;
}

double seconds_of(const NodeWork& work) {
  const Rates& rates = kReference[static_cast<size_t>(work.kind)];
  return rates.node + rates.flop * work.flops + rates.byte * work.bytes +
         rates.far_byte * work.far_bytes;
}

double node_seconds(const Graph& graph, const Node& node, int threads) {
  return seconds_of(node_work(graph, node)) / parts_of(graph, node, threads);
}

double step_seconds(const Graph& graph, int64_t passes, int threads) {
  double pass = 0, updates = 0;
  for (const Node& node : graph.nodes()) {
    (node.phase == Phase::kUpdate ? updates : pass) += node_seconds(graph, node, threads);
  }
  return pass * static_cast<double>(passes) + updates;
}

namespace {

// The least time of a call, asked for about 3 ms.
template <typename Call>
double least_seconds(Call call) {
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::milliseconds kProbe{3};
  constexpr int kFewest = 16;  // one that another program interrupts says nothing
  double least = 1;
  const auto start = Clock::now();
  for (int calls = 0; calls < kFewest || Clock::now() - start < kProbe; ++calls) {
    const auto before = Clock::now();
    call();
    least = std::min(least, std::chrono::duration<double>(Clock::now() - before).count());
  }
  return least;
}

}  // namespace

double machine_scale() {
  const tt_kernels& kernels = *tt_best_kernels();
  constexpr int32_t kSide = 96, kImage = 24, kChannels = 32;
  constexpr int32_t kPart = kImage * kImage * kChannels;  // floats of each of two parts
  std::vector<float> memory(2 * kPart + 9 * kChannels, 0.5f);
  float* const x = memory.data();
  float* const y = x + kPart;
  float* const w = y + kPart;

  tt_gemm product{};
  product.m = product.n = product.k = kSide;
  product.a = x;
  product.b.f32 = x + kSide * kSide;
  product.factor = 1;
  product.a_row = product.b_row = product.c_row = kSide;
  product.a_col = product.b_col = 1;
  product.c = y;
  TT_ASSERT(kernels.gemm_scratch_bytes(&product) <= kSide * kSide * sizeof(float));
  const double multiply = least_seconds([&] { kernels.gemm(&product, y + kSide * kSide); });

  tt_conv2d_shape image{};
  image.batch = 1;
  image.in_h = image.in_w = image.out_h = image.out_w = kImage;
  image.in_c = image.out_c = image.groups = kChannels;
  image.kernel_h = image.kernel_w = 3;
  image.stride_h = image.stride_w = image.dilation_h = image.dilation_w = 1;
  image.pad_top = image.pad_left = 1;
  const tt_weights weights{w, nullptr, nullptr};
  const double convolve =
      least_seconds([&] { kernels.depthwise(&image, x, &weights, nullptr, y); });
  const double add = least_seconds([&] { kernels.add(x, y, kPart, y); });
  return (multiply / kReferenceProduct + convolve / kReferenceDepthwise + add / kReferenceAdd) / 3;
}

}  // namespace tinytl
