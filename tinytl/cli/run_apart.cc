#include "tinytl/cli/run_apart.h"

#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>

#include "engine/graph/error.h"

namespace tinytl::cli {
namespace {

// The first character of what the child writes.
enum Outcome : char {
  kResult = 'r',
  kInputError = 'i',
  kUsageError = 'u',
  kOutOfMemory = 'm',
  kOtherError = 'o'
};

std::string outcome_of(const std::function<std::string()>& work) {
  try {
    return static_cast<char>(kResult) + work();
  } catch (const InputError& error) {
    return static_cast<char>(kInputError) + std::string(error.what());
  } catch (const CLI::ValidationError& error) {
    return static_cast<char>(kUsageError) + std::string(error.what());
  } catch (const std::bad_alloc&) {
    return std::string(1, kOutOfMemory);
  } catch (const std::exception& error) {
    return static_cast<char>(kOtherError) + std::string(error.what());
  }
}

[[noreturn]] void write_and_exit(int file, const std::string& text) {
  for (size_t done = 0; done < text.size();) {
    const ssize_t written = write(file, text.data() + done, text.size() - done);
    if (written < 0 && errno != EINTR) _exit(1);
    if (written > 0) done += static_cast<size_t>(written);
  }
  _exit(0);
}

std::string read_all(int file) {
  std::string text;
  char part[4096];
  for (;;) {
    const ssize_t count = read(file, part, sizeof part);
    if (count == 0) return text;
    if (count < 0 && errno != EINTR) return "";
    if (count > 0) text.append(part, static_cast<size_t>(count));
  }
}

}  // namespace

std::string run_apart(const std::function<std::string()>& work) {
  int ends[2];
  if (pipe(ends) != 0) return work();
  std::fflush(nullptr);  // or the child would print it too
  const pid_t child = fork();
  if (child < 0) {
    close(ends[0]);
    close(ends[1]);
    return work();
  }
  if (child == 0) {
    close(ends[0]);
    write_and_exit(ends[1], outcome_of(work));
  }
  close(ends[1]);
  std::string text = read_all(ends[0]);
  close(ends[0]);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || text.empty()) {
    throw InputError("planning was stopped before it ended; out of memory?");
  }
  const char outcome = text[0];
  text.erase(0, 1);
  if (outcome == kInputError) throw InputError(text);
  if (outcome == kUsageError) throw CLI::ValidationError(text);
  if (outcome == kOutOfMemory) throw std::bad_alloc();
  if (outcome == kOtherError) throw std::runtime_error(text);
  return text;
}

}  // namespace tinytl::cli
