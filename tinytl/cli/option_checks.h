// Checks of option values that CLI11 does not have.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace tinytl::cli {

// Exit code 2.
[[noreturn]] void usage_error(const std::string& message);

inline constexpr double kLargest = 1e38;

// A number from `low` to `high`; CLI::Range lets "nan" through.
CLI::Validator between(double low, double high);
// At most 18 digits: CLI11 would read "-1" and numbers too large as 2^64 - 1.
CLI::Validator whole_number();

}  // namespace tinytl::cli
