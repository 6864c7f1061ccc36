// Transpose: dimension i of y is dimension perm[i] of x. Gradient: the inverse permutation.

#include <algorithm>
#include <array>

#include "engine/ops/op_table.h"
#include "engine/ops/strided.h"

namespace tinytl {
namespace {

OutputTypes infer(const Node& node, InputTypes in) {
  check(in.size() == 1, node, in, "takes one tensor");
  const auto perm = node.attributes.integers("perm");
  check(perm.size() == in[0].rank() && perm.size() <= kMaxRank, node, in,
        "perm must name every dimension once (at most 8)");
  std::array<bool, kMaxRank> seen{};
  TensorType y{in[0].dtype, {}};
  for (const int64_t p : perm) {
    check(p >= 0 && p < static_cast<int64_t>(perm.size()) && !seen[static_cast<size_t>(p)], node,
          in, "perm must name every dimension once");
    seen[static_cast<size_t>(p)] = true;
    y.shape.push_back(in[0].dim(static_cast<size_t>(p)));
  }
  return {y};
}

// The dimensions of y, outermost first, with the steps from one entry to the next in x and in y.
// Neighbours that lie together in x too are one.
struct Walk {
  size_t rank = 0;
  std::array<int64_t, kMaxRank> extent{}, x_step{}, y_step{};

  void append(int64_t size, int64_t step) {
    if (rank > 0 && x_step[rank - 1] == size * step) {
      extent[rank - 1] *= size;
      x_step[rank - 1] = step;
    } else {
      extent[rank] = size;
      x_step[rank] = step;
      ++rank;
    }
  }
};

Walk walk_of(const Node& node, const Shape& x) {
  const auto perm = node.attributes.integers("perm");
  const Strides steps = dense_strides(x);
  Walk walk;
  for (const int64_t p : perm) {
    const auto d = static_cast<size_t>(p);
    if (x[d] != 1) walk.append(x[d], steps[d]);
  }
  if (walk.rank == 0) walk.append(1, 1);
  int64_t running = 1;
  for (size_t d = walk.rank; d-- > 0;) {
    walk.y_step[d] = running;
    running *= walk.extent[d];
  }
  return walk;
}

// y[i * y_row + j] = x[i + j * x_col], in tiles whose lines of both stay in the cache.
void transpose_plane(const float* x, int64_t x_col, int64_t rows, int64_t cols, float* y,
                     int64_t y_row) {
  constexpr int64_t kTile = 16;
  for (int64_t r = 0; r < rows; r += kTile) {
    for (int64_t c = 0; c < cols; c += kTile) {
      const int64_t row_end = std::min(rows, r + kTile), col_end = std::min(cols, c + kTile);
      for (int64_t i = r; i < row_end; ++i) {
        for (int64_t j = c; j < col_end; ++j) y[i * y_row + j] = x[i + j * x_col];
      }
    }
  }
}

void forward(const Node& node, const KernelArgs& t) {
  Walk walk = walk_of(node, t.type(0).shape);
  const Share share = t.share(walk.extent[0]);
  if (share.size() == 0 || t.out_type().elements() == 0) return;
  const float* x = t.f32(0) + share.begin * walk.x_step[0];
  float* y = t.out_f32() + share.begin * walk.y_step[0];
  walk.extent[0] = share.size();
  // The plane of the innermost dimensions of x and y is copied at a time; where they are the same
  // one, it is a line.
  const size_t last = walk.rank - 1;
  const auto* steps = walk.x_step.data();
  const size_t first = static_cast<size_t>(std::min_element(steps, steps + walk.rank) - steps);
  const int64_t rows = first == last ? 1 : walk.extent[first], cols = walk.extent[last];
  walk.extent[first] = walk.extent[last] = 1;
  std::array<int64_t, kMaxRank> at{};
  for (;;) {
    if (first == last) {
      std::copy_n(x, cols, y);
    } else {
      transpose_plane(x, walk.x_step[last], rows, cols, y, walk.y_step[first]);
    }
    size_t d = walk.rank;
    while (d-- > 0) {
      x += walk.x_step[d];
      y += walk.y_step[d];
      if (++at[d] < walk.extent[d]) break;
      x -= walk.x_step[d] * walk.extent[d];
      y -= walk.y_step[d] * walk.extent[d];
      at[d] = 0;
    }
    if (d == SIZE_MAX) return;
  }
}

void vjp(GradBuilder& grad) {
  if (!grad.wants(0)) return;
  const auto perm = grad.node().attributes.integers("perm");
  std::vector<int64_t> inverse(perm.size());
  for (size_t i = 0; i < perm.size(); ++i) {
    inverse[static_cast<size_t>(perm[i])] = static_cast<int64_t>(i);
  }
  grad.set(0, grad.emit(kTranspose, {grad.dy()}, {{"perm", inverse}}));
}

}  // namespace

const OpDef kTranspose{
    .name = "Transpose", .infer = infer, .forward = forward, .vjp = vjp, .divides = true};

}  // namespace tinytl
