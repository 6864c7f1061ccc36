// What an import costs in memory: the parameters, and little else.

#include <gtest/gtest.h>
#include <malloc.h>

#include <fstream>

#include "engine/onnx/import.h"
#include "tests/onnx/support.h"

namespace tinytl {
namespace {

#ifdef __SANITIZE_ADDRESS__
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

// Largest resident size since reset_peak().
size_t peak_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stoul(line.substr(6)) * 1024;
  }
  return 0;
}

bool reset_peak() {
  std::ofstream file("/proc/self/clear_refs");
  return static_cast<bool>(file << "5" << std::flush);
}

TEST(ImportMemory, IsTheParametersAndOneMegabyteOrSo) {
  if (real_model("").empty()) GTEST_SKIP() << "set TINYTL_DATA to run the real models";
  if (kSanitized) GTEST_SKIP() << "the sanitizer keeps freed memory";
  if (!reset_peak()) GTEST_SKIP() << "this kernel does not reset VmHWM";
  const size_t before = peak_bytes();
  const Graph graph = import_onnx(real_model("mobilenet_v2_1.0_imagenet224_fp32.onnx"));
  const size_t growth = peak_bytes() - before;
  size_t parameters = 0;
  for (const Value& value : graph.values()) {
    if (value.data != nullptr) parameters += value.type.bytes();
  }
  std::cout << "parameters " << parameters << " bytes, peak growth " << growth << " bytes\n";
  EXPECT_LT(growth, parameters + 4'000'000);
}

// The floats of MobileNetV2 are 14 MB, its weights in 8 bits 3.5 MB.
TEST(ImportMemory, PackedWeightsAreNeverAllInMemoryAsFloats) {
  const auto file = real_model("mobilenet_v2_1.0_imagenet224_fp32.onnx");
  if (file.empty()) GTEST_SKIP() << "set TINYTL_DATA to run the real models";
  if (kSanitized) GTEST_SKIP() << "the sanitizer keeps freed memory";
  std::set<std::string> weights;
  {
    const Graph floats = import_onnx(file);
    for (const Value& value : floats.values()) {
      if (value.role == Role::kWeight) weights.insert(value.name);
    }
  }
  malloc_trim(0);
  if (!reset_peak()) GTEST_SKIP() << "this kernel does not reset VmHWM";
  const size_t before = peak_bytes();
  const Graph graph = import_onnx(file, {.packed = {weights, DType::kQ8}});
  const size_t growth = peak_bytes() - before;
  size_t parameters = 0, largest = 0;
  for (const Value& value : graph.values()) {
    if (value.data != nullptr) parameters += value.type.bytes();
    largest = std::max(largest, static_cast<size_t>(value.type.elements()) * sizeof(float));
  }
  std::cout << "parameters " << parameters << " bytes, peak growth " << growth << " bytes\n";
  EXPECT_LT(growth, parameters + largest + 1'500'000);
}

}  // namespace
}  // namespace tinytl
