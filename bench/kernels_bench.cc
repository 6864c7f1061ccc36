// Speed of every kernel set on the layers of MobileNetV2 (224 x 224), in each training direction.
//
// FLOPs: multiplications and additions per second. of_peak: their share of what this core reaches
// in fused multiply-adds on registers. Elementwise kernels count the bytes they read and write.
// Example: kernels_bench --benchmark_filter='avx512/pw14'
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "engine/kernels/kernels.h"
#include "engine/kernels/simd/simd.h"

namespace {

#if defined(__x86_64__)
#define TINYTL_EACH_TARGET \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define TINYTL_EACH_TARGET
#endif

using Vector = float __attribute__((vector_size(64)));

// `count` multiply-adds on each of 12 chains of 16 floats. The chains start apart, or the compiler
// would compute one for all.
TINYTL_EACH_TARGET __attribute__((noinline, optimize("fp-contract=fast"))) float multiply_adds(
    int64_t count, float factor) {
  const Vector f = Vector{} + factor;
  Vector a = f, b = a + f, c = b + f, d = c + f, e = d + f, g = e + f;
  Vector h = g + f, i = h + f, j = i + f, k = j + f, l = k + f, m = l + f;
  for (int64_t n = 0; n < count; ++n) {
    a = a * f + f, b = b * f + f, c = c * f + f, d = d * f + f, e = e * f + f, g = g * f + f;
    h = h * f + f, i = i * f + f, j = j * f + f, k = k * f + f, l = l * f + f, m = m * f + f;
  }
  const Vector sum = a + b + c + d + e + g + h + i + j + k + l + m;
  return sum[0];
}

double fma_peak() {
  static const double kPeak = [] {
    constexpr int64_t kCount = 2'000'000;
    double best = 0;
    for (int run = 0; run < 20; ++run) {
      const auto start = std::chrono::steady_clock::now();
      benchmark::DoNotOptimize(multiply_adds(kCount, 0.5f));
      const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
      best = std::max(best, 2.0 * 12 * 16 * kCount / time.count());
    }
    return best;
  }();
  return kPeak;
}

struct Layer {
  const char* name;
  int32_t size, in_c, out_c, kernel, stride, groups;
  bool depthwise() const { return groups == in_c && groups == out_c && groups > 1; }
};

constexpr Layer kLayers[] = {
    {"stem224_3_32", 224, 3, 32, 3, 2, 1},    {"pw112_16_96", 112, 16, 96, 1, 1, 1},
    {"pw56_144_24", 56, 144, 24, 1, 1, 1},    {"pw14_384_64", 14, 384, 64, 1, 1, 1},
    {"pw14_64_384", 14, 64, 384, 1, 1, 1},    {"pw7_160_960", 7, 160, 960, 1, 1, 1},
    {"pw7_960_160", 7, 960, 160, 1, 1, 1},    {"fc_1280_1000", 1, 1280, 1000, 1, 1, 1},
    {"conv56_64_64", 56, 64, 64, 3, 1, 1},    {"conv14_96_96_g2", 14, 96, 96, 5, 1, 2},
    {"dw56_144_s1", 56, 144, 144, 3, 1, 144}, {"dw56_144_s2", 56, 144, 144, 3, 2, 144},
    {"dw14_384", 14, 384, 384, 3, 1, 384},    {"dw14_384_k5", 14, 384, 384, 5, 1, 384},
    {"dw7_960", 7, 960, 960, 3, 1, 960},      {"dw14_576_s2", 14, 576, 576, 3, 2, 576},
};

tt_conv2d_shape shape_of(const Layer& layer, int32_t batch) {
  tt_conv2d_shape s{};
  s.batch = batch;
  s.in_h = s.in_w = layer.size;
  s.in_c = layer.in_c;
  s.out_c = layer.out_c;
  s.kernel_h = s.kernel_w = layer.kernel;
  s.stride_h = s.stride_w = layer.stride;
  s.pad_top = s.pad_left = layer.kernel / 2;
  s.dilation_h = s.dilation_w = 1;
  s.groups = layer.groups;
  s.out_h = s.out_w = (layer.size + 2 * s.pad_top - layer.kernel) / layer.stride + 1;
  return s;
}

std::vector<float> filled(int64_t n) {
  std::vector<float> v(static_cast<size_t>(n));
  for (size_t i = 0; i < v.size(); ++i) v[i] = static_cast<float>(i * 7 % 13) - 6.0f;
  return v;
}

enum class Direction { kForward, kGradInput, kGradWeight };
constexpr const char* kDirections[] = {"forward", "grad_input", "grad_weight"};

size_t scratch_bytes(const tt_kernels& k, const tt_conv2d_shape& s, Direction direction) {
  switch (direction) {
    case Direction::kForward:
      return k.conv2d_scratch_bytes(&s, 0);
    case Direction::kGradInput:
      return k.conv2d_grad_input_scratch_bytes(&s, 0);
    default:
      return k.conv2d_grad_weight_scratch_bytes(&s);
  }
}

void bench_layer(benchmark::State& state, const tt_kernels& k, const Layer& layer, int32_t batch,
                 Direction direction) {
  const tt_conv2d_shape s = shape_of(layer, batch);
  const int64_t out_pixels = int64_t{batch} * s.out_h * s.out_w;
  const int64_t weights = int64_t{layer.kernel} * layer.kernel * (s.in_c / s.groups) * s.out_c;
  std::vector<float> x = filled(int64_t{batch} * s.in_h * s.in_w * s.in_c), w = filled(weights);
  std::vector<float> y = filled(out_pixels * s.out_c), bias = filled(s.out_c);
  const tt_weights f32_weights{w.data(), nullptr, nullptr};
  tt_epilogue epilogue{};
  epilogue.bias = bias.data();
  const size_t scratch_size = layer.depthwise() ? 0 : scratch_bytes(k, s, direction);
  std::vector<char> scratch(scratch_size);
  for (auto _ : state) {
    if (layer.depthwise()) {
      switch (direction) {
        case Direction::kForward:
          k.depthwise(&s, x.data(), &f32_weights, &epilogue, y.data());
          break;
        case Direction::kGradInput:
          k.depthwise_grad_input(&s, y.data(), &f32_weights, nullptr, x.data());
          break;
        default:
          k.depthwise_grad_weight(&s, x.data(), y.data(), 1.0f, 0, w.data());
      }
    } else {
      void* p = scratch.data();
      switch (direction) {
        case Direction::kForward:
          k.conv2d(&s, x.data(), &f32_weights, &epilogue, y.data(), p);
          break;
        case Direction::kGradInput:
          k.conv2d_grad_input(&s, y.data(), &f32_weights, nullptr, x.data(), p);
          break;
        default:
          k.conv2d_grad_weight(&s, x.data(), y.data(), 1.0f, 0, w.data(), p);
      }
    }
    benchmark::ClobberMemory();
  }
  const double flops = 2.0 * static_cast<double>(out_pixels * weights);
  using benchmark::Counter;
  state.counters["FLOPs"] = Counter(flops, Counter::kIsIterationInvariantRate);
  state.counters["of_peak"] = Counter(flops / fma_peak(), Counter::kIsIterationInvariantRate);
  state.counters["scratch"] = static_cast<double>(scratch_size);
}

// `call` runs the kernel once on n elements and returns nothing; `bytes` is per element.
struct Map {
  const char* name;
  double bytes;
  std::function<void(const tt_kernels&, std::vector<float>*, uint8_t*, int64_t)> call;
};

const Map kMaps[] = {
    {"clip", 8,
     [](const tt_kernels& k, std::vector<float>* v, uint8_t*, int64_t n) {
       k.clip(v[0].data(), n, 0, 6, v[1].data());
     }},
    {"clip_mask", 4.125,
     [](const tt_kernels& k, std::vector<float>* v, uint8_t* mask, int64_t n) {
       k.clip_mask(v[0].data(), n, 0, 6, mask);
     }},
    {"mask_apply", 8.125,
     [](const tt_kernels& k, std::vector<float>* v, uint8_t* mask, int64_t n) {
       k.mask_apply(v[0].data(), mask, n, v[1].data());
     }},
    {"clip_grad", 12,
     [](const tt_kernels& k, std::vector<float>* v, uint8_t*, int64_t n) {
       k.clip_grad(v[0].data(), v[1].data(), n, 0, 6, v[2].data());
     }},
    {"add", 12,
     [](const tt_kernels& k, std::vector<float>* v, uint8_t*, int64_t n) {
       k.add(v[0].data(), v[1].data(), n, v[2].data());
     }},
    {"sum_rows_96", 4,
     [](const tt_kernels& k, std::vector<float>* v, uint8_t*, int64_t n) {
       k.sum_rows(v[0].data(), n / 96, 96, 96, v[1].data());
     }},
    {"sgd", 20,
     [](const tt_kernels& k, std::vector<float>* v, uint8_t*, int64_t n) {
       k.sgd(v[0].data(), v[1].data(), v[2].data(), n, 1e-3f, 1, 0.9f, 0, 0);
     }},
    {"adam", 28,
     [](const tt_kernels& k, std::vector<float>* v, uint8_t*, int64_t n) {
       k.adam(v[0].data(), v[1].data(), v[2].data(), v[3].data(), n, 1e-3f, 1, 0.9f, 0.999f, 1e-8f,
              0.1f, 0.1f, 0, 0);
     }},
};

void bench_map(benchmark::State& state, const tt_kernels& k, const Map& map, int64_t n) {
  std::vector<float> v[4];
  for (std::vector<float>& each : v) each.assign(static_cast<size_t>(n), 1.0f);
  std::vector<uint8_t> mask(static_cast<size_t>(n + 7) / 8, 0x5a);
  for (auto _ : state) {
    map.call(k, v, mask.data(), n);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(
      static_cast<int64_t>(map.bytes * static_cast<double>(n * state.iterations())));
}

void register_set(const tt_kernels& k) {
  for (const Layer& layer : kLayers) {
    for (const int32_t batch : {1, 8}) {
      for (const Direction direction :
           {Direction::kForward, Direction::kGradInput, Direction::kGradWeight}) {
        const std::string name = std::string(k.name) + "/" + layer.name +
                                 "/batch:" + std::to_string(batch) + "/" +
                                 kDirections[static_cast<size_t>(direction)];
        benchmark::RegisterBenchmark(name.c_str(), [&k, &layer, batch, direction](auto& state) {
          bench_layer(state, k, layer, batch, direction);
        });
      }
    }
  }
  for (const Map& map : kMaps) {
    for (const int64_t n : {96 * 256, 96 * 64 * 1024}) {  // in the second cache, and in memory
      const std::string name = std::string(k.name) + "/" + map.name + "/n:" + std::to_string(n);
      benchmark::RegisterBenchmark(name.c_str(),
                                   [&k, &map, n](auto& state) { bench_map(state, k, map, n); });
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  for (const tt_kernels* set : tinytl::simd_kernel_sets()) register_set(*set);
  register_set(tt_portable_kernels);
  benchmark::AddCustomContext("fma_peak_gflops", std::to_string(fma_peak() / 1e9));
  benchmark::RunSpecifiedBenchmarks();
}
