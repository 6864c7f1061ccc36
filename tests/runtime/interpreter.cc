#include "tests/runtime/interpreter.h"

#include <algorithm>
#include <random>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

namespace tinytl {
namespace {

class Interpreter {
 public:
  Interpreter(const Program& program, const tt_kernels& kernels, Memory memory)
      : program_(program), graph_(program.graph), kernels_(kernels), memory_(memory) {
    if (memory == Memory::kPoisoned) arena_ = allocate(program.plan.arena_bytes);
    addresses_.resize(graph_.values().size());
    for (size_t v = 0; v < addresses_.size(); ++v) {
      const Value& value = graph_.values()[v];
      if (value.data != nullptr) addresses_[v] = value.data->bytes().data();
      if (value.role == Role::kInput) addresses_[v] = place(ValueId(v));
    }
  }

  std::vector<Bytes> run(const Inputs& inputs) {
    poison(-1);
    for (const auto& [id, bytes] : inputs) {
      if (addresses_[index(id)] != nullptr) {
        std::memcpy(addresses_[index(id)], bytes.data(), bytes.size());
      }
    }
    const auto steps = static_cast<int>(program_.schedule.order.size());
    for (int step = 0; step < steps; ++step) {
      guard(step);
      run(program_.schedule.order[static_cast<size_t>(step)]);
      ASAN_UNPOISON_MEMORY_REGION(arena_, program_.plan.arena_bytes);
      if (step + 1 < steps) poison(step);
    }
    std::vector<Bytes> outputs;
    for (const ValueId id : graph_.outputs) {
      const std::byte* p = addresses_[index(id)];
      outputs.emplace_back(p, p + graph_.value(id).type.bytes());
    }
    return outputs;
  }

 private:
  std::byte* allocate(size_t bytes) {
    blocks_.push_back(
        std::make_unique<Tensor>(TensorType{DType::kI8, {static_cast<int64_t>(bytes)}}));
    return blocks_.back()->bytes().data();
  }

  std::byte* place(ValueId id) {
    if (memory_ == Memory::kUnshared) return allocate(graph_.value(id).type.bytes());
    const auto buffer = program_.buffers.of_value[index(id)];
    if (!buffer.has_value()) return nullptr;
    return arena_ + program_.plan.offsets[*buffer] + program_.buffers.offset[index(id)];
  }

  std::vector<Operand> operands(std::span<const ValueId> ids) const {
    std::vector<Operand> result;
    for (const ValueId v : ids) result.push_back({&graph_.value(v).type, addresses_[index(v)]});
    return result;
  }

  void run(NodeId id) {
    const Node& node = graph_.node(id);
    if (memory_ == Memory::kPoisoned && program_.buffers.elided[index(id)]) {
      const size_t output = index(node.output());
      const ValueId root = program_.buffers.root[output];
      addresses_[output] = is_persistent(graph_.value(root).role)
                               ? addresses_[index(root)] + program_.buffers.offset[output]
                               : place(node.output());
      return;
    }
    if (node.op->forward == nullptr) {
      addresses_[index(node.outputs[0])] = addresses_[index(node.inputs[0])];
      return;
    }
    for (const ValueId v : node.outputs) addresses_[index(v)] = place(v);
    const std::vector<Operand> in = operands(node.inputs), out = operands(node.outputs);
    std::byte* scratch = nullptr;
    if (const auto buffer = program_.buffers.of_scratch[index(id)]; buffer.has_value()) {
      scratch = memory_ == Memory::kUnshared ? allocate(program_.buffers.lifetimes[*buffer].bytes)
                                             : arena_ + program_.plan.offsets[*buffer];
    }
    node.op->forward(node, KernelArgs(&kernels_, in, out, scratch));
  }

  // Makes all but the live tensors unreadable while node `step` runs (AddressSanitizer).
  void guard(int step) {
    if (memory_ == Memory::kUnshared) return;
    ASAN_POISON_MEMORY_REGION(arena_, program_.plan.arena_bytes);
    for (size_t b = 0; b < program_.buffers.lifetimes.size(); ++b) {
      const Lifetime& t = program_.buffers.lifetimes[b];
      if (t.first > step || t.last < step) continue;
      ASAN_UNPOISON_MEMORY_REGION(arena_ + program_.plan.offsets[b], t.bytes);
    }
  }

  // Overwrites what no node after `step` may rely on.
  void poison(int step) {
    if (memory_ == Memory::kUnshared) return;
    constexpr std::byte kNan{0xff};
    std::vector<bool> live(program_.plan.arena_bytes, false);
    for (size_t b = 0; b < program_.buffers.lifetimes.size(); ++b) {
      const Lifetime& t = program_.buffers.lifetimes[b];
      if (t.first > step || t.last <= step) continue;
      const auto begin = live.begin() + static_cast<ptrdiff_t>(program_.plan.offsets[b]);
      std::fill_n(begin, t.bytes, true);
    }
    for (size_t i = 0; i < live.size(); ++i) {
      if (!live[i]) arena_[i] = kNan;
    }
  }

  const Program& program_;
  const Graph& graph_;
  const tt_kernels& kernels_;
  Memory memory_;
  std::vector<std::unique_ptr<Tensor>> blocks_;
  std::byte* arena_ = nullptr;
  std::vector<std::byte*> addresses_;
};

}  // namespace

Inputs random_inputs(const Graph& graph, int classes, uint32_t seed) {
  std::mt19937 rng(seed);
  Inputs inputs;
  for (const ValueId id : graph.inputs) {
    const TensorType& type = graph.value(id).type;
    Tensor tensor(type);
    if (type.dtype == DType::kI32) {
      for (int32_t& v : tensor.i32()) v = static_cast<int32_t>(rng() % uint32_t(classes));
    } else {
      for (float& v : tensor.f32()) v = static_cast<float>(1 + rng() % 1000) / 4000.0f;
    }
    inputs[id] = {tensor.bytes().begin(), tensor.bytes().end()};
  }
  return inputs;
}

std::vector<Bytes> interpret(const Program& program, const tt_kernels& kernels, Memory memory,
                             const Inputs& inputs) {
  return Interpreter(program, kernels, memory).run(inputs);
}

std::vector<Bytes> persistent_values(const Graph& graph) {
  std::vector<Bytes> result;
  for (const Value& value : graph.values()) {
    if (value.data == nullptr) continue;
    const std::span<const std::byte> bytes = value.data->bytes();
    result.emplace_back(bytes.begin(), bytes.end());
  }
  return result;
}

}  // namespace tinytl
