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

// A self-contained page around `body`: nothing is loaded from anywhere. Light and dark. `commands`:
// the lines that make it again, at its end.
std::string study_page(const std::string& title, const std::string& body,
                       const std::vector<std::string>& commands);

// The result of a study as such a page.
std::string study_html(const Study& study, const std::vector<std::string>& commands);

}  // namespace tinytl::cli
