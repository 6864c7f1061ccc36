#include "engine/onnx/layout.h"

#include <algorithm>
#include <numeric>

#include "engine/graph/error.h"

namespace tinytl::internal {
namespace {

// A run of dimensions of `in` with the same product as a run of dimensions of `out`.
struct Group {
  std::vector<int64_t> in, out;
  int64_t place = 0;  // of its first dimension among the stored dimensions larger than 1
};

std::vector<int64_t> larger_than_one(const Shape& shape) {
  std::vector<int64_t> dims;
  for (size_t d = 0; d < shape.size(); ++d) {
    if (shape[d] != 1) dims.push_back(static_cast<int64_t>(d));
  }
  return dims;
}

// Splits both shapes into the shortest runs of equal product; they have equal element counts.
std::vector<Group> match_runs(const Shape& in, const Shape& out) {
  const auto ins = larger_than_one(in), outs = larger_than_one(out);
  std::vector<Group> groups;
  size_t i = 0, j = 0;
  while (i < ins.size() && j < outs.size()) {
    Group group{{ins[i]}, {outs[j]}};
    int64_t in_product = in[static_cast<size_t>(ins[i++])];
    int64_t out_product = out[static_cast<size_t>(outs[j++])];
    while (in_product != out_product) {
      if (in_product < out_product) {
        group.in.push_back(ins.at(i));
        in_product *= in[static_cast<size_t>(ins[i++])];
      } else {
        group.out.push_back(outs.at(j));
        out_product *= out[static_cast<size_t>(outs[j++])];
      }
    }
    groups.push_back(std::move(group));
  }
  return groups;
}

}  // namespace

Order identity_order(size_t rank) {
  Order order(rank);
  std::iota(order.begin(), order.end(), 0);
  return order;
}

Order channels_last(size_t rank) {
  Order order = identity_order(rank);
  if (rank > 2) std::rotate(order.begin() + 1, order.begin() + 2, order.end());
  return order;
}

bool is_identity(const Order& order) { return order == identity_order(order.size()); }

bool is_permutation(const Order& order) {
  const Order identity = identity_order(order.size());
  return std::is_permutation(order.begin(), order.end(), identity.begin(), identity.end());
}

bool is_image_batch(const Shape& shape) {
  const auto is_channels = [](int64_t dim) { return dim == 1 || dim == 3; };
  return shape.size() == 4 && is_channels(shape[1]) && !is_channels(shape[3]);
}

int64_t stored_position(const Order& order, int64_t dim) {
  const auto at = std::find(order.begin(), order.end(), dim);
  TT_ASSERT(at != order.end());
  return at - order.begin();
}

Shape permuted(const Shape& shape, const Order& order) {
  Shape result;
  for (const int64_t dim : order) result.push_back(shape.at(static_cast<size_t>(dim)));
  return result;
}

Order between(const Order& from, const Order& to) {
  Order permutation;
  for (const int64_t dim : to) permutation.push_back(stored_position(from, dim));
  return permutation;
}

bool moves_only_ones(const Shape& stored, const Order& permutation) {
  int64_t last = -1;
  for (const int64_t dim : permutation) {
    if (stored.at(static_cast<size_t>(dim)) == 1) continue;
    if (dim < last) return false;
    last = dim;
  }
  return true;
}

std::optional<Order> reshaped_order(const Shape& in, const Order& order, const Shape& out) {
  const auto empty = [](const Shape& s) { return std::find(s.begin(), s.end(), 0) != s.end(); };
  if (is_identity(order) || empty(in)) {
    return is_identity(order) ? std::optional(identity_order(out.size())) : std::nullopt;
  }
  std::vector<int64_t> place(in.size(), -1);
  int64_t count = 0;
  for (const int64_t dim : order) {
    if (in[static_cast<size_t>(dim)] != 1) place[static_cast<size_t>(dim)] = count++;
  }
  std::vector<Group> groups = match_runs(in, out);
  for (Group& group : groups) {
    group.place = place[static_cast<size_t>(group.in[0])];
    for (size_t k = 0; k < group.in.size(); ++k) {
      const int64_t expected = group.place + static_cast<int64_t>(k);
      if (place[static_cast<size_t>(group.in[k])] != expected) return std::nullopt;
    }
  }
  const auto by_place = [](const Group& a, const Group& b) { return a.place < b.place; };
  if (std::is_sorted(groups.begin(), groups.end(), by_place)) return identity_order(out.size());
  std::sort(groups.begin(), groups.end(), by_place);
  Order result;
  for (const Group& group : groups) {
    result.insert(result.end(), group.out.begin(), group.out.end());
  }
  // Dimensions of size 1 may stand anywhere; put each behind the one before it.
  for (size_t d = 0; d < out.size(); ++d) {
    if (out[d] != 1) continue;
    const auto dim = static_cast<int64_t>(d);
    const auto before = std::find(result.begin(), result.end(), dim - 1);
    result.insert(d == 0 ? result.begin() : before + 1, dim);
  }
  return result;
}

Order without(const Order& order, const std::vector<int64_t>& removed) {
  Order result;
  for (const int64_t dim : order) {
    const auto at = std::lower_bound(removed.begin(), removed.end(), dim);
    if (at == removed.end() || *at != dim) result.push_back(dim - (at - removed.begin()));
  }
  return result;
}

Transposer::Transposer(const Shape& shape, const Order& order, std::span<float> to)
    : to_(to), extent_(shape.begin(), shape.end()), step_(shape.size()), at_(shape.size(), 0) {
  size_t running = 1;
  for (size_t j = order.size(); j-- > 0;) {
    const auto dim = static_cast<size_t>(order[j]);
    step_[dim] = running;
    running *= extent_[dim];
  }
  TT_ASSERT(running == to.size());
}

void Transposer::write(std::span<const float> next) {
  for (const float value : next) {
    to_[target_] = value;
    for (size_t d = extent_.size(); d-- > 0;) {
      target_ += step_[d];
      if (++at_[d] < extent_[d]) break;
      target_ -= step_[d] * extent_[d];
      at_[d] = 0;
    }
  }
}

void permute(std::span<const float> from, const Shape& shape, const Order& order,
             std::span<float> to) {
  TT_ASSERT(from.size() == to.size());
  Transposer(shape, order, to).write(from);
}

}  // namespace tinytl::internal
