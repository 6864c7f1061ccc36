#include "engine/memory/problem.h"

#include <algorithm>

namespace tinytl {
namespace {

// Lifetimes by increasing first step, without those of no bytes.
std::vector<size_t> in_order_of_birth(std::span<const Lifetime> tensors) {
  std::vector<size_t> order;
  order.reserve(tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].bytes > 0) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return tensors[a].first < tensors[b].first; });
  return order;
}

std::vector<int> in_order_of_death(std::span<const Lifetime> tensors) {
  std::vector<int> last;
  last.reserve(tensors.size());
  for (const Lifetime& t : tensors) {
    if (t.bytes > 0) last.push_back(t.last);
  }
  std::sort(last.begin(), last.end());
  return last;
}

// The steps that stand for sections: where a tensor is born after which, before the next birth, one
// dies. Increasing.
std::vector<int> section_steps(std::span<const Lifetime> tensors, std::span<const size_t> births,
                               std::span<const int> deaths) {
  std::vector<int> steps;
  size_t dead = 0;
  for (size_t i = 0; i < births.size(); ++i) {
    const int step = tensors[births[i]].first;
    const bool is_last = i + 1 == births.size();
    if (!is_last && tensors[births[i + 1]].first == step) continue;
    while (dead < deaths.size() && deaths[dead] < step) ++dead;
    if (is_last || deaths[dead] < tensors[births[i + 1]].first) steps.push_back(step);
  }
  return steps;
}

size_t fullest_section(const Problem& problem) {
  std::vector<size_t> live(static_cast<size_t>(problem.sections) + 1, 0);
  for (const Item& item : problem.items) {  // differences first; unsigned wrap is intended
    live[static_cast<size_t>(item.first)] += item.size;
    live[static_cast<size_t>(item.last) + 1] -= item.size;
  }
  size_t sum = 0, fullest = 0;
  for (const size_t difference : live) fullest = std::max(fullest, sum += difference);
  return fullest;
}

}  // namespace

std::vector<Problem> make_problems(std::span<const Lifetime> tensors, size_t alignment) {
  const std::vector<size_t> births = in_order_of_birth(tensors);
  const std::vector<int> deaths = in_order_of_death(tensors);
  const std::vector<int> steps = section_steps(tensors, births, deaths);
  const auto section_from = [&](int step) {  // the first at that step or later
    return static_cast<int>(std::lower_bound(steps.begin(), steps.end(), step) - steps.begin());
  };

  std::vector<Problem> problems;
  int begin = 0, end = 0;  // sections of the last problem
  for (const size_t tensor : births) {
    const Lifetime& t = tensors[tensor];
    const int first = section_from(t.first), last = section_from(t.last + 1) - 1;
    if (problems.empty() || first >= end) {
      problems.emplace_back();
      begin = first;
    }
    end = std::max(end, last + 1);
    Problem& problem = problems.back();
    const size_t size = (t.bytes + alignment - 1) / alignment;
    problem.items.push_back({size, first - begin, last - begin, last - first + 1});
    problem.tensor.push_back(tensor);
    problem.sections = end - begin;
  }
  for (Problem& problem : problems) problem.bound = fullest_section(problem);
  std::stable_sort(problems.begin(), problems.end(),
                   [](const Problem& a, const Problem& b) { return a.bound > b.bound; });
  return problems;
}

}  // namespace tinytl
