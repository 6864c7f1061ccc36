// The threads that compute the parts of a node.
#pragma once

#include <cstdint>

struct pthreadpool;

namespace tinytl {

class ThreadPool {
 public:
  static constexpr int kMost = 64;  // threads

  // `count` threads, the caller's among them: one thread makes none. Throws InputError for more
  // than one where this build knows no thread library, or the system gives no threads.
  explicit ThreadPool(int count);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int count() const { return count_; }

  // function(context, part) for every part below `parts`, at the same time where there are threads,
  // and returns when all are done. What the caller wrote before, every part sees, and the other way
  // round. Allocates nothing; not to be called by two threads at once. Costs 0.3 us for two threads
  // on two free processors, 4 us where other programs want them too.
  using Function = void (*)(const void* context, int part);
  void run(int parts, Function function, const void* context) noexcept;

  // For libraries that take one; null for one thread.
  pthreadpool* handle() const { return pool_; }

 private:
  void look_for_rivals() noexcept;

  const int count_;
  pthreadpool* pool_ = nullptr;
  uint32_t flags_ = 0;
  int runs_ = 0;        // since the last look
  long preempted_ = 0;  // times that the calling thread lost its processor, at that look
};

// That this process may run on; 1 where threads would not help because there is no library for
// them.
int usable_processors();

}  // namespace tinytl
