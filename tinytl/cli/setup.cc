#include "tinytl/cli/setup.h"

#include "engine/onnx/import.h"
#include "engine/ops/op_table.h"
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

}  // namespace

Setup prepare(const MethodArguments& args, int64_t classes) {
  const Loss loss = loss_of(args);
  Setup setup;

  const Graph network = import_onnx(args.model, {.batch = args.batch_size});
  if (network.inputs.size() != 1) {
    throw InputError(args.model + ": has " + std::to_string(network.inputs.size()) +
                     " inputs; training needs a network with one");
  }
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
  TrainingGraph training = append_updates(std::move(gradients), optimizer_of(args));
  setup.session = std::make_unique<Session>(std::move(training), std::move(fitted.graph), loss);
  return setup;
}

}  // namespace tinytl::cli
