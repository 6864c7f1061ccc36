// Speed of every kernel set on the layers of MobileNetV2 (224 x 224), in each training direction.
//
// FLOPs: multiplications and additions per second. of_peak: their share of what this core reaches
// in fused multiply-adds on registers of the set's width. bytes_per_second: of input, result and
// weights, each once; where a layer is bound by memory, compare it with the rates that head the
// report. Elementwise kernels count the bytes they read and write.
// Example: kernels_bench --benchmark_filter='avx512/pw14'
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

#include "engine/kernels/kernels.h"
#include "engine/kernels/simd/simd.h"

namespace {

// `count` multiply-adds on each of 12 chains of `BYTES` bytes. The chains start apart, or the
// compiler would compute one for all.
#if defined(__clang__)
#define TINYTL_FUSED
#else
#define TINYTL_FUSED __attribute__((optimize("fp-contract=fast")))
#endif
#define TINYTL_PEAK(NAME, TARGET, BYTES)                                                        \
  TARGET TINYTL_FUSED __attribute__((noinline)) float NAME(int64_t count, float factor) {       \
    using Vector = float __attribute__((vector_size(BYTES)));                                   \
    const Vector f = Vector{} + factor;                                                         \
    Vector a = f, b = a + f, c = b + f, d = c + f, e = d + f, g = e + f;                        \
    Vector h = g + f, i = h + f, j = i + f, k = j + f, l = k + f, m = l + f;                    \
    for (int64_t n = 0; n < count; ++n) {                                                       \
      a = a * f + f, b = b * f + f, c = c * f + f, d = d * f + f, e = e * f + f, g = g * f + f; \
      h = h * f + f, i = i * f + f, j = j * f + f, k = k * f + f, l = l * f + f, m = m * f + f; \
    }                                                                                           \
    const Vector sum = a + b + c + d + e + g + h + i + j + k + l + m;                           \
    return sum[0];                                                                              \
  }
TINYTL_PEAK(multiply_adds_128, , 16)
#if defined(__x86_64__)
TINYTL_PEAK(multiply_adds_256, __attribute__((target("avx2,fma"))), 32)
TINYTL_PEAK(multiply_adds_512, __attribute__((target("avx512f"))), 64)
#endif

// The largest of `runs` rates of fn(), which does `work` each time.
template <class F>
double best_rate(double work, int runs, F&& fn) {
  double best = 0;
  for (int run = 0; run < runs; ++run) {
    const auto start = std::chrono::steady_clock::now();
    fn();
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
    best = std::max(best, work / time.count());
  }
  return best;
}

double measured_peak(int lanes, float (*multiply_adds)(int64_t, float)) {
  constexpr int64_t kCount = 2'000'000;
  return best_rate(2.0 * 12 * lanes * kCount, 20,
                   [&] { benchmark::DoNotOptimize(multiply_adds(kCount, 0.5f)); });
}

// FLOPs a second of this core in vectors of the width of an instruction set.
double fma_peak(const std::string& set) {
#if defined(__x86_64__)
  static const double k512 = set == "avx512" ? measured_peak(16, multiply_adds_512) : 0;
  if (set == "avx512") return k512;
  static const double k256 = measured_peak(8, multiply_adds_256);
  if (set == "avx2") return k256;
#endif
  static const double k128 = measured_peak(4, multiply_adds_128);
  return k128;
}

// Aligned as in an arena.
template <class T>
class Array {
 public:
  explicit Array(int64_t n)
      : size_(n), data_(static_cast<T*>(std::aligned_alloc(64, (bytes() + 127) / 64 * 64))) {
    for (int64_t i = 0; i < n; ++i) data_[i] = static_cast<T>(i * 7 % 13 - 6);
  }
  ~Array() { std::free(data_); }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  T* data() { return data_; }
  size_t bytes() const { return static_cast<size_t>(size_) * sizeof(T); }

 private:
  int64_t size_;
  T* data_;
};

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

// Of a layer: its three directions, the first two with weights of 8 bits, and with what a rewritten
// graph puts at their ends: bias, clip and bit mask written, or bit mask applied.
enum class Run {
  kForward,
  kGradInput,
  kGradWeight,
  kForwardQ8,
  kGradInputQ8,
  kForwardEnd,
  kGradInputEnd
};
constexpr const char* kRuns[] = {"forward",       "grad_input",  "grad_weight",   "forward_q8",
                                 "grad_input_q8", "forward_end", "grad_input_end"};

struct LayerData {
  LayerData(const tt_conv2d_shape& shape, int64_t weight_count)
      : s(shape),
        x(int64_t{s.batch} * s.in_h * s.in_w * s.in_c),
        y(int64_t{s.batch} * s.out_h * s.out_w * s.out_c),
        w(weight_count),
        bias(s.out_c),
        scale(s.out_c),
        q8(weight_count),
        mask(static_cast<int64_t>(std::max(x.bytes(), y.bytes()) / 32 + 1)) {}
  tt_conv2d_shape s;
  Array<float> x, y, w, bias, scale;
  Array<int8_t> q8;
  Array<uint8_t> mask;
};

bool is_q8(Run run) { return run == Run::kForwardQ8 || run == Run::kGradInputQ8; }
bool is_forward(Run run) {
  return run == Run::kForward || run == Run::kForwardQ8 || run == Run::kForwardEnd;
}

size_t scratch_bytes(const tt_kernels& k, const tt_conv2d_shape& s, Run run) {
  if (s.groups == s.in_c) return 0;
  if (is_forward(run)) return k.conv2d_scratch_bytes(&s, is_q8(run));
  if (run == Run::kGradWeight) return k.conv2d_grad_weight_scratch_bytes(&s);
  return k.conv2d_grad_input_scratch_bytes(&s, is_q8(run));
}

void run_layer(const tt_kernels& k, LayerData& t, Run run, void* scratch) {
  const bool depthwise = t.s.groups == t.s.in_c;
  const tt_weights w = is_q8(run) ? tt_weights{nullptr, t.q8.data(), t.scale.data()}
                                  : tt_weights{t.w.data(), nullptr, nullptr};
  tt_epilogue end{};
  if (is_forward(run)) {
    end.bias = t.bias.data();
    if (run == Run::kForwardEnd) end.clip = 1, end.high = 6, end.inside = t.mask.data();
    if (depthwise) return k.depthwise(&t.s, t.x.data(), &w, &end, t.y.data());
    return k.conv2d(&t.s, t.x.data(), &w, &end, t.y.data(), scratch);
  }
  if (run == Run::kGradWeight) {
    if (depthwise) {
      return k.depthwise_grad_weight(&t.s, t.x.data(), t.y.data(), 1.0f, 0, t.w.data());
    }
    return k.conv2d_grad_weight(&t.s, t.x.data(), t.y.data(), 1.0f, 0, t.w.data(), scratch);
  }
  if (run == Run::kGradInputEnd) end.keep = t.mask.data();
  if (depthwise) return k.depthwise_grad_input(&t.s, t.y.data(), &w, &end, t.x.data());
  k.conv2d_grad_input(&t.s, t.y.data(), &w, &end, t.x.data(), scratch);
}

void bench_layer(benchmark::State& state, const tt_kernels& k, const Layer& layer, int32_t batch,
                 Run run) {
  const tt_conv2d_shape s = shape_of(layer, batch);
  const int64_t weights = int64_t{layer.kernel} * layer.kernel * (s.in_c / s.groups) * s.out_c;
  LayerData data(s, weights);
  const size_t scratch_size = scratch_bytes(k, s, run);
  Array<char> scratch(static_cast<int64_t>(scratch_size));
  for (auto _ : state) {
    run_layer(k, data, run, scratch.data());
    benchmark::ClobberMemory();
  }
  const double flops = 2.0 * static_cast<double>(int64_t{batch} * s.out_h * s.out_w * weights);
  using benchmark::Counter;
  state.counters["FLOPs"] = Counter(flops, Counter::kIsIterationInvariantRate);
  state.counters["of_peak"] = Counter(flops / fma_peak(k.name), Counter::kIsIterationInvariantRate);
  state.counters["scratch"] = static_cast<double>(scratch_size);
  const size_t bytes =
      data.x.bytes() + data.y.bytes() + (is_q8(run) ? data.q8.bytes() : data.w.bytes());
  state.SetBytesProcessed(static_cast<int64_t>(bytes) * state.iterations());
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
      for (size_t run = 0; run < std::size(kRuns); ++run) {
        // A mask is in bytes of 8 channels.
        const bool has_end = run == static_cast<size_t>(Run::kForwardEnd) ||
                             run == static_cast<size_t>(Run::kGradInputEnd);
        if (has_end && (layer.in_c % 8 != 0 || layer.out_c % 8 != 0)) continue;
        const std::string name = std::string(k.name) + "/" + layer.name +
                                 "/batch:" + std::to_string(batch) + "/" + kRuns[run];
        benchmark::RegisterBenchmark(name.c_str(), [&k, &layer, batch, run](auto& state) {
          bench_layer(state, k, layer, batch, static_cast<Run>(run));
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

// Bytes a second of filling, and of reading, arrays of the size of the last layer's weights.
void add_bandwidth() {
  Array<float> from(1280 * 1000), to(1280 * 1000);
  const double bytes = static_cast<double>(from.bytes());
  const double fill = best_rate(bytes, 50, [&] {
    std::memset(to.data(), 0, to.bytes());
    benchmark::ClobberMemory();
  });
  float sum = 0;
  const double read = best_rate(bytes, 50, [&] {
    tt_best_kernels()->sum_rows(from.data(), 1280 * 1000 / 64, 64, 64, to.data());
    benchmark::DoNotOptimize(sum += to.data()[0]);
  });
  benchmark::AddCustomContext("fill_gbytes_a_second", std::to_string(fill / 1e9));
  benchmark::AddCustomContext("read_gbytes_a_second", std::to_string(read / 1e9));
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  std::vector<const tt_kernels*> sets = tinytl::simd_kernel_sets();
  sets.push_back(&tt_portable_kernels);
  for (const tt_kernels* set : sets) {
    register_set(*set);
    benchmark::AddCustomContext("fma_peak_gflops_" + std::string(set->name),
                                std::to_string(fma_peak(set->name) / 1e9));
  }
  add_bandwidth();
  benchmark::RunSpecifiedBenchmarks();
}
