#include "tinytl/methods/lite_residual.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>
#include <numeric>

#include "engine/ops/op_table.h"
#include "engine/ops/passes.h"
#include "tinytl/data/random.h"

namespace tinytl {
namespace {

constexpr float kNormEpsilon = 1e-5f;
constexpr int64_t kNormChannels = 8;  // a group of a norm, at most

// Rounded to a multiple of 8, half up, and never below 0.9 of the value.
int64_t round_channels(double channels) {
  constexpr int64_t kMultiple = 8;
  const auto whole = static_cast<int64_t>(channels + kMultiple / 2.0) / kMultiple * kMultiple;
  const int64_t rounded = std::max(kMultiple, whole);
  return static_cast<double>(rounded) < 0.9 * channels ? rounded + kMultiple : rounded;
}

int64_t norm_groups(int64_t channels) {
  int64_t size = kNormChannels;
  while (channels % size != 0) --size;
  return channels / size;
}

std::shared_ptr<Tensor> filled(int64_t channels, float value) {
  auto tensor = std::make_shared<Tensor>(TensorType{DType::kF32, {channels}});
  std::ranges::fill(tensor->f32(), value);
  return tensor;
}

// [kh,kw,ci/groups,co]
std::shared_ptr<Tensor> he_normal(const Shape& shape, int64_t groups, Random& random) {
  auto tensor = std::make_shared<Tensor>(TensorType{DType::kF32, shape});
  const auto fan_out = static_cast<double>(shape[0] * shape[1] * shape[3] / groups);
  const double deviation = std::sqrt(2.0 / fan_out);
  for (float& w : tensor->f32()) {
    const double radius = std::sqrt(-2.0 * std::log(1.0 - random.uniform()));
    w = static_cast<float>(deviation * radius *
                           std::cos(2.0 * std::numbers::pi * random.uniform()));
  }
  return tensor;
}

void check_options(const Graph& graph, const LiteOptions& options) {
  const auto require = [&](bool ok, const char* what) {
    if (!ok) throw InputError(graph.source + ": lite residuals: " + what);
  };
  require(options.kernel >= 1 && options.kernel % 2 == 1, "--lite-kernel must be odd");
  require(options.groups >= 1, "--lite-groups must be at least 1");
  require(options.expand > 0, "--lite-expand must be above 0");
  require(options.pool >= 1, "--lite-pool must be at least 1");
}

class Inserter {
 public:
  Inserter(const Graph& graph, const LiteOptions& options) : graph_(graph), options_(options) {
    check_options(graph, options);
    const std::vector<Block> blocks = find_blocks(graph);
    if (blocks.empty()) {
      throw InputError(graph.source +
                       ": has no inverted residual, separable or residual block to lay lite "
                       "residuals beside; take another --update, for example bias");
    }
    for (const Block& block : blocks) block_of_[index(block.output)] = &block - blocks.data();
    for (const Block& block : blocks) result_.modules.push_back({.block = block});
  }

  LiteNetwork run(std::vector<ValueId>* new_ids) {
    Graph& g = result_.graph;
    g = without_nodes(graph_, ids_);
    for (const Node& old : graph_.nodes()) {
      Node node = old;
      for (ValueId& input : node.inputs) input = ids_[index(input)];
      const NodeId added = g.append(std::move(node), types_of(graph_, old.outputs));
      for (size_t j = 0; j < old.outputs.size(); ++j) {
        ids_[index(old.outputs[j])] = g.node(added).outputs[j];
        g.value(g.node(added).outputs[j]).name = graph_.value(old.outputs[j]).name;
      }
      const auto found = block_of_.find(index(old.outputs.at(0)));
      if (found != block_of_.end()) insert(result_.modules[static_cast<size_t>(found->second)]);
    }
    for (const ValueId id : graph_.outputs) g.outputs.push_back(ids_[index(id)]);
    if (new_ids != nullptr) *new_ids = std::move(ids_);
    return std::move(result_);
  }

 private:
  // The branch, behind the node that ends the main one.
  void insert(LiteModule& module) {
    Graph& g = result_.graph;
    const ValueId x = ids_[index(module.block.input)], main = ids_[index(module.block.output)];
    const Shape from = g.value(x).type.shape, to = g.value(main).type.shape;
    prefix_ = module.block.name + ".lite";
    Random random(options_.seed, hash_text(prefix_), /*sample=*/0);
    const int64_t side = std::min(nominal(from[1]), nominal(from[2]));
    module.stride = std::max<int64_t>(1, (from[1] + to[1] - 1) / to[1]);
    module.kernel = options_.kernel;
    while (module.kernel > 1 && side / options_.pool < module.kernel) module.kernel -= 2;
    module.channels = round_channels(static_cast<double>(from[3]) * options_.expand);

    ValueId value = pooled(x, from);
    const int64_t groups = std::gcd(options_.groups, std::gcd(from[3], module.channels));
    value = convolution(module, "conv", value, module.kernel, module.stride, groups,
                        module.channels, random);
    value = norm(module, "norm", value, 1.0f, Role::kBias);
    value = emit(g, kClip, prefix_ + ".relu", {value},
                 {{"low", 0.0f}, {"high", std::numeric_limits<float>::infinity()}});
    value = convolution(module, "project", value, 1, 1, 1, to[3], random);
    value = norm(module, "scale", value, 0.0f,
                 options_.trains_last_bias ? Role::kBias : Role::kConstant);
    const Shape small = g.value(value).type.shape;
    if (small[1] != to[1] || small[2] != to[2]) {
      constexpr int64_t kHalfPixel = 1;
      value = emit(g, kResize, prefix_ + ".upsample", {value},
                   {{"size", Shape{to[1], to[2]}}, {"mode", kHalfPixel}});
    }
    const ValueId sum = emit(g, kAdd, prefix_, {main, value});
    g.value(sum).name = g.value(main).name;
    ids_[index(module.block.output)] = sum;
  }

  // A height or width, were the network's input as high as nominal_resolution.
  int64_t nominal(int64_t length) const {
    const int64_t height = graph_.value(graph_.inputs.at(0)).type.dim(1);
    if (options_.nominal_resolution == 0) return length;
    return (length * options_.nominal_resolution + height - 1) / height;
  }

  // What has no window of its own is averaged whole.
  ValueId pooled(ValueId x, const Shape& from) {
    Shape window{options_.pool, options_.pool};
    if (options_.pool == 1) return x;
    for (size_t d = 0; d < 2; ++d) {
      if (from[d + 1] / options_.pool <= 1) window[d] = from[d + 1];
    }
    return emit(result_.graph, kAveragePool, prefix_ + ".pool", {x},
                {{"kernel", window},
                 {"strides", window},
                 {"pads", Shape{0, 0, 0, 0}},
                 {"ceil_mode", int64_t{0}},
                 {"count_include_pad", int64_t{0}}});
  }

  ValueId convolution(LiteModule& module, const char* name, ValueId x, int64_t kernel,
                      int64_t stride, int64_t groups, int64_t channels, Random& random) {
    const Shape from = result_.graph.value(x).type.shape;
    const ValueId weight =
        parameter(module, std::string(name) + ".weight", Role::kWeight,
                  he_normal({kernel, kernel, from[3] / groups, channels}, groups, random));
    const int64_t pad = kernel / 2;
    return emit(result_.graph, kConv2d, prefix_ + "." + name, {x, weight},
                {{"strides", Shape{stride, stride}},
                 {"pads", Shape{pad, pad, pad, pad}},
                 {"dilations", Shape{1, 1}},
                 {"groups", groups}});
  }

  ValueId norm(LiteModule& module, const char* name, ValueId x, float scale, Role shift) {
    const int64_t channels = result_.graph.value(x).type.shape.back();
    const ValueId s =
        parameter(module, std::string(name) + ".weight", Role::kWeight, filled(channels, scale));
    const ValueId b = parameter(module, std::string(name) + ".bias", shift, filled(channels, 0.0f));
    return emit(result_.graph, kGroupNorm, prefix_ + "." + name, {x, s, b},
                {{"groups", norm_groups(channels)}, {"epsilon", kNormEpsilon}});
  }

  ValueId parameter(LiteModule& module, const std::string& name, Role role,
                    std::shared_ptr<Tensor> data) {
    const ValueId id = result_.graph.add_persistent(prefix_ + "." + name, role, std::move(data));
    if (is_parameter(role)) module.parameters.push_back(id);
    return id;
  }

  const Graph& graph_;
  const LiteOptions& options_;
  std::map<size_t, ptrdiff_t> block_of_;  // by value that ends its main branch
  std::vector<ValueId> ids_;
  std::string prefix_;
  LiteNetwork result_;
};

}  // namespace

LiteNetwork insert_lite_residuals(const Graph& graph, const LiteOptions& options,
                                  std::vector<ValueId>* ids) {
  return Inserter(graph, options).run(ids);
}

}  // namespace tinytl
