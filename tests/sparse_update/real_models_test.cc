// The published schemes of the authors of MCUNetV3 on their networks, if those are on this machine.

#include <gtest/gtest.h>

#include <cstdlib>

#include "engine/onnx/import.h"
#include "sparse_update/mcunetv3_bill.h"
#include "sparse_update/resolve.h"
#include "tinytl/methods/update.h"

namespace tinytl {
namespace {

FittedClassifier network(const char* file, Precision precision = Precision::kFloat) {
  const std::filesystem::path models = std::filesystem::path(std::getenv("TINYTL_DATA")) / "models";
  return fit_classifier(import_onnx(models / file, {.precision = precision}), /*classes=*/10, {});
}

class PublishedSchemes : public testing::Test {
 protected:
  void SetUp() override {
    if (std::getenv("TINYTL_DATA") == nullptr) {
      GTEST_SKIP() << "set TINYTL_DATA to the folder of models and data sets";
    }
  }

  // "25:0.5 30:1" of a table, and the number of biases.
  static SchemeFile published(int64_t biases, const std::string& weights) {
    SchemeFile scheme{.source = "published",
                      .train = {{.kind = SchemeEntry::Kind::kLastBiases, .number = biases}}};
    std::istringstream in(weights);
    for (std::string item; in >> item;) {
      const size_t colon = item.find(':');
      scheme.train.push_back({.kind = SchemeEntry::Kind::kConvolution,
                              .number = std::stoll(item.substr(0, colon)),
                              .channels = std::stod(item.substr(colon + 1))});
    }
    return scheme;
  }

  static double kib(const FittedClassifier& net, const UpdateScheme& scheme) {
    return double(mcunetv3_bill(net.graph, scheme, net.parameters).bytes()) / 1024;
  }
  static double kib(const FittedClassifier& net, const SchemeFile& scheme) {
    return kib(net, resolve(scheme, net.graph, net.parameters));
  }
};

// Of the published figures; 138.25 is among them, as 138.2.
constexpr double kRounding = 0.0501, kWholeNumber = 0.5;

TEST_F(PublishedSchemes, OfMobileNetV2) {
  const FittedClassifier net = network("mbv2-w0.35_imagenet128_fp32.onnx");
  EXPECT_EQ(convolutions(net.graph, net.parameters).size(), 51u);
  EXPECT_NEAR(kib(net, published(16, "36:1 39:1 40:0 41:0.25 42:0.125 45:0.125 48:0.125 49:0.125")),
              49.8, kRounding);
  EXPECT_NEAR(kib(net, published(25, "27:1 30:1 33:1 36:1 39:1 42:0.125 45:0.5 48:1")), 99.4,
              kRounding);
  EXPECT_NEAR(kib(net, published(34, "27:1 30:1 33:1 36:1 39:1 42:1 45:1 48:1")), 138.2, kRounding);
  EXPECT_NEAR(kib(net, make_scheme(net, Update::kFull)), 1306, kWholeNumber);
}

TEST_F(PublishedSchemes, OfMcunet) {
  const FittedClassifier net = network("mcunet-5fps_imagenet128_fp32.onnx");
  EXPECT_EQ(convolutions(net.graph, net.parameters).size(), 42u);
  EXPECT_NEAR(kib(net, published(20, "23:0 24:0.25 27:0.5 30:0.5 33:0 39:0")), 49.8, kRounding);
  EXPECT_NEAR(kib(net, published(22, "21:1 24:1 27:1 30:1 36:0.125 39:0.25")), 99.8, kRounding);
  EXPECT_NEAR(kib(net, published(23, "21:1 24:1 27:1 30:1 36:1 39:0.5")), 148.4, kRounding);
  EXPECT_NEAR(kib(net, make_scheme(net, Update::kFull)), 1400, kWholeNumber);
  EXPECT_NEAR(kib(net, make_scheme(net, Update::kBias)), 121, kWholeNumber);
  const auto last = [&](int64_t layers) {
    return kib(net,
               SchemeFile{.train = {{.kind = SchemeEntry::Kind::kLastLayers, .number = layers}}});
  };
  EXPECT_NEAR(last(6), 276, kWholeNumber);
  EXPECT_NEAR(last(12), 448, kWholeNumber);
}

TEST_F(PublishedSchemes, OfTheSameNetworkInIntegers) {
  const FittedClassifier floats = network("mcunet-5fps_imagenet128_fp32.onnx");
  const FittedClassifier integers =
      network("mcunet-5fps_imagenet128_qdq_int8.onnx", Precision::kInt8);
  EXPECT_EQ(convolutions(integers.graph, integers.parameters).size(), 42u);
  const SchemeFile scheme = published(22, "21:1 24:1 27:1 30:1 36:0.125 39:0.25");
  EXPECT_EQ(kib(integers, scheme), kib(floats, scheme));
}

}  // namespace
}  // namespace tinytl
