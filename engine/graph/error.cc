#include "engine/graph/error.h"

#include <cstdio>
#include <cstdlib>

namespace tinytl::internal {

void assertion_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: internal error: %s does not hold\n", file, line, condition);
  std::abort();
}

}  // namespace tinytl::internal
