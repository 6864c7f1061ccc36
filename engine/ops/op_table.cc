#include "engine/ops/op_table.h"

namespace tinytl {
namespace {

#define TINYTL_LIST_OP(constant) &constant,
constexpr const OpDef* kOps[] = {TINYTL_OPS(TINYTL_LIST_OP)};
#undef TINYTL_LIST_OP

}  // namespace

std::span<const OpDef* const> all_ops() { return kOps; }

}  // namespace tinytl
