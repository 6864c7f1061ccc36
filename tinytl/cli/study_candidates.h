// What a search may choose from, and what of it fits.
#pragma once

#include <functional>

#include "tinytl/cli/study_search.h"

namespace tinytl::cli {

// What `program --help` prints. Throws InputError where it cannot be asked.
std::string help_of(const std::string& program, const std::filesystem::path& folder);

// Whether that text has a line for this option ("--width").
bool lists_option(const std::string& help, const std::string& flag);

// All candidates before anything is known about them. `can`: whether tinytl-train has an option.
std::vector<Candidate> candidates_of(const StudyArguments& args, const SearchArguments& search,
                                     const std::function<bool(const std::string&)>& can);

// Plans every candidate without levers. Those above the budget are planned again with it; the
// others of these are dropped, with the planner's own words. Options that only training knows are
// left out of the planner's command.
void plan_candidates(const StudyArguments& args, const SearchArguments& search, size_t budget,
                     int64_t classes, std::vector<Candidate>& candidates);

}  // namespace tinytl::cli
