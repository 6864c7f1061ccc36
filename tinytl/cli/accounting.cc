#include "tinytl/cli/accounting.h"

#include <fmt/core.h>

#include "tinytl/cli/console.h"
#include "tinytl/cli/load_network.h"
#include "tinytl/cli/network_source.h"
#include "tinytl/cli/option_checks.h"
#include "tinytl/cli/scheme_argument.h"
#include "tinytl/methods/prune_width.h"

namespace tinytl::cli {
namespace {

// What trains of a network with norms, in the form that the paper bills.
PaperForm form_of(const MethodArguments& args, FittedClassifier network) {
  const Update update = update_of(args);
  if (has_lite_residuals(update) || args.network.starts_with("proxylessnas-mobile")) {
    return paper_form(network, update, lite_of(args));
  }
  UpdateScheme scheme = update_scheme_of(args, network);
  return {std::move(network.graph), std::move(scheme)};
}

}  // namespace

PaperBill paper_bill_of(const MethodArguments& args, int64_t classes) {
  if (args.network.empty()) {
    NetworkSource source(args, classes);
    const Graph& graph = source.network(args.batch_size);
    return paper_bill(graph, source.scheme(), args.batch_size);
  }
  NetworkOptions options = reference_options(args, classes);
  options.norm = NetworkNorm::kGroup;
  options.values = false;
  const Graph network = prune_width(reference_network(args.network, options), args.width);
  const PaperForm form = form_of(args, keep_classifier(network, args.head));
  return paper_bill(form.graph, form.scheme, args.batch_size);
}

void print_paper_bill(const PaperBill& bill, int64_t batch_size) {
  const auto text = [](int64_t bytes) { return bytes_text(static_cast<size_t>(bytes)); };
  print_line("paper's bill",
             fmt::format("{}: activations {} ({} images, peak at {}) + trained {} + frozen {}",
                         text(bill.bytes()), text(bill.activation_bytes), batch_size,
                         bill.peak_layer, text(bill.trained_bytes), text(bill.frozen_bytes)));
  print_line("", "without gradients, optimizer state, and what the backward pass holds");
  if (bill.frozen_norm_bytes == 0) return;
  print_line("", text(bill.bytes() + bill.frozen_norm_bytes) +
                     " with the inputs of frozen group norms, which their gradients read");
}

void add_paper_bill(Json& report, const PaperBill& bill) {
  report["accounting"] = "tinytl";
  report["accounting_bytes"] = bill.bytes();
  report["accounting_activation_bytes"] = bill.activation_bytes;
  report["accounting_frozen_norm_bytes"] = bill.frozen_norm_bytes;
  report["accounting_trainable_bytes"] = bill.trained_bytes;
  report["accounting_trainable_scalars"] = bill.trained_bytes / int64_t{sizeof(float)};
  report["accounting_frozen_bytes"] = bill.frozen_bytes;
}

Mcunetv3Bill mcunetv3_bill_of(const MethodArguments& args, int64_t classes) {
  if (has_lite_residuals(update_of(args))) {
    usage_error("--accounting mcunetv3 has no lite residual modules; take --accounting tinytl");
  }
  NetworkSource source(args, classes);
  const Graph& graph = source.network(args.batch_size);
  return mcunetv3_bill(graph, source.scheme(), source.fitted().parameters);
}

namespace {

Mcunetv3Bill::Line sum_of(const Mcunetv3Bill& bill) {
  Mcunetv3Bill::Line sum;
  for (const Mcunetv3Bill::Line& line : bill.lines) {
    sum.mask += line.mask;
    sum.bias += line.bias;
    sum.input += line.input;
    sum.weight += line.weight;
  }
  return sum;
}

// The paper's KB.
std::string kib_text(int64_t bits) { return fmt::format("{:.1f} KiB", double(bits) / 8 / 1024); }

}  // namespace

void print_mcunetv3_bill(const Mcunetv3Bill& bill) {
  const Mcunetv3Bill::Line sum = sum_of(bill);
  print_line(
      "authors' bill",
      fmt::format("{}: masks {} + biases {} + inputs {} + weights {} + classifier's input {}",
                  kib_text(8 * bill.bytes()), kib_text(sum.mask), kib_text(sum.bias),
                  kib_text(sum.input), kib_text(sum.weight), kib_text(bill.classifier_input)));
  print_line("",
             "in 8 bits, one image at a time; without the classifier's weights, gradients, "
             "scratch and the forward pass");
}

void add_mcunetv3_bill(Json& report, const Mcunetv3Bill& bill) {
  const Mcunetv3Bill::Line sum = sum_of(bill);
  const auto bytes = [](int64_t bits) { return double(bits) / 8; };
  report["accounting"] = "mcunetv3";
  report["accounting_bytes"] = bill.bytes();
  report["accounting_mask_bytes"] = bytes(sum.mask);
  report["accounting_bias_bytes"] = bytes(sum.bias);
  report["accounting_input_bytes"] = bytes(sum.input);
  report["accounting_weight_bytes"] = bytes(sum.weight);
  report["accounting_classifier_input_bytes"] = bytes(bill.classifier_input);
}

}  // namespace tinytl::cli
