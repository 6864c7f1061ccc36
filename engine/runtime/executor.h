// Runs a program. All pointers are resolved when it is made; a step is a loop over kernels.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <span>
#include <tuple>

#include "engine/runtime/arena.h"
#include "engine/runtime/program.h"
#include "engine/runtime/thread_pool.h"

namespace tinytl {

struct ExecutorOptions {
  const tt_kernels* kernels = nullptr;  // the best for this processor unless given
  // Shared with other executors that never run at the same time; its own unless given.
  std::shared_ptr<Arena> arena = nullptr;
  // Computes the parts of nodes that the program was compiled to divide (ScheduleOptions::threads),
  // shared with other executors as the arena is; null: this thread does. Any number of threads
  // gives the same bits.
  std::shared_ptr<ThreadPool> threads = nullptr;
};

// Computes a node in the place of its operator's kernel: a layer of another library.
class LayerKernel {
 public:
  virtual ~LayerKernel() = default;
  // As OpDef::forward: allocates nothing, cannot fail. Called once for the whole node.
  virtual void run(const KernelArgs& args) noexcept = 0;
};

class Executor {
 public:
  // `arena`, where given, must hold at least program.plan.arena_bytes. State without storage gets
  // zero-filled storage. Parameters are used where they are, and shared with every other executor
  // whose graph shares them.
  Executor(Program program, ExecutorOptions options = {});
  // Compiles first, for the threads given.
  explicit Executor(Graph graph, ExecutorOptions options = {});
  Executor(Executor&&) = default;  // a copy would run on the tables of the original
  Executor& operator=(Executor&&) = default;

  // Frees all that running does not need: most of the memory beside the tensors. graph() and
  // program() must not be called from now on.
  void forget_program() { program_.reset(); }

  // Bytes of an input (write them before every step: the arena reuses them within it), of an output
  // (valid until the next step of any executor on the arena), or of a parameter or state.
  std::span<float> f32(ValueId id) const;
  std::span<int32_t> i32(ValueId id) const;
  std::span<int8_t> i8(ValueId id) const;

  // Runs every node; or, with `apply_updates` false, those before Schedule::first_update.
  void step(bool apply_updates = true) noexcept;
  // The same, and adds the time that each instruction took, in seconds; one entry an instruction.
  void step_timed(bool apply_updates, std::span<double> seconds) noexcept;
  // The node that each instruction runs, in order.
  std::span<const NodeId> instruction_nodes() const { return instruction_nodes_; }

  // Runs `node` by `kernel` from now on.
  void replace(NodeId node, std::unique_ptr<LayerKernel> kernel);

  const Graph& graph() const { return program().graph; }
  const Program& program() const {
    TT_ASSERT(program_.has_value());
    return *program_;
  }
  const Arena& arena() const { return *arena_; }
  ThreadPool& threads() const { return *threads_; }

 private:
  struct Instruction {
    const Node* node;                   // without its name and values
    KernelArgs args;                    // of the whole
    std::span<const KernelArgs> parts;  // where there are several
    LayerKernel* kernel = nullptr;      // instead of the operator's
  };
  void run(const Instruction& instruction) noexcept;
  template <class Number>
  std::span<Number> numbers(ValueId id, DType dtype) const;
  struct Less {
    bool operator()(const TensorType& a, const TensorType& b) const {
      return std::tie(a.dtype, a.shape) < std::tie(b.dtype, b.shape);
    }
  };
  struct LessForm {
    bool operator()(const Node& a, const Node& b) const {
      return std::tie(a.op, a.attributes.items()) < std::tie(b.op, b.attributes.items());
    }
  };
  void give_state_storage();
  void* address(ValueId id) const;
  std::byte* buffer_address(size_t buffer) const;
  void resolve_values();
  void resolve_nodes();
  std::span<const Operand> operands_of(std::span<const ValueId> ids);
  Instruction instruction_of(NodeId id);

  std::optional<Program> program_;
  const tt_kernels* kernels_;
  std::shared_ptr<Arena> arena_;
  std::shared_ptr<ThreadPool> threads_;
  std::vector<std::shared_ptr<Tensor>> tensors_;  // keeps them alive
  std::set<TensorType, Less> types_;              // each once: many values have the same
  std::set<Node, LessForm> forms_;                // operator and attributes, likewise
  std::vector<Operand> values_;                   // by id
  std::vector<Operand> operands_;                 // of the instructions, one after the other
  std::vector<KernelArgs> parts_;                 // likewise
  std::vector<Instruction> instructions_;
  std::vector<NodeId> instruction_nodes_;
  std::vector<std::unique_ptr<LayerKernel>> layer_kernels_;
  size_t first_update_ = 0;  // index into instructions_
};

}  // namespace tinytl
