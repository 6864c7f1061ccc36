#include "tinytl/cli/option_checks.h"

#include <fmt/core.h>

namespace tinytl::cli {

void usage_error(const std::string& message) { throw CLI::ValidationError(message); }

CLI::Validator between(double low, double high) {
  const std::string range = fmt::format("{:g} to {:g}", low, high);
  return CLI::Validator(
      [=](std::string& text) {
        double value = 0;
        const bool fits = CLI::detail::lexical_cast(text, value) && low <= value && value <= high;
        return fits ? std::string() : text + " is not a number from " + range;
      },
      "FLOAT, " + range);
}

CLI::Validator whole_number() {
  return CLI::Validator(
      [](std::string& text) {
        constexpr size_t kMostDigits = 18;
        const bool digits = text.find_first_not_of("0123456789") == std::string::npos;
        return digits && !text.empty() && text.size() <= kMostDigits
                   ? std::string()
                   : text + " is not a whole number of at most 18 digits";
      },
      "UINT");
}

}  // namespace tinytl::cli
