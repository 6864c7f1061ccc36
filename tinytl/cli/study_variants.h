// What the variants of a study cost and save against its plain grid.
#pragma once

#include <string>
#include <vector>

#include "tinytl/cli/study_groups.h"

namespace tinytl::cli {

struct VariantCost {
  const StudyGroup *plain = nullptr, *with = nullptr;
  // Of accuracy, in parts of one: the mean over the seeds that both have, each compared with
  // itself, and its standard error (0 of one seed).
  double change = 0, error = 0;
  size_t seeds = 0;
};

// Every variant that has a plain run of the same model, data set, method and seed, in the order of
// the groups.
std::vector<VariantCost> variant_costs(const Study& study);

// A table a variant: a row for each method and model, a column for each data set; in HTML. Empty
// without variants.
std::string variants_html(const Study& study);

}  // namespace tinytl::cli
