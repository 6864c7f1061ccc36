// tinytl-plan: the memory of training, before any data or training.

#include <fmt/core.h>

#include "tinytl/cli/console.h"
#include "tinytl/cli/report.h"

namespace tinytl::cli {
namespace {

constexpr const char* kExamples = R"(
Examples:
  tinytl-plan --model mobilenet_v2.onnx --classes 10
  tinytl-plan --model mobilenet_v2.onnx --classes 10 --update full --batch-size 1 --report plan.json)";

int plan(const MethodArguments& args, int64_t classes, const std::string& report) {
  const Setup setup = prepare(args, args.loss == "mse" ? 0 : classes);
  fmt::print("tinytl-plan: {} update of {}\n\n", name_of(update_of(args)),
             std::filesystem::path(args.model).filename().string());
  print_line("network", setup.imported);
  print_line("classifier", setup.classifier);
  print_line("trains", count_text(setup.session->memory().trainable_scalars) + " numbers");
  print_memory(setup.session->memory(), setup.session->step_program());
  if (!report.empty()) write_report(report, plan_report(args, setup));
  return kDone;
}

}  // namespace
}  // namespace tinytl::cli

int main(int argc, char** argv) {
  using namespace tinytl::cli;
  MethodArguments args;
  int64_t classes = 10;
  std::string report;
  CLI::App app("Plans the memory of a training run, without data and without training.",
               "tinytl-plan");
  app.footer(kExamples);
  add_method_options(app, args);
  app.add_option("--classes", classes, "Number of classes")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  app.add_option("--report", report, "Write the plan as JSON, in bytes");
  return run_command(app, argc, argv, [&] { return plan(args, classes, report); });
}
