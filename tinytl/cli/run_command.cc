#include <fmt/core.h>

#include "tinytl/cli/arguments.h"

namespace tinytl::cli {

int run_command(CLI::App& app, int argc, char** argv, const std::function<int()>& body) {
  app.failure_message([](const CLI::App* failed, const CLI::Error& error) {
    return fmt::format("{}: {}; see --help\n", failed->get_name(), error.what());
  });
  try {
    app.parse(argc, argv);
    const int code = body();
    if (std::fflush(stdout) != 0) throw InputError("standard output cannot be written");
    return code;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kDone : kUsage;
  } catch (const BudgetError& error) {
    std::fflush(stdout);
    fmt::print(stderr, "{}: {}\n", app.get_name(), error.what());
    return kOverBudget;
  } catch (const InputError& error) {
    std::fflush(stdout);  // so that a log has the error last
    fmt::print(stderr, "{}: {}\n", app.get_name(), error.what());
    return kBadInput;
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "{}: out of memory; lower --batch-size\n", app.get_name());
    return kBadInput;
  } catch (const std::exception& error) {
    std::fflush(stdout);  // so that a log has the error last
    fmt::print(stderr, "{}: {}\n", app.get_name(), error.what());
    return kBadInput;
  }
}

}  // namespace tinytl::cli
