#include "engine/runtime/thread_pool.h"

#include <pthreadpool.h>
#include <sched.h>
#include <sys/resource.h>

#include <string>

#include "engine/graph/error.h"
#include "engine/runtime/sanitize_thread.h"

namespace tinytl {
namespace {

struct Task {
  ThreadPool::Function function;
  const void* context;
  char begun = 0, done = 0;  // addresses to name the two moments by
};

void run_part(void* argument, size_t part) {
  Task& task = *static_cast<Task*>(argument);
  acquire_for_sanitizer(&task.begun);
  task.function(task.context, static_cast<int>(part));
  release_for_sanitizer(&task.done);
}

}  // namespace

int usable_processors() {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
}

ThreadPool::ThreadPool(int count) : count_(count) {
  TT_ASSERT(count >= 1);
  if (count == 1) return;
  flags_ = PTHREADPOOL_FLAG_YIELD_WORKERS;  // until the first look
  pool_ = pthreadpool_create(static_cast<size_t>(count));
  if (pool_ != nullptr) return;
  throw InputError("the system does not give " + std::to_string(count) +
                   " threads; lower --threads");
}

ThreadPool::~ThreadPool() {
  if (pool_ != nullptr) pthreadpool_destroy(pool_);
}

// Threads that wait for work by spinning are the quickest to begin, on processors of their own; on
// others they keep the processor from those that have work: 30 ms a call instead of 4 us.
void ThreadPool::look_for_rivals() noexcept {
  constexpr int kRuns = 64;
  if (++runs_ < kRuns) return;
  runs_ = 0;
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  const bool has_rivals = usage.ru_nivcsw != preempted_ || count_ > usable_processors();
  preempted_ = usage.ru_nivcsw;
  flags_ = has_rivals ? PTHREADPOOL_FLAG_YIELD_WORKERS : 0;
}

void ThreadPool::run(int parts, Function function, const void* context) noexcept {
  if (pool_ != nullptr) look_for_rivals();
  Task task{function, context};
  release_for_sanitizer(&task.begun);
  pthreadpool_parallelize_1d(pool_, run_part, &task, static_cast<size_t>(parts), flags_);
  acquire_for_sanitizer(&task.done);
}

}  // namespace tinytl
