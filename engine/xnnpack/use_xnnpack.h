// Layers that XNNPACK runs where it is faster, within a number of bytes.
//
// XNNPACK copies a layer's weights into a form of its own, and, for most k x k convolutions, keeps
// a pointer for each pixel that they read. Both are counted. Results differ from those of the
// kernels of engine/kernels in rounding; which layers are faster is measured, so two runs may
// choose differently.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "engine/runtime/executor.h"

namespace tinytl {

// Whether this build has XNNPACK and it runs on this processor. Starts it.
bool has_xnnpack();

// Bytes that XNNPACK holds in this process, of all layers of all executors.
size_t xnnpack_bytes();

struct XnnpackOptions {
  size_t most_bytes = SIZE_MAX;  // that the layers may hold
  // A layer moves to XNNPACK if this takes less than so much of the time of the kernel it has.
  double at_most_time = 0.95;
  double seconds = 0.3;  // for measuring, shared by all layers; each is run at least twice
};

// What was measured of a layer.
struct XnnpackTiming {
  std::string node;
  double own_seconds = 0, xnnpack_seconds = 0;
  size_t bytes = 0;
  bool moved = false;
};

// For executors of one network on one arena and its threads: nodes that are the same layer, as
// those of training and of evaluation, share one copy. A weight that one of the executors writes
// keeps its layers where they are; a bias is written into XNNPACK's copy before each run.
class XnnpackLayers {
 public:
  XnnpackLayers();
  ~XnnpackLayers();

  // Takes note of what XNNPACK could run. `executor` must have its program, and stay where it is
  // until `choose`.
  void add(Executor& executor);

  // Measures, in the arena, whose contents are lost, and moves the layers that save most time for
  // their bytes. Returns the bytes that they hold.
  size_t choose(const XnnpackOptions& options = {});

  // Of the last choice, in order of execution.
  const std::vector<XnnpackTiming>& timings() const { return timings_; }

 private:
  struct Candidate;  // a node
  struct Group;      // nodes that are the same layer
  std::vector<Group> groups();
  void measure(Group& group, double seconds, size_t most_bytes);
  std::set<const Tensor*> changing_;  // between runs
  std::vector<std::unique_ptr<Candidate>> candidates_;
  std::vector<XnnpackTiming> timings_;
};

}  // namespace tinytl
