#include "tinytl/cli/network_source.h"

#include "autodiff/gradient_codes.h"
#include "autodiff/save_ranges.h"
#include "engine/graph/packed.h"
#include "engine/ops/op_table.h"
#include "engine/ops/passes.h"
#include "engine/schedule/micro_batch.h"
#include "engine/schedule/stream_rows.h"
#include "tinytl/cli/console.h"
#include "tinytl/cli/scheme_argument.h"
#include "tinytl/methods/find_classifier.h"
#include "tinytl/methods/prune_width.h"

namespace tinytl::cli {
namespace {

std::string describe(const Graph& graph) {
  int64_t convolutions = 0, matrices = 0, parameters = 0;
  for (const Node& node : graph.nodes()) {
    convolutions += node.op == &kConv2d || node.op == &kDepthwiseConv2d || node.op == &kQConv2d ||
                    node.op == &kQDepthwiseConv2d;
    matrices += node.op == &kLinear || node.op == &kMatMul;
  }
  for (const Value& value : graph.values()) {
    if (is_parameter(value.role)) parameters += value.type.elements();
  }
  return count_text(convolutions) + " convolutions, " + count_text(matrices) +
         " matrix products, " + count_text(parameters) + " parameters, input " +
         to_string(graph.value(graph.inputs.at(0)).type);
}

// An autoencoder's output as its input is stored: the two are compared number by number.
void leave_output_as_input(Graph& graph) {
  const ValueId stored = stored_output(graph);
  const TensorType& input = graph.value(graph.inputs.at(0)).type;
  if (graph.value(stored).type.shape == input.shape) graph.outputs.at(0) = stored;
}

FittedClassifier in_pieces(const FittedClassifier& whole, std::span<const Tiling> tilings) {
  FittedClassifier result = whole;
  std::vector<ValueId> ids;
  result.graph = tile(whole.graph, tilings, &ids);
  for (ValueId& id : result.parameters) id = ids[index(id)];
  for (ValueId& id : result.lite) id = ids[index(id)];
  return result;
}

}  // namespace

void NetworkSource::import(int64_t micro_batch) {
  if (micro_batch == micro_batch_) return;
  fitted_ = {};  // before there are two
  micro_batch_ = 0;
  Graph network = load_network(args_, classes_, micro_batch, given_);
  if (network.inputs.size() != 1) {
    throw InputError(network.source + ": has " + std::to_string(network.inputs.size()) +
                     " inputs; training needs a network with one");
  }
  if (given_.empty()) fingerprint_ = tinytl::fingerprint(network);
  if (args_.width < 1) network = prune_width(network, args_.width);
  description_ = describe(network);
  fitted_ = classes_ > 0
                ? fit_classifier(network, classes_, {args_.head, args_.new_head, args_.seed})
                : keep_classifier(network, args_.head);
  if (classes_ == 0) leave_output_as_input(fitted_.graph);
  fitted_ = in_form_for(update_of(args_), std::move(fitted_), lite_of(args_), norms_of(args_),
                        &lite_modules_);
  if (args_.dropout > 0 && fitted_.parameters.empty()) {
    throw InputError(network.source +
                     ": has no classifier for --dropout to stand before; leave it out");
  }
  std::set<std::string> imported;
  known_ = {};
  for (const Value& value : network.values()) {
    if (!is_parameter(value.role)) continue;
    const Value* kept = fitted_.graph.find(value.name);  // a new one may have the old one's name
    const bool is_kept = kept != nullptr && kept->data == value.data;
    (is_kept ? imported : known_.replaced).insert(value.name);
  }
  scheme_ = update_scheme_of(args_, fitted_);
  network = {};  // what is packed now is freed tensor by tensor
  freeze(fitted_);
  const bool keeps_width = args_.width == 1;  // or else it is read as floats to be pruned
  for (const Value& value : fitted_.graph.values()) {
    const bool is_packed_now = is_parameter(value.role) && is_packed(value.type.dtype);
    if (keeps_width && is_packed_now && imported.contains(value.name))
      known_.packed.insert(value.name);
  }
  micro_batch_ = micro_batch;
}

void NetworkSource::freeze(FittedClassifier& network) const {
  const FrozenWeights format = frozen_weights_of(args_);
  if (format == FrozenWeights::kFloat) return;
  std::vector<ValueId> trained;
  for (const TrainedParameter& p : scheme_.parameters) trained.push_back(p.parameter);
  freeze_weights(network.graph, trained, format);
}

const Graph& NetworkSource::network(int64_t micro_batch) {
  import(micro_batch);
  return fitted_.graph;
}

StepGraphs NetworkSource::build(int64_t micro_batch, std::span<const Tiling> tilings) {
  import(micro_batch);
  FittedClassifier network = in_pieces(fitted_, tilings);
  const FittedClassifier form =
      with_batch_statistics(args_.dropout > 0 ? with_dropout(network, args_.dropout) : network);
  const Loss loss = loss_of(args_);
  OptimizerOptions optimizer = optimizer_of(args_);
  optimizer.accumulation_steps *= static_cast<int>(args_.batch_size / micro_batch);
  const UpdateScheme scheme = moved_to(form.graph, fitted_.graph, scheme_);
  GradientGraph gradients = differentiate(form.graph, loss, scheme);
  if (args_.save_activations != "float") {
    save_in_ranges(gradients.graph, args_.save_activations == "int8" ? 8 : 4);
  }
  if (args_.gradients == "int8") hold_gradients_in_8_bits(gradients);
  StepGraphs graphs{.training = append_updates(std::move(gradients), optimizer),
                    .inference = std::move(network.graph),
                    .loss = loss.kind};
  for (Graph* const graph : {&graphs.training.graph, &graphs.inference}) {
    decode_tables(*graph);
    stream_rows(*graph);  // as compile() does, so that levers are chosen knowing it
  }
  return graphs;
}

// With a single sample nothing can be seen to mix.
std::optional<Node> NetworkSource::mixing_node() {
  if (args_.batch_size == 1) return std::nullopt;
  import(args_.batch_size);
  const Graph form = with_batch_statistics(fitted_).graph;
  const std::optional<NodeId> mixing = mixes_batch(form);
  if (!mixing.has_value()) return std::nullopt;
  return form.node(*mixing);
}

// Constants of the model file may be made for one batch.
bool NetworkSource::can_build(int64_t micro_batch) {
  try {
    build(micro_batch, {});
    return true;
  } catch (const InputError&) {
    return false;
  }
}

std::vector<int64_t> NetworkSource::micro_batches() {
  std::vector<int64_t> sizes{args_.batch_size};
  if (mixing_node().has_value()) return sizes;
  for (int64_t size = args_.batch_size / 2; size >= 1; --size) {
    if (args_.batch_size % size == 0 && can_build(size)) sizes.push_back(size);
  }
  return sizes;
}

void NetworkSource::check_samples_apart() {
  const std::optional<Node> node = mixing_node();
  if (!node.has_value()) return;
  throw InputError(fitted_.graph.source + ": " + node->name + " (" + std::string(node->op->name) +
                   ") mixes the samples of a batch; use --micro-batch " +
                   std::to_string(args_.batch_size));
}

}  // namespace tinytl::cli
