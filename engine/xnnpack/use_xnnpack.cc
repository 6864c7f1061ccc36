#include "engine/xnnpack/use_xnnpack.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <map>

#include "engine/ops/op_helpers.h"
#include "engine/schedule/parts.h"
#include "engine/xnnpack/heap.h"
#include "engine/xnnpack/layer.h"

namespace tinytl {
namespace {

using xnnpack::Layer;
using xnnpack::LayerShape;

enum { kX, kW, kB };

class XnnpackKernel : public LayerKernel {
 public:
  XnnpackKernel(std::shared_ptr<Layer> layer, bool mask, float low, float high)
      : layer_(std::move(layer)), mask_(mask), low_(low), high_(high) {}

  void run(const KernelArgs& args) noexcept override {
    layer_->run(args.f32(kX), args.out_f32());
    if (!mask_) return;
    args.kernels().clip_mask(args.out_f32(), args.out_type().elements(), low_, high_,
                             args.out_bits(1));
  }

 private:
  const std::shared_ptr<Layer> layer_;
  const bool mask_;
  const float low_, high_;
};

// The persistent tensor that a value is, or is a view of; else null.
const Tensor* persistent_tensor(const Program& program, ValueId id) {
  const Value& root = program.graph.value(program.buffers.root[index(id)]);
  return is_persistent(root.role) ? root.data.get() : nullptr;
}

// Null where nothing reads the value.
void* address(const Executor& executor, ValueId id) {
  const Program& p = executor.program();
  const size_t offset = p.buffers.offset[index(id)];
  const Value& root = p.graph.value(p.buffers.root[index(id)]);
  if (is_persistent(root.role)) return root.data->bytes().data() + offset;
  const auto buffer = p.buffers.of_value[index(id)];
  return buffer.has_value() ? executor.arena().data() + p.plan.offsets[*buffer] + offset : nullptr;
}

bool is_readable_behind(const Arena& arena, const std::byte* end) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return end + xnnpack::kReadBehind <= arena.data() + (arena.bytes() + page - 1) / page * page;
}

}  // namespace

// Keeps what the executor may forget.
struct XnnpackLayers::Candidate {
  Executor* executor;
  NodeId id;
  Node node;
  std::vector<TensorType> types;
  std::vector<Operand> in, out;
  std::vector<KernelArgs> parts;  // as the executor runs them
  const Tensor* w = nullptr;      // where they lie; null: not in persistent memory
  const Tensor* bias = nullptr;

  KernelArgs args() const { return {tt_best_kernels(), in, out, nullptr}; }
  float* x() const { return static_cast<float*>(in[kX].data); }
  float* y() const { return static_cast<float*>(out[0].data); }
  void resolve();
  void run_own() const;
  std::unique_ptr<LayerKernel> kernel(std::shared_ptr<Layer> layer) const;
};

void XnnpackLayers::Candidate::resolve() {
  const Program& p = executor->program();
  types = types_of(p.graph, node.inputs);
  for (const TensorType& type : types_of(p.graph, node.outputs)) types.push_back(type);
  size_t t = 0;
  for (const ValueId v : node.inputs) in.push_back({&types[t++], address(*executor, v)});
  for (const ValueId v : node.outputs) out.push_back({&types[t++], address(*executor, v)});
  const int count = parts_of(p.graph, node, p.schedule.threads);
  const auto buffer = p.buffers.of_scratch[index(id)];
  for (int i = 0; i < count; ++i) {
    std::byte* scratch = nullptr;
    if (buffer.has_value()) {
      const size_t stride = p.buffers.lifetimes[*buffer].bytes / static_cast<size_t>(count);
      scratch =
          executor->arena().data() + p.plan.offsets[*buffer] + stride * static_cast<size_t>(i);
    }
    parts.emplace_back(tt_best_kernels(), in, out, scratch, Part{i, count});
  }
}

void XnnpackLayers::Candidate::run_own() const {
  const auto run_part = [](const void* context, int part) {
    const auto& c = *static_cast<const Candidate*>(context);
    c.node.op->forward(c.node, c.parts[static_cast<size_t>(part)]);
  };
  executor->threads().run(static_cast<int>(parts.size()), run_part, this);
}

std::unique_ptr<LayerKernel> XnnpackLayers::Candidate::kernel(std::shared_ptr<Layer> layer) const {
  const tt_epilogue end = epilogue_of(node, args());
  return std::make_unique<XnnpackKernel>(std::move(layer), end.inside != nullptr, end.low,
                                         end.high);
}

struct XnnpackLayers::Group {
  LayerShape shape;
  std::vector<const Candidate*> nodes;
  XnnpackTiming timing;

  std::shared_ptr<Layer> make_layer() const {
    const Candidate& c = *nodes[0];
    return Layer::make(shape, c.x(), c.y(), c.executor->threads().handle());
  }
  double saved_seconds() const {
    return static_cast<double>(nodes.size()) * (timing.own_seconds - timing.xnnpack_seconds);
  }
};

XnnpackLayers::XnnpackLayers() = default;
XnnpackLayers::~XnnpackLayers() = default;

bool has_xnnpack() { return xnnpack::start(); }
size_t xnnpack_bytes() { return xnnpack::bytes_held(); }

void XnnpackLayers::add(Executor& executor) {
  const Program& p = executor.program();
  for (const NodeId id : executor.instruction_nodes()) {
    const Node& node = p.graph.node(id);
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if ((node.op->mutates >> i & 1) != 0) {
        changing_.insert(persistent_tensor(p, node.inputs[i]));
      }
    }
    if (!xnnpack::is_layer(node)) continue;
    if (persistent_tensor(p, node.inputs[kW]) == nullptr) continue;
    if (persistent_tensor(p, node.inputs[kX]) != nullptr) continue;
    auto c = std::make_unique<Candidate>();
    c->executor = &executor;
    c->id = id;
    c->node = node;
    c->w = persistent_tensor(p, node.inputs[kW]);
    if (node.inputs.size() > kB) c->bias = persistent_tensor(p, node.inputs[kB]);
    c->resolve();
    const auto* const x = reinterpret_cast<const std::byte*>(c->x());
    if (!is_readable_behind(executor.arena(), x + c->types[kX].bytes())) continue;
    if (!xnnpack::layer_shape(c->node, c->args(), false).has_value()) continue;
    candidates_.push_back(std::move(c));
  }
}

std::vector<XnnpackLayers::Group> XnnpackLayers::groups() {
  std::map<LayerShape, size_t> found;
  std::vector<Group> groups;
  for (const auto& c : candidates_) {
    if (changing_.contains(c->w)) continue;
    const bool bias_changes = c->bias == nullptr || changing_.contains(c->bias);
    const LayerShape shape = *xnnpack::layer_shape(c->node, c->args(), bias_changes);
    const auto [at, is_new] = found.try_emplace(shape, groups.size());
    if (is_new) groups.push_back({shape, {}, {.node = c->node.name}});
    groups[at->second].nodes.push_back(c.get());
  }
  return groups;
}

// The shorter of each: what disturbs makes times longer, never shorter.
void XnnpackLayers::measure(Group& group, double seconds, size_t most_bytes) {
  constexpr int kFewest = 2, kMost = 100;
  const Candidate& c = *group.nodes[0];
  // Packing may need a copy of the weights besides its own for a moment.
  if (2 * c.types[kW].bytes() > most_bytes) return;
  const std::shared_ptr<Layer> layer = group.make_layer();
  if (layer == nullptr) return;
  const std::unique_ptr<LayerKernel> kernel = c.kernel(layer);
  const KernelArgs args = c.args();
  std::fill_n(c.x(), c.types[kX].elements(), 0.5f);

  using Clock = std::chrono::steady_clock;
  double own = std::numeric_limits<double>::infinity(), other = own;
  const auto begin = Clock::now();
  for (int i = 0; i < kMost; ++i) {
    const auto start = Clock::now();
    if (i >= kFewest && std::chrono::duration<double>(start - begin).count() > seconds) break;
    c.run_own();
    const auto middle = Clock::now();
    kernel->run(args);
    const auto end = Clock::now();
    own = std::min(own, std::chrono::duration<double>(middle - start).count());
    other = std::min(other, std::chrono::duration<double>(end - middle).count());
  }
  group.timing.own_seconds = own;
  group.timing.xnnpack_seconds = other;
  group.timing.bytes = layer->bytes();
}

size_t XnnpackLayers::choose(const XnnpackOptions& options) {
  timings_.clear();
  if (candidates_.empty() || !has_xnnpack()) return 0;
  std::vector<Group> all = groups();
  const double seconds = options.seconds / static_cast<double>(std::max<size_t>(1, all.size()));
  for (Group& group : all) measure(group, seconds, options.most_bytes);

  std::vector<Group*> best;
  for (Group& group : all) {
    const XnnpackTiming& t = group.timing;
    const bool is_faster = t.xnnpack_seconds < options.at_most_time * t.own_seconds;
    if (t.bytes > 0 && is_faster) best.push_back(&group);
  }
  std::ranges::stable_sort(best, std::greater<>(), [](const Group* group) {
    return group->saved_seconds() / static_cast<double>(group->timing.bytes);
  });
  size_t bytes = 0;
  for (Group* const group : best) {
    if (group->timing.bytes > options.most_bytes - bytes) continue;
    const std::shared_ptr<Layer> layer = group->make_layer();
    if (layer == nullptr) continue;
    for (const Candidate* c : group->nodes) c->executor->replace(c->id, c->kernel(layer));
    group->timing.moved = true;
    bytes += layer->bytes();
  }
  for (Group& group : all) timings_.push_back(std::move(group.timing));
  return bytes;
}

}  // namespace tinytl
