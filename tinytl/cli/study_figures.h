// The figures of a study, each an SVG of 1200 pixels' width to stand in the page.
#pragma once

#include <string>

#include "tinytl/cli/study_groups.h"

namespace tinytl::cli {

// Accuracy against training memory, a panel a data set: colour by method, mark by model, hollow
// where it is a variant, bars from the lowest to the highest seed, the Pareto front as steps with
// its points named; a line at the budget, if there is one.
std::string front_figure(const Study& study, size_t budget_bytes = 0);
// The same as a file for paper and slides: with a heading and style, light.
std::string front_file(const Study& study);

// A value over the epochs, a panel for each model and data set: the mean over the seeds of the
// plain methods as a line, named at its end, and the band that the seeds span.
std::string curves_figure(const Study& study, std::vector<double> StudyRow::*values,
                          const std::string& label, double unit);

// What training memory consists of, a bar a method, and what the process really grew by.
std::string parts_figure(const Study& study);

// The bytes alive over a step, a panel a method, a row a model.
std::string timeline_figure(const Study& study);

}  // namespace tinytl::cli
