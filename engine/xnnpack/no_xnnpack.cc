// Where XNNPACK is not installed: nothing moves.
#include "engine/xnnpack/use_xnnpack.h"

namespace tinytl {

struct XnnpackLayers::Candidate {};

XnnpackLayers::XnnpackLayers() = default;
XnnpackLayers::~XnnpackLayers() = default;
bool has_xnnpack() { return false; }
size_t xnnpack_bytes() { return 0; }
void XnnpackLayers::add(Executor&) {}
size_t XnnpackLayers::choose(const XnnpackOptions&) { return 0; }

}  // namespace tinytl
