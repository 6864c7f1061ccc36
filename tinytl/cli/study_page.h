// The result of a study as one page.
#pragma once

#include <string>
#include <vector>

#include "tinytl/cli/study_groups.h"

namespace tinytl::cli {

// What the study found on one data set: the setting with the least memory whose mean accuracy is
// within a point of the best full update's, or, where only full is, the best other one.
struct StudyFinding {
  const StudyGroup* full = nullptr;
  const StudyGroup* found = nullptr;
  bool within_a_point = false;
};
// Without a full update or anything else, pointers are null.
StudyFinding finding_of(const Study& study, const std::string& data);

// One self-contained page: nothing is loaded from anywhere. Light and dark. `commands`: the lines
// that make it again. `more`: further sections, in HTML.
std::string study_html(const Study& study, const std::vector<std::string>& commands,
                       const std::string& more = "");

}  // namespace tinytl::cli
