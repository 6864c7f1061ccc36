#include "tinytl/cli/accounting.h"

#include <fmt/core.h>

#include "tinytl/cli/console.h"
#include "tinytl/cli/load_network.h"
#include "tinytl/cli/network_source.h"
#include "tinytl/methods/prune_width.h"

namespace tinytl::cli {
namespace {

// What trains of a network with norms, in the form that the paper bills.
PaperForm form_of(const MethodArguments& args, FittedClassifier network) {
  const Update update = update_of(args);
  if (has_lite_residuals(update) || args.network.starts_with("proxylessnas-mobile")) {
    return paper_form(network, update, lite_of(args));
  }
  UpdateScheme scheme = make_scheme(network, update);
  return {std::move(network.graph), std::move(scheme)};
}

}  // namespace

PaperBill paper_bill_of(const MethodArguments& args, int64_t classes) {
  if (args.network.empty()) {
    NetworkSource source(args, classes);
    const Graph& graph = source.network(args.batch_size);
    return paper_bill(graph, make_scheme(source.fitted(), update_of(args)), args.batch_size);
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

}  // namespace tinytl::cli
