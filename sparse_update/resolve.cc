#include "sparse_update/resolve.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "engine/graph/packed.h"
#include "engine/ops/axis.h"
#include "engine/ops/weight_channels.h"
#include "sparse_update/layers.h"

namespace tinytl {
namespace {

using Kind = SchemeEntry::Kind;

// `pattern` with * for any run of characters, also none.
bool matches(std::string_view pattern, std::string_view name) {
  const size_t star = pattern.find('*');
  if (star == std::string_view::npos) return pattern == name;
  if (name.substr(0, star) != pattern.substr(0, star) || name.size() < star) return false;
  for (size_t end = star; end <= name.size(); ++end) {
    if (matches(pattern.substr(star + 1), name.substr(end))) return true;
  }
  return false;
}

// By value: whether the output depends on it, and the first operator without a gradient in between.
struct Way {
  bool leads_to_output = false;
  NodeId blocked_by = kNoNode;
};

std::vector<Way> ways_to_output(const Graph& graph) {
  std::vector<Way> ways(graph.values().size());
  ways[index(graph.outputs.at(0))].leads_to_output = true;
  for (size_t n = graph.nodes().size(); n-- > 0;) {
    const Node& node = graph.nodes()[n];
    Way way;
    for (const ValueId id : node.outputs) {
      const Way& after = ways[index(id)];
      way.leads_to_output = way.leads_to_output || after.leads_to_output;
      if (after.blocked_by != kNoNode) way.blocked_by = after.blocked_by;
    }
    if (!way.leads_to_output) continue;
    if (node.op->vjp == nullptr) way.blocked_by = NodeId{static_cast<uint32_t>(n)};
    for (const ValueId id : node.inputs) {
      Way& before = ways[index(id)];
      before.leads_to_output = true;
      if (way.blocked_by != kNoNode) before.blocked_by = way.blocked_by;
    }
  }
  return ways;
}

class Resolver {
 public:
  Resolver(const SchemeFile& scheme, const Graph& graph, std::span<const ValueId> classifier)
      : scheme_(scheme),
        graph_(graph),
        classifier_(classifier),
        convolutions_(convolutions(graph, classifier)),
        ways_(ways_to_output(graph)) {}

  UpdateScheme run() {
    for (const ValueId id : classifier_) trained_[id] = {id, Group::kHead};
    for (entry_ = 0; entry_ < scheme_.train.size(); ++entry_) {
      named_ = added_ = 0;
      add_entry(scheme_.train[entry_]);
    }
    UpdateScheme result;
    for (auto& [id, parameter] : trained_) result.parameters.push_back(std::move(parameter));
    if (result.parameters.empty()) {
      throw InputError(scheme_.source + ": trains nothing of " + graph_.source +
                       ", which has no classifier; add an entry, as {\"last_biases\": 8}");
    }
    return result;
  }

 private:
  [[noreturn]] void fail(const std::string& message) const {
    throw InputError(scheme_.source + ": entry " + std::to_string(entry_ + 1) + ", " +
                     to_text(scheme_.train[entry_]) + ": " + message);
  }

  void add_entry(const SchemeEntry& entry) {
    switch (entry.kind) {
      case Kind::kTensors:
      case Kind::kWeight:
        add_named(entry);
        break;
      case Kind::kConvolution:
        check_number(entry.number, convolutions_.size() - 1, "numbers from 0 to ");
        add(convolutions_[static_cast<size_t>(entry.number)].weight, entry.channels);
        break;
      case Kind::kLastBiases:
      case Kind::kLastLayers:
        add_last(entry);
        break;
    }
    if (named_ > 0 && added_ == 0) fail("other entries name all of it; leave it out");
  }

  void check_number(int64_t number, size_t most, const char* what) const {
    if (convolutions_.empty()) fail(graph_.source + " has no convolutions; name tensors instead");
    if (number <= static_cast<int64_t>(most)) return;
    fail(graph_.source + " has " + std::to_string(convolutions_.size()) + " convolutions; give " +
         what + std::to_string(most));
  }

  void add_last(const SchemeEntry& entry) {
    check_number(entry.number, convolutions_.size(), "a number up to ");
    const size_t first = convolutions_.size() - static_cast<size_t>(entry.number);
    bool any_bias = false;
    for (const Convolution& conv : std::span(convolutions_).subspan(first)) {
      if (entry.kind == Kind::kLastLayers) add(conv.weight, 1);
      if (conv.bias.has_value()) add(*conv.bias, 1);
      any_bias = any_bias || conv.bias.has_value();
    }
    if (entry.kind == Kind::kLastBiases && entry.number > 0 && !any_bias) {
      fail("these convolutions have no biases; name what follows them, or weights");
    }
  }

  void add_named(const SchemeEntry& entry) {
    bool any = false;
    for (size_t v = 0; v < graph_.values().size(); ++v) {
      const ValueId id{static_cast<uint32_t>(v)};
      const Value& value = graph_.value(id);
      if (!is_parameter(value.role) || !matches(entry.pattern, value.name)) continue;
      any = true;
      add(id, entry.channels);
    }
    if (!any) {
      fail("no parameter of " + graph_.source +
           " has that name; tinytl-sparsify layers lists them");
    }
  }

  void add(ValueId id, double part) {
    const Value& value = graph_.value(id);
    if (std::ranges::find(classifier_, id) != classifier_.end()) {
      if (part != 1) fail("\"" + value.name + "\" is of the classifier, which trains whole");
      return;
    }
    ++named_;
    const bool is_weight = value.role == Role::kWeight;
    if (named_by_.contains(id)) {
      if (is_weight) {
        fail("\"" + value.name + "\" is named by entry " + std::to_string(named_by_.at(id) + 1) +
             " too; leave one out");
      }
      return;
    }
    named_by_[id] = entry_;
    ++added_;
    if (part == 0) return;
    check_gradient(id);
    trained_[id] = {id, Group::kBackbone, channels_of_part(id, part)};
  }

  void check_gradient(ValueId id) const {
    const Way& way = ways_[index(id)];
    const std::string& name = graph_.value(id).name;
    if (!way.leads_to_output) {
      fail("the output does not depend on \"" + name + "\", so it cannot train; leave it out");
    }
    if (way.blocked_by == kNoNode) return;
    const Node& node = graph_.node(way.blocked_by);
    fail("no gradient passes node \"" + node.name + "\" (" + std::string(node.op->name) +
         ") to \"" + name + "\"; train only what comes after it");
  }

  // Empty: all of them.
  std::vector<int64_t> channels_of_part(ValueId id, double part) const {
    if (part == 1) return {};
    const Value& value = graph_.value(id);
    if (value.role != Role::kWeight || value.type.rank() < 2 || value.type.rank() > 4) {
      fail("\"" + value.name + "\" has no input channels to choose from; leave \"channels\" out");
    }
    const int64_t channels = value.type.dim(input_channel_dimension(value.type));
    const int64_t count = count_of_part(part, channels);
    if (count == channels) return {};
    return largest_channels(*value.data, count);
  }

  const SchemeFile& scheme_;
  const Graph& graph_;
  const std::span<const ValueId> classifier_;
  const std::vector<Convolution> convolutions_;
  const std::vector<Way> ways_;
  std::map<ValueId, TrainedParameter> trained_;
  std::map<ValueId, size_t> named_by_;        // the entry
  size_t entry_ = 0, named_ = 0, added_ = 0;  // tensors that it names, and is the first to
};

}  // namespace

int64_t count_of_part(double part, int64_t channels) {
  if (part == 0) return 0;
  return std::max<int64_t>(1, static_cast<int64_t>(std::floor(part * double(channels))));
}

std::vector<int64_t> largest_channels(const Tensor& weight, int64_t count) {
  const size_t dimension = input_channel_dimension(weight.type());
  const AxisView view = axes_view(weight.type().shape, dimension, dimension + 1);
  std::vector<double> norm(static_cast<size_t>(view.size), 0);
  std::vector<float> unpacked;
  if (is_packed(weight.type().dtype)) {
    unpacked.resize(static_cast<size_t>(weight.type().elements()));
    unpack(weight, unpacked);
  }
  const float* w = unpacked.empty() ? weight.f32().data() : unpacked.data();
  for (int64_t o = 0; o < view.outer; ++o) {
    for (double& sum : norm) {
      for (int64_t i = 0; i < view.inner; ++i, ++w) sum += double{*w} * double{*w};
    }
  }
  std::vector<int64_t> channels(norm.size());
  std::iota(channels.begin(), channels.end(), 0);
  std::ranges::stable_sort(channels, std::greater<>(),
                           [&](int64_t c) { return norm[static_cast<size_t>(c)]; });
  channels.resize(static_cast<size_t>(count));
  std::ranges::sort(channels);
  return channels;
}

UpdateScheme resolve(const SchemeFile& scheme, const Graph& graph,
                     std::span<const ValueId> classifier) {
  return Resolver(scheme, graph, classifier).run();
}

}  // namespace tinytl
