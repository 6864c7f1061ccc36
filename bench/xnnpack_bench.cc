// XNNPACK against the kernels of this project, layer by layer and for whole networks, one thread.
//
//   xnnpack_bench [--rounds N] [--batch N]... [--layers] MODEL.onnx...
//
// A layer's time is the best of its rounds, the two in turn, in memory of its own; a clip behind it
// belongs to it. "mixed" is each layer where it is faster by 5 %. The network is its compiled
// inference, every node, as `--xnnpack auto` would run it: best of the rounds, in turn.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "engine/onnx/import.h"
#include "engine/ops/op_table.h"
#include "engine/ops/passes.h"
#include "engine/xnnpack/use_xnnpack.h"

namespace {

using namespace tinytl;

struct Arguments {
  int rounds = 30;
  bool layers = false;
  std::vector<int64_t> batches;
  std::vector<std::string> models;
};

// The clip that is all that reads the layer's result, or null.
const Node* clip_behind(const Graph& graph, const Node& layer,
                        const std::vector<std::vector<NodeId>>& readers) {
  const auto& of_result = readers[index(layer.output())];
  if (of_result.size() != 1) return nullptr;
  const Node& reader = graph.node(of_result[0]);
  return reader.op == &kClip ? &reader : nullptr;
}

// That layer alone. Its input is also an output, or the result would lie over it.
Graph alone(const Graph& network, const Node& layer, const Node* clip) {
  Graph graph;
  const TensorType& x = network.value(layer.input(0)).type;
  std::vector<ValueId> inputs{graph.add_input("x", x)};
  for (size_t i = 1; i < layer.inputs.size(); ++i) {
    const Value& value = network.value(layer.inputs[i]);
    inputs.push_back(graph.add_persistent(value.name, value.role, value.data));
  }
  Attributes attributes = layer.attributes;
  if (clip != nullptr) {
    attributes.set("low", clip->attributes.number("low"));
    attributes.set("high", clip->attributes.number("high"));
  }
  const ValueId y = emit(graph, *layer.op, layer.name, inputs, attributes);
  graph.inputs = {inputs[0]};
  graph.outputs = {y, inputs[0]};
  return graph;
}

std::string describe(const Graph& network, const Node& layer) {
  std::string shape = to_string(network.value(layer.input(0)).type.shape) + " x " +
                      to_string(network.value(layer.input(1)).type.shape);
  if (layer.attributes.has("strides")) {
    shape += " s" + std::to_string(layer.attributes.integers("strides")[0]);
  }
  return shape;
}

double flops(const Graph& network, const Node& layer) {
  const TensorType& w = network.value(layer.input(1)).type;
  const TensorType& y = network.value(layer.output()).type;
  return 2.0 * static_cast<double>(y.elements()) *
         static_cast<double>(w.elements() / w.shape.back());
}

struct Sum {
  double own = 0, xnnpack = 0, mixed = 0;
  size_t bytes = 0, mixed_bytes = 0, layers = 0, moved = 0;
};

void measure_layer(const Graph& network, const Node& layer, const Node* clip, const Arguments& args,
                   Sum& sum) {
  Program program = compile(alone(network, layer, clip), *tt_best_kernels());
  constexpr size_t kRoomBehind = 64;  // of the arena, that XNNPACK may read
  const auto arena = std::make_shared<Arena>(program.plan.arena_bytes + kRoomBehind);
  Executor executor(std::move(program), {.arena = arena});
  XnnpackLayers layers;
  layers.add(executor);
  layers.choose({.seconds = 1e-3 * args.rounds});
  if (layers.timings().empty() || layers.timings()[0].bytes == 0) return;
  const XnnpackTiming& t = layers.timings()[0];
  const double work = flops(network, layer);
  if (args.layers) {
    std::printf("  %-36s %-5s %8.1f us %6.1f GF  %8.1f us %6.1f GF  %5.2f%s %9zu B\n",
                describe(network, layer).c_str(), clip != nullptr ? "clip" : "",
                1e6 * t.own_seconds, 1e-9 * work / t.own_seconds, 1e6 * t.xnnpack_seconds,
                1e-9 * work / t.xnnpack_seconds, t.xnnpack_seconds / t.own_seconds,
                t.moved ? "*" : " ", t.bytes);
  }
  sum.own += t.own_seconds;
  sum.xnnpack += t.xnnpack_seconds;
  sum.mixed += t.moved ? t.xnnpack_seconds : t.own_seconds;
  sum.bytes += t.bytes;
  sum.mixed_bytes += t.moved ? t.bytes : 0;
  sum.moved += t.moved;
  ++sum.layers;
}

void measure_layers(const Graph& network, const Arguments& args) {
  if (args.layers) {
    std::printf("  %-42s %21s  %21s  ratio\n", "layer", "own kernels", "XNNPACK");
  }
  Sum sum;
  const auto all_readers = readers(network);
  for (const Node& node : network.nodes()) {
    if (node.op != &kConv2d && node.op != &kDepthwiseConv2d && node.op != &kLinear) continue;
    if (!is_persistent(network.value(node.input(1)).role)) continue;
    measure_layer(network, node, clip_behind(network, node, all_readers), args, sum);
  }
  std::printf(
      "  layers   own %8.3f ms, XNNPACK %8.3f ms (%zu bytes), mixed %8.3f ms (%zu of %zu "
      "layers, %zu bytes)\n",
      1e3 * sum.own, 1e3 * sum.xnnpack, sum.bytes, 1e3 * sum.mixed, sum.moved, sum.layers,
      sum.mixed_bytes);
}

void fill(std::span<float> x) {
  std::minstd_rand random(7);
  for (float& v : x) v = static_cast<float>(random() % 2001) * 1e-3f - 1.0f;
}

void measure_network(const Graph& network, const Arguments& args) {
  Executor own(prune(network)), mixed(prune(network)), all(prune(network));
  XnnpackLayers faster, every;
  faster.add(mixed);
  every.add(all);
  const size_t mixed_bytes = faster.choose(), all_bytes = every.choose({.at_most_time = 1e9});
  Executor* const executors[] = {&own, &mixed, &all};
  double best[3] = {1e9, 1e9, 1e9};
  for (int round = 0; round < args.rounds; ++round) {
    for (size_t e = 0; e < 3; ++e) {
      fill(executors[e]->f32(executors[e]->graph().inputs[0]));
      const auto start = std::chrono::steady_clock::now();
      executors[e]->step();
      const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
      best[e] = std::min(best[e], time.count());
    }
  }
  const auto moved = [](const XnnpackLayers& layers) {
    return std::ranges::count_if(layers.timings(), &XnnpackTiming::moved);
  };
  std::printf(
      "  network  own %8.3f ms, XNNPACK %8.3f ms (%td layers, %zu bytes), mixed %8.3f ms "
      "(%td layers, %zu bytes)\n",
      1e3 * best[0], 1e3 * best[2], moved(every), all_bytes, 1e3 * best[1], moved(faster),
      mixed_bytes);
}

Arguments parse(int argc, char** argv) {
  Arguments args;
  for (int i = 1; i < argc; ++i) {
    const bool has_value = i + 1 < argc;
    if (std::strcmp(argv[i], "--layers") == 0) {
      args.layers = true;
    } else if (std::strcmp(argv[i], "--rounds") == 0 && has_value) {
      args.rounds = std::max(1, std::atoi(argv[++i]));
    } else if (std::strcmp(argv[i], "--batch") == 0 && has_value) {
      args.batches.push_back(std::max(1, std::atoi(argv[++i])));
    } else {
      args.models.push_back(argv[i]);
    }
  }
  if (args.batches.empty()) args.batches = {1, 8};
  return args;
}

}  // namespace

int main(int argc, char** argv) {
  const Arguments args = parse(argc, argv);
  if (args.models.empty()) {
    std::fprintf(stderr, "xnnpack_bench: name the models, as .onnx files\n");
    return 2;
  }
  if (!has_xnnpack()) {
    std::fprintf(stderr, "xnnpack_bench: built without XNNPACK, or it does not run here\n");
    return 3;
  }
  try {
    for (const std::string& model : args.models) {
      for (const int64_t batch : args.batches) {
        std::printf("%s, batch %ld\n", model.substr(model.rfind('/') + 1).c_str(),
                    static_cast<long>(batch));
        const Graph network = import_onnx(model, {.batch = batch});
        measure_layers(network, args);
        measure_network(network, args);
      }
    }
  } catch (const InputError& error) {
    std::fprintf(stderr, "xnnpack_bench: %s\n", error.what());
    return 3;
  }
}
