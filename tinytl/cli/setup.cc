#include "tinytl/cli/setup.h"

#include "engine/onnx/import.h"
#include "engine/ops/op_table.h"
#include "engine/schedule/micro_batch.h"
#include "tinytl/cli/console.h"
#include "tinytl/methods/find_classifier.h"

namespace tinytl::cli {
namespace {

std::string describe(const Graph& graph) {
  int64_t convolutions = 0, matrices = 0, parameters = 0;
  for (const Node& node : graph.nodes()) {
    convolutions += node.op == &kConv2d || node.op == &kDepthwiseConv2d;
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
  if (graph.value(stored).type == input) graph.outputs.at(0) = stored;
}

// The network as imported for `batch` samples.
Graph import_network(const std::string& model, int64_t batch) {
  Graph network = import_onnx(model, {.batch = batch});
  if (network.inputs.size() == 1) return network;
  throw InputError(model + ": has " + std::to_string(network.inputs.size()) +
                   " inputs; training needs a network with one");
}

// Micro-batches give the numbers of the batch only where no layer mixes its samples.
void check_samples_apart(const MethodArguments& args) {
  const Graph network = import_network(args.model, args.batch_size);
  const std::optional<NodeId> mixing = mixes_batch(network);
  if (!mixing.has_value()) return;
  const Node& node = network.node(*mixing);
  throw InputError(args.model + ": " + node.name + " (" + std::string(node.op->name) +
                   ") mixes the samples of a batch; use --micro-batch " +
                   std::to_string(args.batch_size));
}

Setup prepare_parts(const MethodArguments& args, int64_t classes, int64_t micro_batch) {
  const Loss loss = loss_of(args);
  const int64_t parts = args.batch_size / micro_batch;
  Setup setup;

  const Graph network = import_network(args.model, micro_batch);
  setup.fingerprint = fingerprint(network);
  setup.imported = describe(network);
  FittedClassifier fitted =
      classes > 0 ? fit_classifier(network, classes, {args.head, args.new_head, args.seed})
                  : keep_classifier(network, args.head);
  setup.classifier = fitted.description;
  setup.new_classifier = fitted.is_new;
  if (classes == 0) leave_output_as_input(fitted.graph);
  if (args.dropout > 0 && fitted.parameters.empty()) {
    throw InputError(args.model +
                     ": has no classifier for --dropout to stand before; leave it out");
  }

  const FittedClassifier form = args.dropout > 0 ? with_dropout(fitted, args.dropout) : fitted;
  const UpdateScheme scheme = make_scheme(form.graph, update_of(args), form.parameters);
  GradientGraph gradients = differentiate(form.graph, loss, scheme);
  OptimizerOptions optimizer = optimizer_of(args);
  optimizer.accumulation_steps *= static_cast<int>(parts);
  TrainingGraph training = append_updates(std::move(gradients), optimizer);
  setup.session = std::make_unique<Session>(std::move(training), std::move(fitted.graph), loss,
                                            SessionOptions{.micro_batches = parts});
  return setup;
}

// The divisor of the batch that needs the least memory: a smaller one needs less for activations,
// and, unless it is the batch itself, room to sum gradients.
int64_t smallest_micro_batch(const MethodArguments& args, int64_t classes) {
  int64_t best = args.batch_size;
  size_t least = prepare_parts(args, classes, best).session->memory().training_memory();
  for (int64_t size = args.batch_size / 2; size >= 1; --size) {
    if (args.batch_size % size != 0) continue;
    const size_t bytes = prepare_parts(args, classes, size).session->memory().training_memory();
    if (bytes >= least) continue;
    best = size;
    least = bytes;
  }
  return best;
}

}  // namespace

Setup prepare(const MethodArguments& args, int64_t classes) {
  const std::optional<int64_t> given = micro_batch_of(args);
  if (given != args.batch_size && args.batch_size > 1) check_samples_apart(args);
  return prepare_parts(args, classes,
                       given.has_value() ? *given : smallest_micro_batch(args, classes));
}

}  // namespace tinytl::cli
