// --report: everything that was printed, as numbers in SI base units. Keys never change meaning.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>

#include "tinytl/cli/arguments.h"
#include "tinytl/cli/setup.h"

namespace tinytl::cli {

using Json = nlohmann::ordered_json;

// model, update, batch_size and the planned bytes: what needs no run.
Json plan_report(const MethodArguments& args, const Setup& setup);

// Adds what a run measured.
struct Measured {
  size_t arena_bytes = 0, peak_rss_bytes = 0;
};
void add_run(Json& report, const TrainingResult& result, const Measured& measured);

void write_report(const std::filesystem::path& path, const Json& report);

}  // namespace tinytl::cli
