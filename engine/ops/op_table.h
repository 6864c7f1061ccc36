// Every operator, one line each.
#pragma once

#include <span>

#include "engine/ops/op.h"

// X(constant), defined in the file of that name
#define TINYTL_OPS(X)                 \
  /* linear algebra */                \
  X(kConv2d)                          \
  X(kConv2dGradInput)                 \
  X(kConv2dGradWeight)                \
  X(kConv2dGradWeightAdd)             \
  X(kPointwiseAccumulate)             \
  X(kDepthwiseConv2d)                 \
  X(kDepthwiseConv2dGradInput)        \
  X(kDepthwiseConv2dGradWeight)       \
  X(kDepthwiseConv2dGradWeightAdd)    \
  X(kLinear)                          \
  X(kMatMul)                          \
  X(kDecodeTable)                     \
  /* 8-bit integers */                \
  X(kQuantize)                        \
  X(kDequantize)                      \
  X(kLevelMask)                       \
  X(kQConv2d)                         \
  X(kQConv2dGradWeight)               \
  X(kQDepthwiseConv2d)                \
  X(kQDepthwiseConv2dGradWeight)      \
  X(kQAdd)                            \
  X(kQConvChain)                      \
  X(kQGlobalAveragePool)              \
  X(kQSgdUpdate)                      \
  X(kQWeightSgdUpdate)                \
  X(kQBiasSgdUpdate)                  \
  /* arithmetic, with broadcasting */ \
  X(kAdd)                             \
  X(kSub)                             \
  X(kMul)                             \
  X(kDiv)                             \
  X(kScale)                           \
  X(kSumTo)                           \
  X(kBroadcastTo)                     \
  /* activations */                   \
  X(kClip)                            \
  X(kClipMask)                        \
  X(kMaskApply)                       \
  X(kClipGrad)                        \
  X(kMaskScale)                       \
  X(kRangeEncode)                     \
  X(kRangeDecode)                     \
  X(kLeakyRelu)                       \
  X(kAbs)                             \
  X(kHardSigmoid)                     \
  X(kHardSwish)                       \
  X(kHardSwishGrad)                   \
  X(kSigmoid)                         \
  X(kSigmoidGrad)                     \
  X(kSilu)                            \
  X(kSiluGrad)                        \
  X(kGelu)                            \
  X(kGeluGrad)                        \
  X(kTanh)                            \
  X(kTanhGrad)                        \
  X(kElu)                             \
  X(kEluGrad)                         \
  X(kSoftplus)                        \
  X(kSoftplusGrad)                    \
  X(kErf)                             \
  X(kErfGrad)                         \
  X(kExp)                             \
  X(kLog)                             \
  X(kSqrt)                            \
  X(kSqrtGrad)                        \
  X(kReciprocal)                      \
  X(kReciprocalGrad)                  \
  X(kPow)                             \
  X(kPowGrad)                         \
  X(kNeg)                             \
  X(kSoftmax)                         \
  X(kSoftmaxGrad)                     \
  X(kLogSoftmax)                      \
  X(kLogSoftmaxGrad)                  \
  /* pooling, reductions, norms */    \
  X(kAveragePool)                     \
  X(kAveragePoolGrad)                 \
  X(kAveragePoolGradAdd)              \
  X(kMaxPool)                         \
  X(kMaxPoolArgmax)                   \
  X(kMaxPoolGrad)                     \
  X(kReduceSum)                       \
  X(kReduceMean)                      \
  X(kBatchNorm)                       \
  X(kBatchNormGradInput)              \
  X(kBatchNormGradScale)              \
  X(kBatchNormInference)              \
  X(kGroupNorm)                       \
  X(kGroupNormGradInput)              \
  X(kGroupNormGradScale)              \
  X(kLayerNorm)                       \
  X(kLayerNormGradInput)              \
  X(kLayerNormGradScale)              \
  X(kStandardizeWeight)               \
  X(kStandardizeWeightGrad)           \
  /* shapes */                        \
  X(kReshape)                         \
  X(kTranspose)                       \
  X(kConcat)                          \
  X(kSlice)                           \
  X(kSliceGrad)                       \
  X(kPad)                             \
  X(kGather)                          \
  X(kGatherGrad)                      \
  X(kResize)                          \
  X(kResizeGrad)                      \
  /* losses */                        \
  X(kSoftmaxCrossEntropy)             \
  X(kSoftmaxCrossEntropyGrad)         \
  X(kMeanSquaredError)                \
  X(kMeanSquaredErrorGrad)            \
  X(kDropout)                         \
  /* updates */                       \
  X(kSgdUpdate)                       \
  X(kAdamUpdate)                      \
  X(kAdam8Update)                     \
  X(kWeightSgdUpdate)                 \
  X(kWeightAdamUpdate)                \
  X(kAccumulate)                      \
  X(kClear)                           \
  X(kGradientScale)

namespace tinytl {

#define TINYTL_DECLARE_OP(constant) extern const OpDef constant;
TINYTL_OPS(TINYTL_DECLARE_OP)
#undef TINYTL_DECLARE_OP

std::span<const OpDef* const> all_ops();

}  // namespace tinytl
