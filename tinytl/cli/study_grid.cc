#include "tinytl/cli/study_grid.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <set>

namespace tinytl::cli {
namespace {

NamedOptions named_options(const std::string& text, const char* flag) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw CLI::ValidationError(fmt::format("{} takes NAME=\"OPTIONS\", not {}", flag, text));
  }
  NamedOptions named{text.substr(0, equals), split_words(text.substr(equals + 1))};
  if (named.words.empty()) {
    throw CLI::ValidationError(fmt::format("{} {}: has no options", flag, text));
  }
  return named;
}

std::vector<NamedOptions> all_named(const Words& texts, const char* flag) {
  std::vector<NamedOptions> all;
  for (const std::string& text : texts) all.push_back(named_options(text, flag));
  return all;
}

void check_distinct(const Words& names, const char* what) {
  std::set<std::string> seen;
  for (const std::string& name : names) {
    if (!seen.insert(name).second) {
      throw CLI::ValidationError(
          fmt::format("{} are both called {}; a study needs distinct names", what, name));
    }
  }
}

Words names_of(const Words& paths) {
  Words names;
  for (const std::string& path : paths) names.push_back(study_name(path));
  return names;
}

bool contains(const Words& words, const std::string& word) {
  return std::ranges::find(words, word) != words.end();
}

void append(Words& words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
}

// Everything that the checks of a grid need to know by name.
struct Names {
  Words models, data;
  std::vector<NamedOptions> variants, extras;
};

Names checked_names(const StudyArguments& args) {
  Names names{names_of(args.models), names_of(args.data), all_named(args.variants, "--variant"),
              all_named(args.extras, "--extra")};
  check_distinct(names.models, "two models");
  check_distinct(names.data, "two data sets");
  check_distinct(args.methods, "two methods");
  Words variants;
  for (const NamedOptions& variant : names.variants) variants.push_back(variant.name);
  check_distinct(variants, "two variants");
  for (const std::string& method : args.methods) {
    if (!contains(study_methods(), method)) {
      throw CLI::ValidationError("--methods: " + method + " is none of " +
                                 CLI::detail::join(study_methods(), ", "));
    }
  }
  for (const NamedOptions& extra : names.extras) {
    const bool is_known = contains(names.models, extra.name) || contains(names.data, extra.name) ||
                          contains(args.methods, extra.name);
    if (!is_known) {
      throw CLI::ValidationError("--extra " + extra.name +
                                 ": names no model, data set or method of this study");
    }
  }
  names.variants.insert(names.variants.begin(), NamedOptions{});  // the plain grid
  return names;
}

// What distinguishes runs besides the names: the same text is the same run.
Words options_of(const StudyArguments& args, const Names& names, const StudyRow& row,
                 const Words& variant) {
  Words words{"--epochs", std::to_string(args.epochs), "--batch-size",
              std::to_string(args.batch_size)};
  append(words, args.passed);
  for (const std::string& name : {row.model, row.data, row.method}) {
    for (const NamedOptions& extra : names.extras) {
      if (extra.name == name) append(words, extra.words);
    }
  }
  append(words, variant);
  return words;
}

}  // namespace

const Words& study_methods() {
  static const Words methods{"last", "bias", "lite", "lite+bias", "norm", "full", "sparse"};
  return methods;
}

std::string study_name(const std::string& path) {
  std::filesystem::path place = std::filesystem::path(path).lexically_normal();
  if (!place.has_filename()) place = place.parent_path();  // "photos/"
  if (place.extension() == ".onnx") place = place.stem();
  return place.filename().string();
}

std::vector<StudyRun> grid_of(const StudyArguments& args) {
  const Names names = checked_names(args);
  std::vector<StudyRun> runs;
  const auto add = [&](size_t seed, size_t m, size_t d, const NamedOptions& variant,
                       const std::string& method) {
    StudyRun run;
    run.row.model = names.models[m];
    run.row.data = names.data[d];
    run.row.method = method;
    run.row.variant = variant.name;
    run.row.seed = seed;
    run.row.epochs = static_cast<size_t>(args.epochs);  // no part of the key: in the options
    const Words options = options_of(args, names, run.row, variant.words);
    run.row.options = shell_line(options);
    run.command = {"--model",  args.models[m], "--data", args.data[d],
                   "--update", method,         "--seed", std::to_string(seed)};
    append(run.command, options);
    runs.push_back(std::move(run));
  };
  for (size_t seed = 0; seed < static_cast<size_t>(args.seeds); ++seed) {
    for (size_t m = 0; m < args.models.size(); ++m) {
      for (size_t d = 0; d < args.data.size(); ++d) {
        for (const NamedOptions& variant : names.variants) {
          for (const std::string& method : args.methods) add(seed, m, d, variant, method);
        }
      }
    }
  }
  return runs;
}

Words split_words(const std::string& text) {
  Words words;
  std::string word;
  bool has_word = false;
  char quote = 0;
  for (const char c : text) {
    if (quote != 0) {
      if (c == quote) {
        quote = 0;
      } else {
        word += c;
      }
    } else if (c == '"' || c == '\'') {
      quote = c;
      has_word = true;
    } else if (c == ' ' || c == '\t' || c == '\n') {
      if (has_word) words.push_back(std::move(word));
      word.clear();
      has_word = false;
    } else {
      word += c;
      has_word = true;
    }
  }
  if (quote != 0) throw CLI::ValidationError(text + ": a quote never ends");
  if (has_word) words.push_back(std::move(word));
  return words;
}

std::string shell_line(const Words& words) {
  constexpr const char* kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+./,:@%";
  std::string line;
  for (const std::string& word : words) {
    if (!line.empty()) line += ' ';
    if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) {
      line += word;
      continue;
    }
    line += '\'';
    for (const char c : word) line += c == '\'' ? std::string("'\\''") : std::string(1, c);
    line += '\'';
  }
  return line;
}

}  // namespace tinytl::cli
