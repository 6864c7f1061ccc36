// DecodeTable: y[i] = table[index[i]], of weights stored as kTable8.
//
// No gradient: such weights are frozen. Made by decode_tables (passes.h), once for each reader, so
// that the f32 weights of one layer at a time exist.

#include "engine/ops/op_table.h"

namespace tinytl {
namespace {

OutputTypes infer(const Node& node, InputTypes in) {
  check(in.size() == 1 && in[0].dtype == DType::kTable8, node, in, "takes one table8 tensor");
  return {{DType::kF32, in[0].shape}};
}

void forward(const Node&, const KernelArgs& t) {
  const uint8_t* codes = t.bits(0);
  const auto* table = reinterpret_cast<const float*>(codes + t.type(0).scale_offset());
  float* y = t.out_f32();
  const Share share = t.share(t.type(0).elements(), 64);
  for (int64_t i = share.begin; i < share.end; ++i) y[i] = table[codes[i]];
}

}  // namespace

const OpDef kDecodeTable{
    .name = "DecodeTable", .infer = infer, .forward = forward, .divides = true};

}  // namespace tinytl
