// The planner against an integer program solver that proves its optimum: Debian's coinor-cbc.

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <optional>
#include <random>
#include <sstream>

#include "engine/memory/planner.h"

namespace tinytl {
namespace {

// Least arena such that of any two tensors alive together one is below the other (CPLEX LP format).
// `limit`: some arena that is large enough.
void write_program(const std::filesystem::path& file, const std::vector<Lifetime>& tensors,
                   size_t limit) {
  std::ofstream out(file);
  std::ostringstream binaries;
  out << "Minimize\n obj: arena\nSubject To\n";
  for (size_t i = 0; i < tensors.size(); ++i) {
    out << " a" << i << ": arena - o" << i << " >= " << tensors[i].bytes << "\n";
    for (size_t j = 0; j < i; ++j) {
      if (tensors[i].first > tensors[j].last || tensors[j].first > tensors[i].last) continue;
      const std::string name = std::to_string(i) + "_" + std::to_string(j);
      out << " l" << name << ": o" << i << " - o" << j << " + " << limit << " b" << name
          << " <= " << limit - tensors[i].bytes << "\n";
      out << " u" << name << ": o" << j << " - o" << i << " - " << limit << " b" << name << " <= -"
          << tensors[j].bytes << "\n";
      binaries << " b" << name << "\n";
    }
  }
  out << "Bounds\n " << live_bytes_bound(tensors, 1).bytes << " <= arena <= " << limit << "\n";
  for (size_t i = 0; i < tensors.size(); ++i) out << " 0 <= o" << i << " <= " << limit << "\n";
  if (!binaries.str().empty()) out << "Binaries\n" << binaries.str();
  out << "End\n";
}

// The proven optimum, or nothing where the time limit came first.
std::optional<size_t> solve(const std::filesystem::path& folder,
                            const std::vector<Lifetime>& tensors, size_t limit) {
  const auto program = folder / "plan.lp", solution = folder / "plan.txt";
  write_program(program, tensors, limit);
  std::filesystem::remove(solution);
  const std::string command = "cbc '" + program.string() + "' -sec 5 -solve -solution '" +
                              solution.string() + "' > /dev/null 2>&1";
  if (std::system(command.c_str()) != 0) return {};
  std::ifstream in(solution);
  std::string line;
  std::getline(in, line);  // "Optimal - objective value 12.00000000"
  const std::string head = "Optimal - objective value ";
  if (!line.starts_with(head)) return {};
  return static_cast<size_t>(std::lround(std::stod(line.substr(head.size()))));
}

class TemporaryFolder {
 public:
  TemporaryFolder() {
    path = std::filesystem::temp_directory_path() / ("planner_oracle_" + std::to_string(getpid()));
    std::filesystem::create_directories(path);
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path); }
  std::filesystem::path path;
};

std::vector<Lifetime> few_tensors(size_t count, std::mt19937& random) {
  std::vector<Lifetime> tensors(count);
  for (Lifetime& t : tensors) {
    t.bytes = 1 + random() % 9;
    t.first = static_cast<int>(random() % 8);
    t.last = t.first + static_cast<int>(random() % 4);
  }
  return tensors;
}

// As many bytes alive at every step, with sizes that need not suit the room which deaths leave: of
// such tensors some have no plan at the bound, which is rare where the load varies.
std::vector<Lifetime> constant_load(size_t count, size_t load, std::mt19937& random) {
  std::vector<Lifetime> tensors;
  std::vector<size_t> alive;
  size_t free = load;
  for (int step = 0; tensors.size() + free <= count || free == 0; ++step) {
    while (free > 0) {
      const size_t bytes = std::min(free, size_t{1} + random() % 4);
      alive.push_back(tensors.size());
      tensors.push_back({bytes, step, step});
      free -= bytes;
    }
    std::shuffle(alive.begin(), alive.end(), random);
    for (size_t deaths = 1 + random() % 3; deaths > 0 && !alive.empty(); --deaths) {
      free += tensors[alive.back()].bytes;
      alive.pop_back();
    }
    for (const size_t t : alive) tensors[t].last = step + 1;
  }
  return tensors;
}

// In some order of placement, each on top of what is below it, every tensor gets to where the best
// plan has it, or lower.
size_t least_of_all_orders(const std::vector<Lifetime>& tensors) {
  std::vector<size_t> order(tensors.size()), top(tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  size_t least = SIZE_MAX;
  do {
    size_t arena = 0;
    for (size_t n = 0; n < order.size(); ++n) {
      const Lifetime& t = tensors[order[n]];
      size_t offset = 0;
      for (size_t m = 0; m < n; ++m) {
        const Lifetime& below = tensors[order[m]];
        const bool apart = below.last < t.first || t.last < below.first;
        if (!apart) offset = std::max(offset, top[order[m]]);
      }
      top[order[n]] = offset + t.bytes;
      arena = std::max(arena, top[order[n]]);
    }
    least = std::min(least, arena);
  } while (std::next_permutation(order.begin(), order.end()));
  return least;
}

TEST(PlannerOracle, FindsTheLeastOfAllOrders) {
  std::mt19937 random(9);
  for (int trial = 0; trial < 200; ++trial) {
    SCOPED_TRACE(trial);
    const std::vector<Lifetime> tensors =
        trial % 2 == 0 ? few_tensors(4 + random() % 4, random) : constant_load(8, 5, random);
    EXPECT_EQ(plan_memory(tensors, 1).arena_bytes, least_of_all_orders(tensors));
  }
}

// Where the plan is at the bound it is minimal anyway; the others are rare, and all for cbc.
TEST(PlannerOracle, FindsTheOptimumThatCbcProves) {
  if (std::system("command -v cbc > /dev/null 2>&1") != 0) {
    GTEST_SKIP() << "cbc is not installed (Debian: coinor-cbc)";
  }
  const TemporaryFolder folder;
  std::mt19937 random(4);
  int at_bound = 0, above_bound = 0, proven = 0;
  for (int trial = 0; trial < 20000 && above_bound < 2; ++trial) {
    SCOPED_TRACE(trial);
    const std::vector<Lifetime> tensors = constant_load(8 + random() % 7, 5 + random() % 4, random);
    const MemoryPlan plan = plan_memory(tensors, 1);
    ASSERT_EQ(check_plan(tensors, plan, 1), "");
    if (plan.gap() == 0 && ++at_bound > 6) continue;
    above_bound += plan.gap() > 0;
    const std::optional<size_t> optimum = solve(folder.path, tensors, plan.arena_bytes);
    if (!optimum.has_value()) continue;
    ++proven;
    EXPECT_EQ(plan.arena_bytes, *optimum);
  }
  EXPECT_EQ(above_bound, 2);
  EXPECT_GE(proven, 6) << "cbc proved too few optima within its time limit";
}

}  // namespace
}  // namespace tinytl
