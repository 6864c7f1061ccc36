#include "engine/runtime/executor.h"

#include <algorithm>
#include <chrono>

#include "engine/schedule/parts.h"

namespace tinytl {
namespace {

const tt_kernels* kernels_of(const ExecutorOptions& options) {
  return options.kernels != nullptr ? options.kernels : tt_best_kernels();
}

}  // namespace

Executor::Executor(Graph graph, ExecutorOptions options)
    : Executor(compile(std::move(graph), *kernels_of(options),
                       {.threads = options.threads == nullptr ? 1 : options.threads->count()}),
               options) {}

Executor::Executor(Program program, ExecutorOptions options)
    : program_(std::move(program)),
      kernels_(kernels_of(options)),
      arena_(options.arena != nullptr ? options.arena
                                      : std::make_shared<Arena>(program_->plan.arena_bytes)),
      threads_(options.threads != nullptr ? options.threads : std::make_shared<ThreadPool>(1)) {
  TT_ASSERT(arena_->bytes() >= program_->plan.arena_bytes);
  give_state_storage();
  resolve_values();
  resolve_nodes();
}

void Executor::give_state_storage() {
  for (size_t v = 0; v < graph().values().size(); ++v) {
    Value& value = program_->graph.value(ValueId{static_cast<uint32_t>(v)});
    if (value.role == Role::kState && value.data == nullptr) {
      value.data = std::make_shared<Tensor>(value.type);
    }
  }
}

std::byte* Executor::buffer_address(size_t buffer) const {
  return arena_->data() + program_->plan.offsets[buffer];
}

void* Executor::address(ValueId id) const {
  const Buffers& buffers = program_->buffers;
  const size_t offset = buffers.offset[index(id)];
  const Value& root = graph().value(buffers.root[index(id)]);
  if (is_persistent(root.role)) return root.data->bytes().data() + offset;
  const auto buffer = buffers.of_value[index(id)];
  return buffer.has_value() ? buffer_address(*buffer) + offset : nullptr;
}

void Executor::resolve_values() {
  const std::span<const Value> values = graph().values();
  values_.reserve(values.size());
  for (size_t v = 0; v < values.size(); ++v) {
    const TensorType* const type = &*types_.insert(values[v].type).first;
    values_.push_back({type, address(ValueId{static_cast<uint32_t>(v)})});
    if (values[v].data != nullptr) tensors_.push_back(values[v].data);
  }
  tensors_.shrink_to_fit();
}

// Operands of an instruction; operands_ must have room for them.
std::span<const Operand> Executor::operands_of(std::span<const ValueId> ids) {
  TT_ASSERT(operands_.size() + ids.size() <= operands_.capacity());
  const Operand* const begin = operands_.data() + operands_.size();
  for (const ValueId id : ids) operands_.push_back(values_[index(id)]);
  return {begin, ids.size()};
}

// An instruction and its parts; the tables must have room for them.
Executor::Instruction Executor::instruction_of(NodeId id) {
  const Node& node = graph().node(id);
  const auto in = operands_of(node.inputs), out = operands_of(node.outputs);
  const auto buffer = program_->buffers.of_scratch[index(id)];
  std::byte* const scratch = buffer.has_value() ? buffer_address(*buffer) : nullptr;
  const Node form{
      .name = "", .op = node.op, .inputs = {}, .outputs = {}, .attributes = node.attributes};
  Instruction instruction{
      .node = &*forms_.insert(form).first, .args = {kernels_, in, out, scratch}, .parts = {}};
  const int parts = parts_of(graph(), node, program_->schedule.threads);
  if (parts == 1) return instruction;
  const size_t all = buffer.has_value() ? program_->buffers.lifetimes[*buffer].bytes : 0;
  const size_t stride = all / static_cast<size_t>(parts);
  const size_t first = parts_.size();
  TT_ASSERT(first + static_cast<size_t>(parts) <= parts_.capacity());
  for (int i = 0; i < parts; ++i) {
    std::byte* const own = scratch == nullptr ? nullptr : scratch + static_cast<size_t>(i) * stride;
    parts_.emplace_back(kernels_, in, out, own, Part{i, parts});
  }
  instruction.parts = std::span(parts_).subspan(first);
  return instruction;
}

void Executor::resolve_nodes() {
  const Schedule& schedule = program_->schedule;
  const auto runs = [&](NodeId id) { return !program_->buffers.elided[index(id)]; };
  size_t operands = 0, parts = 0, count = 0;
  for (const NodeId id : schedule.order) {
    if (!runs(id)) continue;
    const Node& node = graph().node(id);
    ++count;
    operands += node.inputs.size() + node.outputs.size();
    parts += static_cast<size_t>(parts_of(graph(), node, schedule.threads));
  }
  operands_.reserve(operands);
  parts_.reserve(schedule.threads > 1 ? parts : 0);
  instructions_.reserve(count);
  instruction_nodes_.reserve(count);
  for (size_t step = 0; step < schedule.order.size(); ++step) {
    if (step == schedule.first_update) first_update_ = instructions_.size();
    const NodeId id = schedule.order[step];
    if (!runs(id)) continue;
    instruction_nodes_.push_back(id);
    instructions_.push_back(instruction_of(id));
  }
  if (schedule.first_update == schedule.order.size()) first_update_ = instructions_.size();
}

void Executor::step(bool apply_updates) noexcept {
  const size_t count = apply_updates ? instructions_.size() : first_update_;
  for (size_t i = 0; i < count; ++i) run(instructions_[i]);
}

void Executor::step_timed(bool apply_updates, std::span<double> seconds) noexcept {
  using Clock = std::chrono::steady_clock;
  const size_t count = apply_updates ? instructions_.size() : first_update_;
  TT_ASSERT(seconds.size() == instructions_.size());
  Clock::time_point start = Clock::now();
  for (size_t i = 0; i < count; ++i) {
    run(instructions_[i]);
    const Clock::time_point end = Clock::now();
    seconds[i] += std::chrono::duration<double>(end - start).count();
    start = end;
  }
}

void Executor::run(const Instruction& instruction) noexcept {
  if (instruction.kernel != nullptr) return instruction.kernel->run(instruction.args);
  if (instruction.parts.empty()) {
    return instruction.node->op->forward(*instruction.node, instruction.args);
  }
  const auto run_part = [](const void* context, int part) {
    const auto& i = *static_cast<const Instruction*>(context);
    i.node->op->forward(*i.node, i.parts[static_cast<size_t>(part)]);
  };
  threads_->run(static_cast<int>(instruction.parts.size()), run_part, &instruction);
}

void Executor::replace(NodeId node, std::unique_ptr<LayerKernel> kernel) {
  const auto found = std::ranges::find(instruction_nodes_, node);
  TT_ASSERT(found != instruction_nodes_.end());
  instructions_[static_cast<size_t>(found - instruction_nodes_.begin())].kernel = kernel.get();
  layer_kernels_.push_back(std::move(kernel));
}

template <class Number>
std::span<Number> Executor::numbers(ValueId id, DType dtype) const {
  const Operand& value = values_.at(index(id));
  TT_ASSERT(value.type->dtype == dtype);
  auto* p = static_cast<Number*>(value.data);
  return {p, p == nullptr ? 0 : static_cast<size_t>(value.type->elements())};
}

std::span<float> Executor::f32(ValueId id) const { return numbers<float>(id, DType::kF32); }
std::span<int32_t> Executor::i32(ValueId id) const { return numbers<int32_t>(id, DType::kI32); }
std::span<int8_t> Executor::i8(ValueId id) const { return numbers<int8_t>(id, DType::kI8); }

}  // namespace tinytl
