#include "tinytl/cli/choose_levers.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tinytl/cli/console.h"
#include "tinytl/cli/network_source.h"
#include "tinytl/cli/run_apart.h"

namespace tinytl::cli {
namespace {

using Json = nlohmann::json;

bool has_budget(const MethodArguments& args) {
  return !args.memory_budget.empty() || !args.arena_budget.empty();
}

// The micro-batch of the smallest training memory among those that cost little time, in one thread:
// sums of gradients are rounded by micro-batch, and the number of threads must not change a result.
int64_t choose_micro_batch(NetworkSource& source, int64_t batch_size) {
  constexpr double kTolerance = 1.1;
  std::vector<std::pair<int64_t, PlannedStep>> plans;
  for (const int64_t size : source.micro_batches()) {
    plans.emplace_back(size, fit_budget(source, {}, batch_size, {{size}}).steps.back());
  }
  const auto seconds = [](const auto& plan) { return plan.second.seconds; };
  const double fastest = std::ranges::min(plans, {}, seconds).second.seconds;
  std::erase_if(plans, [&](const auto& p) { return p.second.seconds > kTolerance * fastest; });
  const auto memory = [](const auto& plan) { return plan.second.training_memory_bytes; };
  return std::ranges::min(plans, {}, memory).first;
}

BudgetChoice choose(const MethodArguments& args, NetworkSource& source) {
  const std::optional<int64_t> given = micro_batch_of(args);
  if (given.has_value() && *given != args.batch_size) source.check_samples_apart();
  const std::vector<int64_t> sizes =
      given.has_value() ? std::vector<int64_t>{*given} : source.micro_batches();
  if (has_budget(args)) {
    return fit_budget(source, budget_of(args), args.batch_size, sizes, args.threads);
  }
  BudgetChoice choice;
  choice.fits = true;
  choice.levers.micro_batch =
      given.has_value() ? *given : choose_micro_batch(source, args.batch_size);
  return choice;
}

size_t index_of(const std::vector<Region>& regions, const Region& wanted) {
  const auto same = [&](const Region& r) { return r.cut == wanted.cut && r.nodes == wanted.nodes; };
  return static_cast<size_t>(std::ranges::find_if(regions, same) - regions.begin());
}

Json to_json(const BudgetChoice& choice, NetworkSource& source) {
  const std::vector<Region> regions = find_regions(source.network(choice.levers.micro_batch));
  Json json{{"fits", choice.fits},
            {"micro_batch", choice.levers.micro_batch},
            {"pieces", Json::array()},
            {"recomputed", Json::array()},
            {"steps", Json::array()},
            {"fingerprint", source.fingerprint()},
            {"replaced", source.known().replaced},
            {"packed", source.known().packed}};
  for (const Tiling& t : choice.levers.tilings) {
    json["pieces"].push_back({index_of(regions, t.region), t.pieces});
  }
  for (const ValueId id : choice.levers.recomputed) json["recomputed"].push_back(index(id));
  for (const PlannedStep& s : choice.steps) {
    json["steps"].push_back({s.what, s.arena_bytes, s.training_memory_bytes, s.seconds});
  }
  return json;
}

[[noreturn]] void throw_over_budget(const MethodArguments& args, const PlannedStep& smallest) {
  const bool is_arena = smallest.training_memory_bytes <= budget_of(args).training_memory;
  const std::string flag =
      is_arena ? "--arena-budget " + args.arena_budget : "--memory-budget " + args.memory_budget;
  const size_t bytes = is_arena ? smallest.arena_bytes : smallest.training_memory_bytes;
  throw BudgetError(flag + ": the smallest that this run can be planned in is " +
                    std::to_string(bytes) + " bytes (" + bytes_text(bytes) +
                    "); allow that, or take a smaller --update or network");
}

}  // namespace

Decision decide(const MethodArguments& args, int64_t classes) {
  const Json json = Json::parse(run_apart([&] {
    NetworkSource source(args, classes);
    return to_json(choose(args, source), source)
        .dump(-1, ' ', false, Json::error_handler_t::replace);
  }));
  Decision decision;
  for (const Json& s : json.at("steps")) decision.steps.push_back({s[0], s[1], s[2], s[3]});
  if (!json.at("fits").get<bool>()) throw_over_budget(args, decision.steps.back());
  decision.fingerprint = json.at("fingerprint");
  decision.known = {json.at("replaced").get<std::set<std::string>>(),
                    json.at("packed").get<std::set<std::string>>()};
  decision.micro_batch = json.at("micro_batch");
  decision.pieces = json.at("pieces").get<std::vector<std::pair<size_t, int64_t>>>();
  for (const Json& id : json.at("recomputed")) {
    decision.recomputed.push_back(ValueId{id.get<uint32_t>()});
  }
  return decision;
}

Levers levers_of(const Decision& decision, const Graph& network) {
  const std::vector<Region> regions = find_regions(network);
  Levers levers{.micro_batch = decision.micro_batch, .recomputed = decision.recomputed};
  for (const auto& [region, pieces] : decision.pieces) {
    levers.tilings.push_back({regions.at(region), pieces});
  }
  return levers;
}

}  // namespace tinytl::cli
