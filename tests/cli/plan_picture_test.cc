// The picture, the page and the texts of a memory plan: well-formed, exact, and true.

#include <algorithm>
#include <regex>
#include <set>

#include "autodiff/differentiate.h"
#include "engine/schedule/recompute.h"
#include "optim/optimizer.h"
#include "tests/cli/support.h"
#include "tests/cli/xml_defect.h"
#include "tests/graph/support.h"
#include "tinytl/cli/plan_label.h"
#include "tinytl/cli/plan_page.h"
#include "tinytl/cli/plan_text.h"
#include "tinytl/cli/plan_xml.h"

namespace tinytl {
namespace {

using namespace cli;
using testing::AllOf;
using testing::Field;
using testing::HasSubstr;
using testing::Not;

const PlanTitle kTitle{"net.onnx", "full", 4};

Program trained(const Graph& model) {
  UpdateScheme scheme;
  for (const ValueId id : parameters_of(model)) scheme.parameters.push_back({id});
  return compile(append_updates(differentiate(model, {}, scheme), {}).graph, *tt_best_kernels());
}

// Of convolutions, with half of what can be computed again not kept.
Program recomputed() {
  const Graph model = small_cnn(4);
  UpdateScheme scheme;
  for (const ValueId id : parameters_of(model)) scheme.parameters.push_back({id});
  const Graph training = append_updates(differentiate(model, {}, scheme), {}).graph;
  std::vector<ValueId> dropped;
  for (const RecomputeCandidate& c : recompute_candidates(training)) dropped.push_back(c.value);
  dropped.erase(dropped.begin(), dropped.begin() + std::ssize(dropped) / 2);
  return compile(recompute(training, dropped), *tt_best_kernels());
}

// Of convolutions, of matrices, with recomputation, forward only, and of nothing at all.
std::vector<Program> programs() {
  std::vector<Program> all;
  all.push_back(trained(small_cnn(4)));
  all.push_back(trained(mlp(4, 6, {7, 5})));
  all.push_back(recomputed());
  all.push_back(compile(small_cnn(2), *tt_best_kernels()));
  all.push_back(compile(Graph{}, *tt_best_kernels()));
  return all;
}

struct Rectangle {
  size_t buffer = 0;
  double left = 0, top = 0, right = 0, bottom = 0;
};
std::vector<Rectangle> rectangles(const std::string& svg) {
  static const std::regex rect(
      R"rx(<rect id="b(\d+)"[^>]* x="([^"]+)" y="([^"]+)" width="([^"]+)" height="([^"]+)">)rx");
  std::vector<Rectangle> found;
  for (std::sregex_iterator i(svg.begin(), svg.end(), rect), end; i != end; ++i) {
    const double x = std::stod((*i)[2]), y = std::stod((*i)[3]);
    found.push_back({std::stoul((*i)[1]), x, y, x + std::stod((*i)[4]), y + std::stod((*i)[5])});
  }
  return found;
}

size_t bytes_of(std::string digits) {
  std::erase(digits, ',');
  return std::stoul(digits);
}

TEST(PlanPicture, IsWellFormedWithARectangleABuffer) {
  for (const Program& program : programs()) {
    const std::string svg = plan_svg(program, kTitle);
    EXPECT_EQ(xml_defect(svg), "");
    std::vector<bool> seen(program.buffers.lifetimes.size(), false);
    for (const Rectangle& r : rectangles(svg)) {
      ASSERT_LT(r.buffer, seen.size());
      EXPECT_FALSE(seen[r.buffer]);
      seen[r.buffer] = true;
    }
    EXPECT_EQ(std::ranges::count(seen, false), 0);
  }
}

TEST(PlanPicture, RectanglesAreWhereThePlanHasThem) {
  for (const Program& program : programs()) {
    if (program.plan.arena_bytes == 0) continue;
    const std::string svg = plan_svg(program, kTitle);
    // The line of the arena's top: from the first step to the last, at the last byte.
    std::smatch line;
    ASSERT_TRUE(std::regex_search(
        svg, line, std::regex(R"rx(class="mark" d="M([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)")rx")));
    ASSERT_EQ(line[2], line[4]);
    const double left = std::stod(line[1]), top = std::stod(line[2]), right = std::stod(line[3]);
    const std::vector<Rectangle> all = rectangles(svg);
    double bottom = 0;
    for (const Rectangle& r : all) bottom = std::max(bottom, r.bottom);
    const double a_step = (right - left) / double(program.schedule.order.size());
    const double a_byte = (bottom - top) / double(program.plan.arena_bytes);
    constexpr double kRounding = 0.031;  // of pixels, in the file
    for (const Rectangle& r : all) {
      const Lifetime& life = program.buffers.lifetimes[r.buffer];
      const size_t offset = program.plan.offsets[r.buffer];
      EXPECT_NEAR(r.left, left + a_step * life.first, kRounding);
      EXPECT_NEAR(r.right, left + a_step * (life.last + 1), kRounding);
      EXPECT_NEAR(r.bottom, bottom - a_byte * double(offset), kRounding);
      EXPECT_NEAR(r.top, bottom - a_byte * double(offset + life.bytes), kRounding);
      for (const Rectangle& other : all) {
        if (other.buffer == r.buffer) continue;
        const double width = std::min(r.right, other.right) - std::max(r.left, other.left);
        const double height = std::min(r.bottom, other.bottom) - std::max(r.top, other.top);
        EXPECT_LE(std::min(width, height), kRounding) << r.buffer << " and " << other.buffer;
      }
    }
  }
}

TEST(PlanPicture, StaysSmallWithManyTensors) {
  const Program program = trained(mlp(4, 64, std::vector<int64_t>(200, 64)));
  const std::string svg = plan_svg(program, kTitle);
  EXPECT_EQ(xml_defect(svg), "");
  EXPECT_LT(svg.size(), 350 * program.buffers.lifetimes.size());
}

TEST(PlanPicture, NamesAreEscaped) {
  Program program = trained(small_cnn(2));
  for (size_t n = 0; n < program.graph.nodes().size(); ++n) {
    program.graph.node(NodeId{static_cast<uint32_t>(n)}).name = "a<b&\"c\x01\xff";
  }
  for (size_t v = 0; v < program.graph.values().size(); ++v) {
    program.graph.value(ValueId{static_cast<uint32_t>(v)}).name = "d<e&\"f\x1b";
  }
  const std::string svg = plan_svg(program, {"g<h&\"i", "full", 2});
  EXPECT_EQ(xml_defect(svg), "");
  EXPECT_THAT(svg, AllOf(HasSubstr("a&lt;b&amp;&quot;c??"), HasSubstr("d&lt;e&amp;&quot;f?"),
                         HasSubstr("g&lt;h&amp;&quot;i")));
  const std::string page = plan_html(program, {"g<h&\"i", "full", 2}, {});
  for (const char* raw : {"a<b", "d<e", "g<h", "b&\"", "\x1b", "\xff"}) {
    EXPECT_THAT(page, Not(HasSubstr(raw)));
  }
}

TEST(PlanText, NamesKeepTheirCharactersWhenShortened) {
  EXPECT_EQ(shortened("abcdefghij", 10), "abcdefghij");
  EXPECT_EQ(shortened("abcdefghij", 5), "ab…ij");
  EXPECT_EQ(shortened("äöüäöüäöü", 4), "ä…öü");
  EXPECT_EQ(shortened("ab", 1), "…");
  EXPECT_EQ(xml_text("ä\xc3"), "ä?");
}

bool reads_any(const Node& node, const std::vector<ValueId>& values) {
  return node.phase != Phase::kForward && std::ranges::any_of(node.inputs, [&](ValueId id) {
           return std::ranges::find(values, id) != values.end();
         });
}

// The second half of the explanation.
std::string explain_saved(const Program& program) {
  const std::string text = explain_plan(program);
  return text.substr(text.find("saved activations: "));
}

// The rows between the heading and the sum add up to the sum.
void expect_sum(const std::string& text, const std::regex& row, const std::regex& sum,
                size_t expected) {
  std::smatch last;
  ASSERT_TRUE(std::regex_search(text, last, sum)) << text;
  EXPECT_EQ(bytes_of(last[1]), expected);
  const std::string before = last.prefix();
  size_t total = 0;
  for (std::sregex_iterator i(before.begin(), before.end(), row), end; i != end; ++i) {
    total += bytes_of((*i)[1]);
  }
  EXPECT_EQ(total, expected);
}

TEST(PlanText, TensorsAtTheBoundAddUpToIt) {
  for (const Program& program : programs()) {
    expect_sum(explain_plan(program), std::regex(R"(\n +([\d,]+)  )"),
               std::regex(R"(\n +([\d,]+)  sum, the lower bound)"), program.plan.lower_bound_bytes);
    if (program.schedule.order.empty()) continue;
    const std::string page = plan_html(program, kTitle, {});
    expect_sum(page.substr(page.find("<table id=\"bound\"")),
               std::regex(R"rx(<tr[^>]*><td class="n">([\d,]+)</td>)rx"),
               std::regex(R"rx(<tr class="sum"><td class="n">([\d,]+)</td>)rx"),
               program.plan.lower_bound_bytes);
  }
}

TEST(PlanText, EverySavedActivationIsReadByANodeThatKeepsIt) {
  for (const Program& program : programs()) {
    const PlanFacts facts = plan_facts(program);
    const Graph& graph = program.graph;
    EXPECT_TRUE(std::ranges::is_sorted(facts.kept, std::greater<>(), &SavedActivation::bytes));
    const std::string text = explain_plan(program);
    std::set<ValueId> kept;
    for (const SavedActivation& saved : facts.kept) {
      EXPECT_FALSE(saved.kept_by.empty()) << saved.name;
      kept.insert(saved.values.begin(), saved.values.end());
      for (const std::string& keeper : saved.kept_by) {
        EXPECT_THAT(text, HasSubstr("kept by " + keeper));
        EXPECT_TRUE(std::ranges::any_of(graph.nodes(),
                                        [&](const Node& node) {
                                          return keeper.starts_with(describe(node)) &&
                                                 reads_any(node, saved.values);
                                        }))
            << keeper << " does not read " << saved.name;
      }
    }
    for (const ValueId id : saved_values(graph)) {
      EXPECT_EQ(kept.contains(id), program.buffers.of_value[index(id)].has_value());
    }
  }
}

TEST(PlanText, SavedActivationsAddUpToWhatIsReported) {
  for (const Program& program : programs()) {
    std::set<size_t> buffers;
    for (const ValueId id : saved_values(program.graph)) {
      if (const auto buffer = program.buffers.of_value[index(id)]) buffers.insert(*buffer);
    }
    size_t bytes = 0;
    for (const size_t b : buffers) bytes += program.buffers.lifetimes[b].bytes;
    if (bytes == 0) continue;
    expect_sum(explain_saved(program), std::regex(R"(\n +([\d,]+)  )"),
               std::regex(R"(\n +([\d,]+)  total of)"), bytes);
  }
}

TEST(PlanText, RecomputationIsTold) {
  const Program program = recomputed();
  const PlanFacts facts = plan_facts(program);
  EXPECT_TRUE(std::ranges::any_of(
      facts.tensors, [](const PlannedTensor& t) { return t.role == PlanRole::kRecomputed; }));
  EXPECT_THAT(explain_plan(program), HasSubstr(", recomputed\n"));
  EXPECT_THAT(plan_svg(program, kTitle),
              AllOf(HasSubstr(">recomputed</text>"), HasSubstr(">recompute</text>")));
}

TEST(PlanText, PiecesOfANodeAreNamedAsOne) {
  EXPECT_EQ(without_piece("conv5.out [channels 0:8]"), "conv5.out");
  EXPECT_EQ(without_piece("conv5.out"), "conv5.out");
  EXPECT_EQ(without_piece("odd [name]"), "odd [name]");
  EXPECT_EQ(short_name("conv5.out [rows 14:28]"), "conv5.out [14:28]");
  EXPECT_EQ(short_name("conv5.out"), "conv5.out");
}

TEST(PlanPicture, TitleNamesLeversAndBudget) {
  PlanTitle title = kTitle;
  EXPECT_EQ(work_text(title), "full update, batch 4");
  title.levers = "micro-batches of 1";
  title.budget = "arena budget 2MB";
  EXPECT_EQ(work_text(title), "full update, batch 4, micro-batches of 1   ·   arena budget 2MB");
  EXPECT_THAT(plan_svg(programs()[0], title), HasSubstr(work_text(title)));
  const std::vector<PlannedStep> levers{{"no lever", 2000000, 3000000, 1.0},
                                        {"micro-batches of <1>", 1000000, 2000000, 1.5}};
  const std::string page = plan_html(programs()[0], title, {}, levers);
  EXPECT_THAT(page, AllOf(HasSubstr("micro-batches of &lt;1&gt;"), HasSubstr("1.50 &#215;"),
                          HasSubstr("without levers <b>3.00 MB</b>")));
}

TEST(PlanText, LiveBytesPeakAtTheLowerBound) {
  for (const Program& program : programs()) {
    const PlanFacts facts = plan_facts(program);
    size_t most = 0;
    for (const size_t bytes : facts.live) most = std::max(most, bytes);
    EXPECT_EQ(most, program.plan.lower_bound_bytes);
  }
}

TEST(PlanText, ChartFitsItsTerminal) {
  for (const Program& program : programs()) {
    for (const auto& [columns, rows] : {std::pair{100, 24}, {60, 14}, {237, 60}}) {
      const std::string chart = plan_chart(program, columns, rows);
      EXPECT_THAT(chart, Not(HasSubstr("\x1b")));
      EXPECT_LE(std::ranges::count(chart, '\n'), rows);
      std::istringstream lines(chart);
      for (std::string line; std::getline(lines, line);) {
        EXPECT_LE(character_count(line), static_cast<size_t>(columns)) << line;
      }
    }
  }
  EXPECT_THAT(plan_chart(programs()[0], 100, 24), AllOf(HasSubstr("▲"), HasSubstr("forward")));
  EXPECT_THAT(plan_chart(programs()[0], 100, 24, true), HasSubstr("\x1b["));
}

class PlanCommand : public CliTest {
 protected:
  Output plan(const Words& flags) const {
    Words command{TINYTL_PLAN, "--model", model, "--classes", "3"};
    command.insert(command.end(), flags.begin(), flags.end());
    return run(command);
  }
};

TEST_F(PlanCommand, ShowsThePlanInEveryForm) {
  const Output output =
      plan({"--svg", "plan.svg", "--html", "plan.html", "--report", "r", "--chart", "--explain"});
  ASSERT_EQ(output.exit_code, 0) << output.err;
  EXPECT_THAT(output.out, AllOf(HasSubstr("▲ lower bound"), HasSubstr("sum, the lower bound"),
                                HasSubstr("saved activations")));
  EXPECT_EQ(xml_defect(text_of("plan.svg")), "");
  EXPECT_THAT(text_of("plan.html"), AllOf(HasSubstr("<svg "), HasSubstr("</html>"),
                                          Not(HasSubstr("src=")), Not(HasSubstr("@import"))));
  EXPECT_TRUE(json_of("r").contains("arena_bytes"));
}

TEST_F(PlanCommand, WritesNoFileOverAnother) {
  std::filesystem::copy(model, folder / "net.onnx");
  const std::string before = text_of("net.onnx");
  EXPECT_THAT(run({TINYTL_PLAN, "--model", "net.onnx", "--svg", "net.onnx"}),
              AllOf(Field("exit_code", &Output::exit_code, 2),
                    Field("err", &Output::err, HasSubstr("files of their own"))));
  EXPECT_EQ(text_of("net.onnx"), before);
  EXPECT_EQ(plan({"--svg", "a", "--html", "./a"}).exit_code, 2);
  EXPECT_THAT(plan({"--html", "nowhere/plan.html"}),
              fails_with(3, {"nowhere/plan.html", "folder"}));
  EXPECT_THAT(plan({"--svg", "."}), fails_with(3, {"is a folder"}));
}

}  // namespace
}  // namespace tinytl
