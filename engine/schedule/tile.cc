#include "engine/schedule/tile.h"

#include <algorithm>

#include "engine/graph/packed.h"
#include "engine/ops/op_table.h"
#include "engine/ops/passes.h"

namespace tinytl {
namespace {

struct Range {
  int64_t begin = 0, end = 0;
  int64_t size() const { return end - begin; }
};

// " [rows 0:14]", behind the name of a node.
std::string suffix_of(const char* what, Range range) {
  std::string text = " [";
  text += what;
  text += " " + std::to_string(range.begin) + ":" + std::to_string(range.end) + "]";
  return text;
}

class Tiler {
 public:
  Tiler(const Graph& graph, std::span<const Tiling> tilings)
      : graph_(graph), tiling_of_(graph.nodes().size()) {
    for (const Tiling& tiling : tilings) {
      TT_ASSERT(tiling.pieces >= 1 && tiling.pieces <= tiling.region.extent);
      for (const NodeId id : tiling.region.nodes) {
        TT_ASSERT(tiling_of_[index(id)] == nullptr);
        tiling_of_[index(id)] = &tiling;
      }
    }
  }

  Graph run(std::vector<ValueId>* new_ids) {
    result_ = without_nodes(graph_, ids_);
    for (size_t n = 0; n < graph_.nodes().size(); ++n) {
      const NodeId id{static_cast<uint32_t>(n)};
      const Tiling* tiling = tiling_of_[n];
      if (tiling == nullptr) {
        copy_node(id);
      } else if (id == tiling->region.nodes.back()) {  // all that the region reads exists by now
        const ValueId y = tiling->region.cut == Cut::kChannels ? channels(*tiling) : rows(*tiling);
        set(graph_.node(id).output(), y);
      }
    }
    for (const ValueId id : graph_.outputs) result_.outputs.push_back(ids_[index(id)]);
    if (new_ids != nullptr) *new_ids = std::move(ids_);
    return std::move(result_);
  }

 private:
  void set(ValueId old, ValueId now) {
    ids_[index(old)] = now;
    result_.value(now).name = graph_.value(old).name;
  }

  void copy_node(NodeId id) {
    Node node = graph_.node(id);
    for (ValueId& input : node.inputs) input = ids_[index(input)];
    const NodeId added = result_.append(std::move(node), types_of(graph_, graph_.node(id).outputs));
    for (size_t j = 0; j < graph_.node(id).outputs.size(); ++j) {
      set(graph_.node(id).outputs[j], result_.node(added).outputs[j]);
    }
  }

  // x[..., range, ...] along one dimension.
  ValueId slice(ValueId x, size_t dimension, Range range, const std::string& name) {
    Shape sizes = result_.value(x).type.shape;
    if (range.size() == sizes[dimension]) return x;
    if (is_packed(result_.value(x).type.dtype)) return part(x, dimension, range, name);
    Shape starts(sizes.size(), 0), steps(sizes.size(), 1);
    starts[dimension] = range.begin;
    sizes[dimension] = range.size();
    return emit(result_, kSlice, name, {x},
                {{"starts", starts}, {"sizes", sizes}, {"steps", steps}});
  }

  // The same of a packed parameter, which is kept in pieces instead of as a whole.
  ValueId part(ValueId x, size_t dimension, Range range, const std::string& name) {
    const Value& whole = result_.value(x);
    auto data = part_of(*whole.data, dimension, range.begin, range.size());
    return result_.add_persistent(whole.name + name.substr(name.rfind(" [")), whole.role,
                                  std::move(data));
  }

  // The slice of a parameter of one entry (or column) a channel.
  ValueId channels_of(ValueId parameter, Range range, const std::string& name) {
    const Shape& shape = result_.value(parameter).type.shape;
    if (result_.value(parameter).type.elements() == 1) return parameter;
    return slice(parameter, shape.size() - 1, range, name);
  }

  // Expand and all that goes channel by channel, for one group; then its share of the projection.
  ValueId channels(const Tiling& tiling) {
    const Region& region = tiling.region;
    const int64_t step = channels_of_piece(tiling);
    std::optional<ValueId> sum;
    for (int64_t begin = 0; begin < region.extent; begin += step) {
      const Range range{begin, std::min(begin + step, region.extent)};
      const std::string suffix = suffix_of("channels", range);
      ValueId x = ids_[index(graph_.node(region.nodes[0]).input(0))];
      for (size_t i = 0; i + 1 < region.nodes.size(); ++i) {
        const Node& node = graph_.node(region.nodes[i]);
        std::vector<ValueId> inputs{x};
        for (size_t k = 1; k < node.inputs.size(); ++k) {
          inputs.push_back(channels_of(ids_[index(node.inputs[k])], range, node.name + suffix));
        }
        x = emit(result_, *node.op, node.name + suffix, std::move(inputs), node.attributes);
      }
      const Node& last = graph_.node(region.nodes.back());
      std::vector<ValueId> inputs{x,
                                  slice(ids_[index(last.input(1))], 2, range, last.name + suffix)};
      if (!sum.has_value() && last.inputs.size() > 2) inputs.push_back(ids_[index(last.input(2))]);
      const ValueId share =
          emit(result_, kConv2d, last.name + suffix, std::move(inputs), last.attributes);
      sum = sum.has_value() ? emit(result_, kAdd, last.name + suffix, {*sum, share}) : share;
    }
    return *sum;
  }

  ValueId rows(const Tiling& tiling) {
    const Region& region = tiling.region;
    std::vector<ValueId> strips;
    for (int64_t i = 0; i < tiling.pieces; ++i) {
      strips.push_back(strip(
          region, {region.extent * i / tiling.pieces, region.extent * (i + 1) / tiling.pieces}));
    }
    if (strips.size() == 1) return strips[0];
    const std::string& name = graph_.node(region.nodes.back()).name;
    return emit(result_, kConcat, name, std::move(strips), {{"axis", int64_t{1}}});
  }

  // Rows of a node's input that rows of its result need, and how many of them are padding.
  struct Need {
    Range rows;
    int64_t top = 0, bottom = 0;
  };
  Need need(const Node& node, Range out) const {
    if (node.inputs.size() == 1) return {out};
    const int64_t height = graph_.value(node.input(0)).type.dim(1);
    const int64_t kernel = graph_.value(node.input(1)).type.dim(0);
    const int64_t stride = node.attributes.integers("strides")[0];
    const int64_t span = node.attributes.integers("dilations")[0] * (kernel - 1) + 1;
    const int64_t begin = out.begin * stride - node.attributes.integers("pads")[0];
    const int64_t end = begin + (out.size() - 1) * stride + span;
    const Range rows{std::clamp<int64_t>(begin, 0, height), std::clamp<int64_t>(end, 0, height)};
    return {rows, rows.begin - begin, end - rows.end};
  }

  ValueId strip(const Region& region, Range out) {
    const std::string suffix = suffix_of("rows", out);
    std::vector<Need> needs(region.nodes.size());
    for (size_t i = region.nodes.size(); i-- > 0;) {
      needs[i] = need(graph_.node(region.nodes[i]), out);
      TT_ASSERT(needs[i].rows.size() > 0);
      out = needs[i].rows;
    }
    const Node& first = graph_.node(region.nodes[0]);
    ValueId x = slice(ids_[index(first.input(0))], 1, out, first.name + suffix);
    for (size_t i = 0; i < region.nodes.size(); ++i) {
      const Node& node = graph_.node(region.nodes[i]);
      std::vector<ValueId> inputs{x};
      for (size_t k = 1; k < node.inputs.size(); ++k) {
        inputs.push_back(ids_[index(node.inputs[k])]);
      }
      Attributes attributes = node.attributes;
      if (node.inputs.size() > 1) {
        const auto pads = node.attributes.integers("pads");
        attributes.set("pads", Shape{needs[i].top, pads[1], needs[i].bottom, pads[3]});
      }
      x = emit(result_, *node.op, node.name + suffix, std::move(inputs), std::move(attributes));
    }
    return x;
  }

  const Graph& graph_;
  Graph result_;
  std::vector<ValueId> ids_;
  std::vector<const Tiling*> tiling_of_;  // by node
};

}  // namespace

int64_t channels_of_piece(const Tiling& tiling) {
  constexpr int64_t kVector = 8;
  const int64_t even = (tiling.region.extent + tiling.pieces - 1) / tiling.pieces;
  return std::min(tiling.region.extent, (even + kVector - 1) / kVector * kVector);
}

Graph tile(const Graph& graph, std::span<const Tiling> tilings, std::vector<ValueId>* new_ids) {
  return Tiler(graph, tilings).run(new_ids);
}

}  // namespace tinytl
