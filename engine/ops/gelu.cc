// GELU (Hendrycks & Gimpel, 2016), the integer "tanh" chooses the form:
//   0:  y = x Phi(x), Phi the normal distribution function
//   1:  y = x/2 (1 + tanh(u)) = x s,  u = sqrt(2/pi) (x + 0.044715 x^3),  s = sigmoid(2 u)
//
// Gradient, from x (y does not determine x: it falls, then rises):
//   0:  dx = dy (Phi(x) + x phi(x)), phi the normal density
//   1:  dx = dy s (1 + 2 x (1 - s) du/dx)

#include <cmath>

#include "engine/ops/op_table.h"
#include "engine/ops/unary.h"

namespace tinytl {
namespace {

constexpr float kSqrtHalf = 0.707106781f;
constexpr float kInvSqrtTwoPi = 0.398942280f;
constexpr float kSqrtTwoOverPi = 0.797884561f;
constexpr float kCubic = 0.044715f;

// erfc and the sigmoid keep the digits of a small tail, which 1 + erf and 1 + tanh lose.
float normal_cdf(float x) { return 0.5f * std::erfc(-x * kSqrtHalf); }

float sigmoid_of_2u(float x) {
  const float u = kSqrtTwoOverPi * (x + kCubic * x * x * x);
  return 1.0f / (1.0f + std::exp(-2.0f * u));
}

void forward(const Node& node, const KernelArgs& t) {
  if (node.attributes.integer("tanh") != 0) {
    map_unary(t, [](float x) { return x * sigmoid_of_2u(x); });
  } else {
    map_unary(t, [](float x) { return x * normal_cdf(x); });
  }
}

float erf_slope(float x) { return normal_cdf(x) + x * kInvSqrtTwoPi * std::exp(-0.5f * x * x); }

float tanh_slope(float x) {
  const float s = sigmoid_of_2u(x);
  const float du = kSqrtTwoOverPi * (1.0f + 3.0f * kCubic * x * x);
  return s * (1.0f + 2.0f * x * (1.0f - s) * du);
}

void backward(const Node& node, const KernelArgs& t) {
  if (node.attributes.integer("tanh") != 0) {
    map_unary_grad(t, [](float dy, float x) { return dy * tanh_slope(x); });
  } else {
    map_unary_grad(t, [](float dy, float x) { return dy * erf_slope(x); });
  }
}

}  // namespace

const OpDef kGelu{.name = "Gelu",
                  .infer = infer_unary,
                  .forward = forward,
                  .vjp = vjp_from_input<kGeluGrad>,
                  .in_place = 1};
const OpDef kGeluGrad{
    .name = "GeluGrad", .infer = infer_unary_grad, .forward = backward, .in_place = 0b11};

}  // namespace tinytl
