// tinytl-plan: the memory of training, before any data or training.

#include <fmt/core.h>
#include <unistd.h>

#include "engine/graph/replace_file.h"
#include "engine/schedule/order.h"
#include "tinytl/cli/accounting.h"
#include "tinytl/cli/console.h"
#include "tinytl/cli/load_network.h"
#include "tinytl/cli/places.h"
#include "tinytl/cli/plan_page.h"
#include "tinytl/cli/plan_text.h"
#include "tinytl/cli/report.h"

namespace tinytl::cli {
namespace {

constexpr const char* kExamples = R"(
Examples:
  tinytl-plan --model mobilenet_v2.onnx --classes 10
  tinytl-plan --model mobilenet_v2.onnx --classes 10 --update full --batch-size 1 --report plan.json
  tinytl-plan --model mobilenet_v2.onnx --classes 10 --memory-budget 15MB
  tinytl-plan --model mobilenet_v2.onnx --classes 10 --chart --svg plan.svg --html plan.html
  tinytl-plan --network proxylessnas-mobile --classes 102 --update lite+bias --accounting tinytl
  tinytl-plan --model mcunet.onnx --update sparse --scheme scheme.json --accounting mcunetv3)";

// What to show of the plan besides its figures. Empty names: no such file.
struct Views {
  std::string svg, html, report;
  std::string accounting;  // tinytl or mcunetv3; empty: none
  bool chart = false, explain = false;
};

void add_output_options(CLI::App& app, Views& views) {
  app.add_option("--report", views.report, "Write the plan as JSON, in bytes");
  app.add_option("--svg", views.svg, "Write a picture of the plan: a rectangle a tensor");
  app.add_option("--html", views.html, "Write the picture as a page that explains it");
  app.add_option("--accounting", views.accounting,
                 "tinytl or mcunetv3: also the memory as the authors of that paper count it, to "
                 "compare with their figures")
      ->check(CLI::IsMember({"tinytl", "mcunetv3"}));
  app.add_flag("--chart", views.chart, "Draw the bytes alive at each step");
  app.add_flag("--explain", views.explain,
               "List the tensors that need most at once, and why each activation is saved");
}

// "micro-batches of 1, 4 regions in pieces", or empty.
std::string levers_text(const Setup& setup) {
  std::string text;
  const auto add = [&](const std::string& words) { text += (text.empty() ? "" : ", ") + words; };
  const auto counted = [](size_t n, const char* thing) {
    return fmt::format("{} {}{}", n, thing, n == 1 ? "" : "s");
  };
  const int64_t at_once = setup.session->micro_batch_size();
  if (at_once < setup.session->batch_size()) add(fmt::format("micro-batches of {}", at_once));
  if (setup.regions_in_pieces > 0) add(counted(setup.regions_in_pieces, "region") + " in pieces");
  if (setup.values_recomputed > 0) add(counted(setup.values_recomputed, "value") + " recomputed");
  return text;
}

std::string budget_text(const MethodArguments& args) {
  if (args.arena_budget.empty() && args.memory_budget.empty()) return "";
  if (args.arena_budget.empty()) return "memory budget " + args.memory_budget;
  const std::string arena = "arena budget " + args.arena_budget;
  return args.memory_budget.empty() ? arena : arena + ", memory budget " + args.memory_budget;
}

// Of the authors that --accounting names.
struct Bills {
  std::optional<PaperBill> tinytl;
  std::optional<Mcunetv3Bill> mcunetv3;
};

void show(const Views& views, const MethodArguments& args, const Setup& setup, const Bills& bills) {
  constexpr int kColumns = 100, kRows = 24;
  const Program& step = setup.session->step_program();
  const PlanTitle title{network_name(args), std::string(name_of(update_of(args))),
                        setup.session->batch_size(), levers_text(setup), budget_text(args)};
  if (views.chart) {
    fmt::print("\n{}", plan_chart(step, kColumns, kRows, isatty(STDOUT_FILENO) == 1));
  }
  if (views.explain) fmt::print("\n{}", explain_plan(step));
  if (!views.report.empty()) {
    Json report = plan_report(args, setup);
    if (bills.tinytl.has_value()) add_paper_bill(report, *bills.tinytl);
    if (bills.mcunetv3.has_value()) add_mcunetv3_bill(report, *bills.mcunetv3);
    write_report(views.report, report);
  }
  if (!views.svg.empty()) replace_file(views.svg, plan_svg(step, title));
  if (!views.html.empty()) {
    replace_file(views.html, plan_html(step, title, setup.session->memory(), setup.levers));
  }
}

void print_lite_modules(const std::vector<LiteModule>& modules, bool one_by_one) {
  if (modules.empty()) return;
  print_line("lite residuals", lite_text(modules));
  if (!one_by_one) return;
  for (const LiteModule& m : modules) {
    print_line(
        "", fmt::format("{} block of {}: kernel {}, stride {}, {} channels", name_of(m.block.kind),
                        m.block.name, m.kernel, m.stride, m.channels));
  }
}

// What the other norms of a network would cost; nothing where the file has none to choose.
void print_norm_choices(const MethodArguments& args, int64_t classes) {
  struct Choice {
    const char *norm, *saves, *words;
  };
  constexpr Choice kChoices[] = {{"folded", "float", "folded"},
                                 {"group", "float", "group"},
                                 {"group", "int8", "group with inputs saved in 8 bits"},
                                 {"batch", "float", "batch"}};
  std::string text;
  for (const Choice& choice : kChoices) {
    MethodArguments other = args;
    other.norm = choice.norm;
    other.save_activations = choice.saves;
    try {
      const size_t bytes = prepare(other, classes).session->memory().training_memory();
      text += fmt::format("{}{} {}", text.empty() ? "" : ", ", choice.words, bytes_text(bytes));
    } catch (const CLI::ValidationError&) {  // not with this update
    } catch (const InputError&) {            // not in this file, or not within the budget
    }
  }
  print_line("norms", text);
}

int plan(const MethodArguments& args, int64_t classes, const Views& views) {
  check_places(args.model,
               {{"--report", views.report}, {"--svg", views.svg}, {"--html", views.html}});
  if (args.loss == "mse") classes = 0;
  const Setup setup = prepare(args, classes);
  Bills bills;
  if (views.accounting == "tinytl") bills.tinytl = paper_bill_of(args, classes);
  if (views.accounting == "mcunetv3") bills.mcunetv3 = mcunetv3_bill_of(args, classes);
  fmt::print("tinytl-plan: {} update of {}\n\n", name_of(update_of(args)), network_name(args));
  print_line("network", setup.imported);
  print_line("classifier", setup.classifier);
  print_lite_modules(setup.lite_modules, views.explain);
  print_line("trains", count_text(setup.session->memory().trainable_scalars) + " numbers");
  print_levers(setup);
  print_memory(setup.session->memory(), setup.session->step_program());
  if (args.norm != "folded") print_norm_choices(args, classes);
  if (bills.tinytl.has_value()) print_paper_bill(*bills.tinytl, args.batch_size);
  if (bills.mcunetv3.has_value()) print_mcunetv3_bill(*bills.mcunetv3);
  const MemoryReport& memory = setup.session->memory();
  print_line(
      "inference alone",
      fmt::format("{} of arena; training has {:.2f} times that", bytes_text(memory.inference),
                  double(memory.arena) / double(std::max<size_t>(1, memory.inference))));
  print_line("in any order",
             fmt::format("at least {} of arena, without recomputation",
                         bytes_text(order_free_floor(setup.session->step_program().graph,
                                                     *tt_best_kernels(), args.threads))));
  print_line("predicted step", fmt::format("{:.1f} ms", 1e3 * setup.predicted_seconds));
  show(views, args, setup, bills);
  return kDone;
}

}  // namespace
}  // namespace tinytl::cli

int main(int argc, char** argv) {
  using namespace tinytl::cli;
  MethodArguments args;
  int64_t classes = 10;
  Views views;
  CLI::App app("Plans the memory of a training run, without data and without training.",
               "tinytl-plan");
  app.footer(kExamples);
  add_method_options(app, args);
  app.add_option("--classes", classes, "Number of classes")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  add_output_options(app, views);
  return run_command(app, argc, argv, [&] { return plan(args, classes, views); });
}
