// What an operator is: a shape rule, a forward kernel and a gradient rule.
//
// One operator is one file in this folder, one line in op_table.h, one in the CMake list and one
// (or more) in tests/ops/op_cases.cc. OpDef is a table of functions because an operator has no
// state.
#pragma once

#include <optional>
#include <string_view>

#include "engine/graph/graph.h"
#include "engine/kernels/kernels.h"

namespace tinytl {

using InputTypes = std::span<const TensorType>;
using OutputTypes = std::vector<TensorType>;

// A tensor that a kernel reads or writes.
struct Operand {
  const TensorType* type = nullptr;
  void* data = nullptr;
};

// Which of the equal parts of a node's work to do. Parts run at the same time.
struct Part {
  int index = 0, count = 1;
};

// A range of rows, channels or elements.
struct Share {
  int64_t begin = 0, end = 0;
  int64_t size() const { return end - begin; }
};

// What a kernel may touch: views of tables that its maker keeps.
class KernelArgs {
 public:
  KernelArgs(const tt_kernels* kernels, std::span<const Operand> in, std::span<const Operand> out,
             void* scratch, Part part = {})
      : kernels_(kernels), in_(in), out_(out), scratch_(scratch), part_(part) {}

  size_t inputs() const { return in_.size(); }
  const TensorType& type(size_t i) const { return *in_[i].type; }
  const TensorType& out_type(size_t i = 0) const { return *out_[i].type; }
  const float* f32(size_t i) const { return static_cast<const float*>(in_[i].data); }
  const int32_t* i32(size_t i) const { return static_cast<const int32_t*>(in_[i].data); }
  const int8_t* i8(size_t i) const { return static_cast<const int8_t*>(in_[i].data); }
  const uint8_t* bits(size_t i) const { return static_cast<const uint8_t*>(in_[i].data); }
  // Input i, which the operator declares to overwrite (OpDef::mutates).
  float* mutable_f32(size_t i) const { return static_cast<float*>(in_[i].data); }
  int32_t* mutable_i32(size_t i) const { return static_cast<int32_t*>(in_[i].data); }
  int8_t* mutable_i8(size_t i) const { return static_cast<int8_t*>(in_[i].data); }
  uint8_t* mutable_codes(size_t i) const { return static_cast<uint8_t*>(in_[i].data); }
  float* out_f32(size_t i = 0) const { return static_cast<float*>(out_[i].data); }
  int32_t* out_i32(size_t i = 0) const { return static_cast<int32_t*>(out_[i].data); }
  int8_t* out_i8(size_t i = 0) const { return static_cast<int8_t*>(out_[i].data); }
  uint8_t* out_bits(size_t i = 0) const { return static_cast<uint8_t*>(out_[i].data); }
  // A layer's weights, which may have 8 bits.
  tt_weights weights(size_t i) const;
  void* scratch() const { return scratch_; }  // of this part
  // This part of `n`, where every part but the last is a multiple of `grain`.
  Share share(int64_t n, int64_t grain = 1) const;
  bool is_first_part() const { return part_.index == 0; }
  const tt_kernels& kernels() const { return *kernels_; }

 private:
  const tt_kernels* kernels_;
  std::span<const Operand> in_, out_;
  void* scratch_;
  Part part_;
};

// Of the gradient of a value of this type: f32, with respect to the numbers that integers stand
// for.
inline TensorType gradient_type(const TensorType& type) { return {DType::kF32, type.shape}; }

// Handed to a gradient rule. The rule asks which inputs want a gradient and emits nodes for those
// only: what it does not emit is not computed, and what no emitted node reads is not kept.
class GradBuilder {
 public:
  // `wanted[i]`: input i of `node` needs a gradient. `dy[j]`: gradient of output j, if it has one.
  // `channels[i]`: where not empty, the input channels of the weight i whose gradient is wanted
  // (weight_channels.h); only for operators that slice it.
  GradBuilder(Graph& graph, NodeId node, std::vector<bool> wanted,
              std::vector<std::optional<ValueId>> dy,
              std::vector<std::vector<int64_t>> channels = {});

  const Node& node() const { return node_; }
  const TensorType& type(ValueId id) const { return graph_.value(id).type; }
  const TensorType& input_type(size_t i) const { return type(node_.input(i)); }
  bool wants(size_t input) const { return input < wanted_.size() && wanted_[input]; }
  std::span<const int64_t> channels(size_t input) const {
    return input < channels_.size() ? std::span(channels_[input]) : std::span<const int64_t>();
  }
  // Gradient of output j; it must exist (always true for j = 0 of a one-output operator).
  ValueId dy(size_t j = 0) const;

  // Appends a node and returns its first output. Emit in the order in which the nodes should run.
  ValueId emit(const OpDef& op, std::vector<ValueId> inputs, Attributes attributes = {});
  void set(size_t input, ValueId gradient);
  // `set` for an operator that broadcasts: sums `gradient` down to the shape of that input first.
  void set_reduced(size_t input, ValueId gradient);

  const std::vector<std::optional<ValueId>>& gradients() const { return gradients_; }

 private:
  Graph& graph_;
  const Node node_;  // a copy: emitting moves the graph's own
  std::vector<bool> wanted_;
  std::vector<std::optional<ValueId>> dy_, gradients_;
  std::vector<std::vector<int64_t>> channels_;
};

struct OpDef {
  std::string_view name;

  // Types of the outputs. Throws InputError (through `check`) where the inputs do not fit.
  OutputTypes (*infer)(const Node&, InputTypes);

  // Computes the outputs. Everything was checked before; allocates nothing, cannot fail. Of the
  // node, it reads the attributes only: an executor keeps no more.
  void (*forward)(const Node&, const KernelArgs&);

  // Emits the gradient of every wanted input. Null: not differentiable, reported before training.
  void (*vjp)(GradBuilder&) = nullptr;

  // The rule computes the gradient of some input channels of input 1, a weight, where
  // GradBuilder::channels names them.
  bool slices_weight = false;

  // The work can be done in parts, each by a call of `forward` that computes its share of the
  // outputs (KernelArgs::share), to the same bits however many there are.
  bool divides = false;

  // Bytes the kernel needs besides inputs and outputs, for as long as it runs; each part as many.
  size_t (*scratch_bytes)(const Node&, InputTypes, const tt_kernels&) = nullptr;

  // Bit i: input i may be a gradient in 8 bits (row_codes.h); and output 0 may be one, where the
  // node has attribute row8.
  uint32_t reads_row8 = 0;
  bool writes_row8 = false;

  // Bit i: output 0 may be written over input i (same number of bytes) when nothing reads it later.
  uint32_t in_place = 0;
  // For bit 0 of `in_place`, where that is not free: bytes of scratch for working over input 0
  // (instead of scratch_bytes); empty where this node cannot.
  std::optional<size_t> (*in_place_scratch)(const Node&, InputTypes, const tt_kernels&) = nullptr;
  // Bit i: input i, a parameter, a statistic or a state, is overwritten. Runs after all its other
  // readers.
  uint32_t mutates = 0;
  // Output 0 is the bytes of input 0 from this one on: no kernel runs. Empty: it is computed.
  std::optional<size_t> (*view_offset)(const Node&, InputTypes) = nullptr;
  // Input i is copied unchanged to output 0 from this byte on, and so is every byte of output 0
  // from some input: where all inputs are written there in the first place, no kernel runs. Empty:
  // it is scattered.
  std::optional<size_t> (*part_offset)(const Node&, InputTypes, size_t input) = nullptr;
};

// OpDef::view_offset of a node of `graph`; empty where its operator makes no views.
std::optional<size_t> view_offset(const Graph& graph, const Node& node);

// Throws InputError "<node> (<op>): <message>: <types>" unless `ok`.
void check(bool ok, const Node& node, InputTypes in, std::string_view message);

// Infers the output types, appends the node, returns its outputs.
std::vector<ValueId> emit_all(Graph& graph, const OpDef& op, std::string name,
                              std::vector<ValueId> inputs, Attributes attributes = {},
                              Phase phase = Phase::kForward);
// The same, for the first output.
ValueId emit(Graph& graph, const OpDef& op, std::string name, std::vector<ValueId> inputs,
             Attributes attributes = {}, Phase phase = Phase::kForward);

}  // namespace tinytl
