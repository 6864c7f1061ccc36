// Layers that exporters write as several nodes.

#include <gtest/gtest.h>

#include <cmath>

#include "engine/ops/op_table.h"
#include "tests/onnx/model_builder.h"

namespace tinytl {
namespace {

constexpr float kEpsilon = 1e-5f;

struct NormForm {
  bool square_by_pow, own_difference, reciprocal;
};

ModelBuilder layer_norm(const NormForm& form) {
  ModelBuilder m;
  m.input("x", {-1, 3, 4}).weights("scale", {4}).weights("shift", {4});
  m.numbers("two", {}, {2}).numbers("epsilon", {}, {kEpsilon});
  const auto mean = [&](const char* of, const char* to) {
    set(m.node("ReduceMean", {of}, to), "axes", std::vector<int64_t>{-1});
  };
  mean("x", "mean");
  m.node("Sub", {"x", "mean"}, "d");
  if (form.own_difference) m.node("Sub", {"x", "mean"}, "d2");
  const std::string d = form.own_difference ? "d2" : "d";
  m.node(form.square_by_pow ? "Pow" : "Mul", {d, form.square_by_pow ? "two" : d}, "square");
  mean("square", "variance");
  m.node("Add", {"variance", "epsilon"}, "sum");
  m.node("Sqrt", {"sum"}, "deviation");
  if (form.reciprocal) m.node("Reciprocal", {"deviation"}, "inverse");
  m.node(form.reciprocal ? "Mul" : "Div", {"d", form.reciprocal ? "inverse" : "deviation"}, "n");
  m.node("Mul", {"n", "scale"}, "scaled");
  m.node("Add", {"scaled", "shift"}, "y");
  m.output("y");
  return m;
}

TEST(Fuse, EveryFormOfLayerNorm) {
  for (const NormForm& form : {NormForm{true, false, false}, NormForm{false, false, false},
                               NormForm{true, true, false}, NormForm{false, false, true}}) {
    const Graph g = layer_norm(form).graph(2);
    ASSERT_EQ(g.nodes().size(), 1u) << to_string(g.value(g.outputs[0]).type);
    EXPECT_EQ(g.nodes()[0].op, &kLayerNorm);
    EXPECT_FLOAT_EQ(g.nodes()[0].attributes.number("epsilon"), kEpsilon);
    EXPECT_EQ(g.value(g.id_of("scale")).role, Role::kWeight);
    EXPECT_EQ(g.value(g.id_of("shift")).role, Role::kBias);
  }
}

TEST(Fuse, LayerNormOfTheFusedOperatorIsTheSame) {
  const Numbers x = sample_input(24);
  Numbers expected;
  for (size_t row = 0; row < 6; ++row) {
    double mean = 0, variance = 0;
    for (size_t i = 0; i < 4; ++i) mean += x[4 * row + i] / 4;
    for (size_t i = 0; i < 4; ++i) variance += std::pow(x[4 * row + i] - mean, 2) / 4;
    for (size_t i = 0; i < 4; ++i) {
      const double weight = std::sin(static_cast<float>(i + 1));
      expected.push_back(static_cast<float>(
          (x[4 * row + i] - mean) / std::sqrt(variance + kEpsilon) * weight + weight));
    }
  }
  EXPECT_LT(relative_error(layer_norm({true, false, false}).run({x}, 2), expected), 1e-5);
}

TEST(Fuse, NormOverAnotherDimensionStays) {
  ModelBuilder m = layer_norm({true, false, false});
  for (auto& node : *m.model.mutable_graph()->mutable_node()) {
    if (node.op_type() == "ReduceMean") node.mutable_attribute(0)->set_ints(0, 1);
  }
  EXPECT_EQ(count_nodes(m.graph(), kLayerNorm), 0u);
}

TEST(Fuse, GeluWithErf) {
  ModelBuilder m;
  m.input("x", {-1, 8}).numbers("root", {}, {std::sqrt(2.0f)}).numbers("one", {}, {1});
  m.numbers("half", {}, {0.5});
  m.node("Div", {"x", "root"}, "u");
  m.node("Erf", {"u"}, "erf");
  m.node("Add", {"erf", "one"}, "shifted");
  m.node("Mul", {"x", "shifted"}, "twice");
  m.node("Mul", {"twice", "half"}, "y");
  const Graph g = m.output("y").graph();
  ASSERT_EQ(g.nodes().size(), 1u);
  EXPECT_EQ(g.nodes()[0].op, &kGelu);
  EXPECT_EQ(g.nodes()[0].attributes.integer("tanh"), 0);
}

TEST(Fuse, GeluWithTanh) {
  for (const bool by_pow : {true, false}) {
    ModelBuilder m;
    m.input("x", {-1, 8}).numbers("three", {}, {3}).numbers("cubic", {}, {0.044715f});
    m.numbers("root", {}, {0.7978845f}).numbers("one", {}, {1}).numbers("half", {}, {0.5});
    if (by_pow) {
      m.node("Pow", {"x", "three"}, "cube");
    } else {
      m.node("Mul", {"x", "x"}, "square");
      m.node("Mul", {"x", "square"}, "cube");
    }
    m.node("Mul", {"cubic", "cube"}, "small");
    m.node("Add", {"x", "small"}, "sum");
    m.node("Mul", {"root", "sum"}, "u");
    m.node("Tanh", {"u"}, "tanh");
    m.node("Add", {"one", "tanh"}, "shifted");
    m.node("Mul", {"x", "half"}, "halved");
    m.node("Mul", {"halved", "shifted"}, "y");
    const Graph g = m.output("y").graph();
    ASSERT_EQ(g.nodes().size(), 1u) << by_pow;
    EXPECT_EQ(g.nodes()[0].attributes.integer("tanh"), 1);
  }
}

TEST(Fuse, GatesOfTheirOwnInput) {
  ModelBuilder m;
  m.input("x", {-1, 8});
  m.node("Sigmoid", {"x"}, "s");
  m.node("Mul", {"x", "s"}, "silu");
  onnx::NodeProto& gate = m.node("HardSigmoid", {"silu"}, "h");
  set(gate, "alpha", 1.0f / 6);
  set(gate, "beta", 0.5f);
  m.node("Mul", {"h", "silu"}, "y");
  const Graph g = m.output("y").graph();
  ASSERT_EQ(g.nodes().size(), 2u);
  EXPECT_EQ(g.nodes()[0].op, &kSilu);
  EXPECT_EQ(g.nodes()[1].op, &kHardSwish);
}

}  // namespace
}  // namespace tinytl
