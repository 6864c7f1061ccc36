#include "engine/runtime/executor.h"

namespace tinytl {
namespace {

const tt_kernels* kernels_of(const ExecutorOptions& options) {
  return options.kernels != nullptr ? options.kernels : tt_best_kernels();
}

}  // namespace

Executor::Executor(Graph graph, ExecutorOptions options)
    : Executor(compile(std::move(graph), *kernels_of(options)), options) {}

Executor::Executor(Program program, ExecutorOptions options)
    : program_(std::move(program)),
      kernels_(kernels_of(options)),
      arena_(options.arena != nullptr ? options.arena
                                      : std::make_shared<Arena>(program_.plan.arena_bytes)) {
  TT_ASSERT(arena_->bytes() >= program_.plan.arena_bytes);
  for (size_t v = 0; v < program_.graph.values().size(); ++v) {
    Value& value = program_.graph.value(ValueId{static_cast<uint32_t>(v)});
    if (value.role == Role::kState && value.data == nullptr) {
      value.data = std::make_shared<Tensor>(value.type);
    }
  }
  resolve();
}

std::byte* Executor::buffer_address(size_t buffer) const {
  return arena_->data() + program_.plan.offsets[buffer];
}

void* Executor::address(ValueId id) const {
  const size_t offset = program_.buffers.offset[index(id)];
  const ValueId root = program_.buffers.root[index(id)];
  const Value& value = program_.graph.value(root);
  if (is_persistent(value.role)) return value.data->bytes().data() + offset;
  const auto buffer = program_.buffers.of_value[index(id)];
  return buffer.has_value() ? buffer_address(*buffer) + offset : nullptr;
}

void Executor::resolve() {
  const Graph& graph = program_.graph;
  const Schedule& order = program_.schedule;
  for (size_t step = 0; step < order.order.size(); ++step) {
    if (step == order.first_update) first_update_ = instructions_.size();
    const NodeId id = order.order[step];
    const Node& node = graph.node(id);
    if (program_.buffers.elided[index(id)]) continue;
    std::vector<TensorType> in, out;
    for (const ValueId v : node.inputs) in.push_back(graph.value(v).type);
    for (const ValueId v : node.outputs) out.push_back(graph.value(v).type);
    KernelArgs args(kernels_, std::move(in), std::move(out));
    for (size_t i = 0; i < node.inputs.size(); ++i) args.set_input(i, address(node.inputs[i]));
    for (size_t j = 0; j < node.outputs.size(); ++j) args.set_output(j, address(node.outputs[j]));
    const auto scratch = program_.buffers.of_scratch[index(id)];
    if (scratch.has_value()) args.set_scratch(buffer_address(*scratch));
    instructions_.push_back({&node, node.op->forward, std::move(args)});
  }
  if (order.first_update == order.order.size()) first_update_ = instructions_.size();
}

void Executor::step(bool apply_updates) noexcept {
  const size_t count = apply_updates ? instructions_.size() : first_update_;
  for (size_t i = 0; i < count; ++i) {
    const Instruction& instruction = instructions_[i];
    instruction.forward(*instruction.node, instruction.args);
  }
}

std::span<float> Executor::f32(ValueId id) const {
  const TensorType& type = program_.graph.value(id).type;
  TT_ASSERT(type.dtype == DType::kF32);
  auto* p = static_cast<float*>(address(id));
  return {p, p == nullptr ? 0 : static_cast<size_t>(type.elements())};
}

std::span<int32_t> Executor::i32(ValueId id) const {
  const TensorType& type = program_.graph.value(id).type;
  TT_ASSERT(type.dtype == DType::kI32);
  auto* p = static_cast<int32_t*>(address(id));
  return {p, p == nullptr ? 0 : static_cast<size_t>(type.elements())};
}

}  // namespace tinytl
