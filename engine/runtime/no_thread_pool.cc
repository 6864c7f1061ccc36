// In builds without pthreadpool: one thread.

#include <string>

#include "engine/graph/error.h"
#include "engine/runtime/thread_pool.h"

namespace tinytl {

int usable_processors() { return 1; }

ThreadPool::ThreadPool(int count) : count_(count) {
  if (count == 1) return;
  throw InputError(std::to_string(count) +
                   " threads: this build has no pthreadpool and computes in one; leave out "
                   "--threads, or install libpthreadpool-dev and build again");
}

ThreadPool::~ThreadPool() = default;

void ThreadPool::run(int parts, Function function, const void* context) noexcept {
  for (int part = 0; part < parts; ++part) function(context, part);
}

}  // namespace tinytl
