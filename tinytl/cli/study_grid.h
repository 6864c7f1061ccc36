// What a study consists of: every model, data set, method, variant and seed, as commands to run.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <string>
#include <vector>

#include "tinytl/cli/study_row.h"

namespace tinytl::cli {

using Words = std::vector<std::string>;

// The methods of --update, in the order in which they are drawn and run.
const Words& study_methods();

// A name and options that belong to it: `cars66="--squash"`.
struct NamedOptions {
  std::string name;
  Words words;
};

struct StudyArguments {
  Words models, data;
  Words methods = {"last", "bias", "full"};
  Words variants, extras;  // as given: NAME="OPTIONS"
  int64_t seeds = 3, epochs = 15, batch_size = 8;
  std::string out;
  int64_t jobs = 1;
  bool render_only = false;
  std::string train_command;  // empty: the tinytl-train beside this command
  Words passed;               // to every run, behind --
};

// One run: `row` has its key, `command` is everything but the program and what is of this machine
// (where the report and what was learnt go).
struct StudyRun {
  StudyRow row;
  Words command;
};

// Seeds outermost, so that an interrupted study has seen every method. Options of a data set, a
// method or a model come behind those of all, and those of a variant last. Throws
// CLI::ValidationError on a name that is no method, twice the same name of a model, data set or
// variant, and --extra NAME that names none of them.
std::vector<StudyRun> grid_of(const StudyArguments& args);

// As a shell would: separated by blanks, '...' and "..." keep theirs. Throws CLI::ValidationError
// on a quote that never ends.
Words split_words(const std::string& text);

// One line for a shell, quoted where a shell needs it.
std::string shell_line(const Words& words);

// The name of a model or data set in a study: the last part of its path, without ".onnx".
std::string study_name(const std::string& path);

}  // namespace tinytl::cli
