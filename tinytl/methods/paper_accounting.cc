#include "tinytl/methods/paper_accounting.h"

#include <algorithm>
#include <optional>
#include <set>

#include "engine/ops/op_table.h"

namespace tinytl {
namespace {

constexpr int64_t kFloatBits = 32, kByteBits = 8;  // the bill is in bits: a ReLU saves one each

bool is_one_of(const Node& node, std::initializer_list<const OpDef*> ops) {
  return std::ranges::find(ops, node.op) != ops.end();
}

bool is_convolution(const Node& node) { return is_one_of(node, {&kConv2d, &kDepthwiseConv2d}); }
bool is_norm(const Node& node) {
  return is_one_of(node, {&kBatchNormInference, &kBatchNorm, &kGroupNorm, &kLayerNorm});
}
bool is_relu(const Node& node) { return is_one_of(node, {&kClip, &kLeakyRelu}); }
bool is_smooth(const Node& node) {
  return is_one_of(
      node, {&kSigmoid, &kHardSigmoid, &kTanh, &kSilu, &kHardSwish, &kGelu, &kElu, &kSoftplus});
}

struct Cost {
  int64_t tmp = 0, saved = 0;  // bits
};

class Accountant {
 public:
  Accountant(const Graph& graph, const UpdateScheme& scheme, bool charges_frozen_norms)
      : graph_(graph), charges_frozen_norms_(charges_frozen_norms) {
    for (const TrainedParameter& p : scheme.parameters) {
      trained_.insert(p.parameter);
      trains_features_ = trains_features_ || p.group != Group::kHead;
    }
    samples_ = graph.value(graph.inputs.at(0)).type.dim(0);
  }

  bool trains(ValueId id) const { return trained_.contains(id); }

  // Of one sample, as if all elements were floats.
  int64_t bits(ValueId id) const {
    return graph_.value(id).type.elements() / samples_ * kFloatBits;
  }

  Cost cost(const Node& node) const {
    const int64_t in = node.inputs.empty() ? 0 : bits(node.input(0));
    const auto saved_if = [&](bool saves) { return saves ? in : 0; };
    if (is_convolution(node)) {
      return {in + bits(node.output()) / groups(node), saved_if(trains(node.input(1)))};
    }
    if (is_matrix(node)) return {in + bits(node.output()), saved_if(trains(node.input(1)))};
    if (is_norm(node)) {
      const bool charged = charges_frozen_norms_ && trains_features_;
      return {in, saved_if(trains(node.input(1)) || charged)};
    }
    if (is_relu(node)) return {in, saved_if(trains_features_) / kFloatBits};
    if (is_smooth(node)) return {in, saved_if(trains_features_)};
    return {};
  }

 private:
  bool is_matrix(const Node& node) const {
    return is_one_of(node, {&kLinear, &kMatMul}) && is_parameter(graph_.value(node.input(1)).role);
  }

  int64_t groups(const Node& node) const {
    if (node.op == &kConv2d) return node.attributes.integer("groups");
    return graph_.value(node.input(0)).type.shape.back();
  }

  const Graph& graph_;
  const bool charges_frozen_norms_;
  std::set<ValueId> trained_;
  bool trains_features_ = false;
  int64_t samples_ = 1;
};

// The residual blocks of a network, by what each node is charged for them.
class Blocks {
 public:
  explicit Blocks(const Graph& graph) : graph_(graph), readers_(readers(graph)) {
    input_of_.resize(graph.nodes().size());
    for (size_t n = 0; n < graph.nodes().size(); ++n) {
      if (is_sum(graph.nodes()[n]) && !is_part_of_sum(graph.nodes()[n])) add_block(n);
    }
  }

  // The inputs of the blocks around node `n`.
  const std::vector<ValueId>& inputs(size_t n) const { return input_of_[n]; }

 private:
  bool is_sum(const Node& node) const {
    if (node.op != &kAdd) return false;
    return std::ranges::none_of(node.inputs,
                                [&](ValueId id) { return is_persistent(graph_.value(id).role); });
  }

  // a + b of (a + b) + c.
  bool is_part_of_sum(const Node& node) const {
    const std::vector<NodeId>& by = readers_[index(node.output())];
    return by.size() == 1 && is_sum(graph_.node(by[0]));
  }

  const Node* producer(ValueId id) const {
    const NodeId node = graph_.value(id).producer;
    return node == kNoNode ? nullptr : &graph_.node(node);
  }

  void collect_terms(const Node& sum, std::vector<ValueId>& terms) const {
    for (const ValueId id : sum.inputs) {
      const Node* from = producer(id);
      if (from != nullptr && is_sum(*from) && is_part_of_sum(*from)) {
        collect_terms(*from, terms);
      } else {
        terms.push_back(id);
      }
    }
  }

  // What one convolution and its norm made `id` of.
  std::optional<ValueId> projected(ValueId id) const {
    const Node* from = producer(id);
    if (from != nullptr && is_norm(*from)) from = producer(from->input(0));
    if (from == nullptr || !is_convolution(*from)) return std::nullopt;
    return from->input(0);
  }

  // By node: reads `value`, or what was computed from it. Nodes from `end` on are not looked at.
  std::vector<bool> computed_from(ValueId value, size_t end) const {
    std::vector<bool> result(end, false);
    const NodeId first = graph_.value(value).producer;
    for (size_t n = first == kNoNode ? 0 : index(first) + 1; n < end; ++n) {
      result[n] = std::ranges::any_of(graph_.nodes()[n].inputs, [&](ValueId id) {
        const NodeId from = graph_.value(id).producer;
        return id == value || (from != kNoNode && result[index(from)]);
      });
    }
    return result;
  }

  // By node: a term of the sum `end` needs it.
  std::vector<bool> needed_by(size_t end) const {
    std::vector<bool> result(end + 1, false);
    result[end] = true;
    for (size_t n = end + 1; n-- > 0;) {
      if (!result[n]) continue;
      for (const ValueId id : graph_.nodes()[n].inputs) {
        const NodeId from = graph_.value(id).producer;
        if (from != kNoNode) result[index(from)] = true;
      }
    }
    return result;
  }

  bool is_block(ValueId input, const std::vector<ValueId>& terms,
                const std::vector<bool>& from_input) const {
    return std::ranges::all_of(terms, [&](ValueId term) {
      const NodeId from = graph_.value(term).producer;
      return term == input || (from != kNoNode && from_input[index(from)]);
    });
  }

  void add_block(size_t sum) {
    std::vector<ValueId> terms;
    collect_terms(graph_.nodes()[sum], terms);
    std::vector<ValueId> candidates = terms;  // an identity shortcut before a projected one
    for (const ValueId term : terms) {
      if (const auto input = projected(term)) candidates.push_back(*input);
    }
    for (const ValueId input : candidates) {
      const std::vector<bool> inside = computed_from(input, sum);
      if (!is_block(input, terms, inside)) continue;
      const std::vector<bool> needed = needed_by(sum);
      for (size_t n = 0; n < sum; ++n) {
        if (inside[n] && needed[n]) input_of_[n].push_back(input);
      }
      const std::vector<NodeId>& after = readers_[index(graph_.nodes()[sum].output())];
      if (after.size() == 1 && is_relu(graph_.node(after[0]))) {
        input_of_[index(after[0])].push_back(input);
      }
      return;
    }
  }

  const Graph& graph_;
  const std::vector<std::vector<NodeId>> readers_;
  std::vector<std::vector<ValueId>> input_of_;
};

struct Peak {
  int64_t bits = 0;  // of one image
  std::string layer;

  int64_t bytes(int64_t batch) const { return (batch * bits + kByteBits - 1) / kByteBits; }
};

Peak forward_peak(const Graph& network, const Accountant& accountant, const Blocks& blocks) {
  Peak peak;
  int64_t saved = 0;
  for (size_t n = 0; n < network.nodes().size(); ++n) {
    const Node& node = network.nodes()[n];
    const Cost cost = accountant.cost(node);
    int64_t now = cost.tmp + saved;
    for (const ValueId input : blocks.inputs(n)) now += accountant.bits(input);
    if (now > peak.bits) peak = {now, node.name};
    saved += cost.saved;
  }
  return peak;
}

}  // namespace

PaperBill paper_bill(const Graph& network, const UpdateScheme& scheme, int64_t batch) {
  const Accountant accountant(network, scheme, /*charges_frozen_norms=*/false);
  const Accountant honest(network, scheme, /*charges_frozen_norms=*/true);
  const Blocks blocks(network);
  const Peak peak = forward_peak(network, accountant, blocks);
  PaperBill bill;
  bill.activation_bytes = peak.bytes(batch);
  bill.peak_layer = peak.layer;
  bill.frozen_norm_bytes =
      forward_peak(network, honest, blocks).bytes(batch) - bill.activation_bytes;
  for (size_t v = 0; v < network.values().size(); ++v) {
    const Value& value = network.values()[v];
    if (!is_parameter(value.role)) continue;
    const bool trains = accountant.trains(ValueId{static_cast<uint32_t>(v)});
    (trains ? bill.trained_bytes : bill.frozen_bytes) +=
        value.type.elements() * (trains ? int64_t{sizeof(float)} : 1);
  }
  return bill;
}

// The input's height, were the last map as high as at 256 pixels: other heights round maps up.
int64_t paper_nominal_resolution(int64_t height) {
  constexpr int64_t kNominal = 256, kTotalStride = 32;
  const int64_t last_map = (height + kTotalStride - 1) / kTotalStride;
  return kNominal / kTotalStride * height / last_map;
}

PaperForm paper_form(const FittedClassifier& network, Update update, LiteOptions options) {
  const ValueId input = network.graph.inputs.at(0);
  options.nominal_resolution = paper_nominal_resolution(network.graph.value(input).type.dim(1));
  options.trains_last_bias = true;
  std::vector<ValueId> ids, classifier, modules;
  LiteNetwork lite = insert_lite_residuals(network.graph, options, &ids);
  for (const ValueId id : network.parameters) classifier.push_back(ids[index(id)]);
  for (const LiteModule& module : lite.modules) {
    if (!has_lite_residuals(update)) break;
    modules.insert(modules.end(), module.parameters.begin(), module.parameters.end());
  }
  PaperForm form{std::move(lite.graph), {}};
  form.scheme = make_scheme(form.graph, update, classifier, modules);
  if (update == Update::kLiteBias) {  // the shift of a last norm adds nothing to the block's bias
    std::erase_if(form.scheme.parameters, [&](const TrainedParameter& p) {
      return std::ranges::any_of(lite.modules, [&](const LiteModule& module) {
        return module.parameters.back() == p.parameter;
      });
    });
  }
  return form;
}

}  // namespace tinytl
