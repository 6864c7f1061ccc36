// The two ways this project reports that something is wrong.
#pragma once

#include <stdexcept>
#include <string>

namespace tinytl {

// Bad input: a model, a data set, a scheme, a checkpoint. The message is one line that names what,
// where and how to mend it. The commands print it and exit with code 3.
class InputError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

namespace internal {
[[noreturn]] void assertion_failed(const char* condition, const char* file, int line);
}

}  // namespace tinytl

// A defect of this project, not of its input: prints the condition and aborts, in every build.
#define TT_ASSERT(condition) \
  ((condition) ? (void)0 : ::tinytl::internal::assertion_failed(#condition, __FILE__, __LINE__))
