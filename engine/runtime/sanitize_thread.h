// Tells ThreadSanitizer what a library that it does not see into promises: what happened before
// `release` is seen after `acquire` of the same address. Nothing in other builds.
#pragma once

#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#endif

namespace tinytl {

#ifdef __SANITIZE_THREAD__
inline void release_for_sanitizer(void* address) { __tsan_release(address); }
inline void acquire_for_sanitizer(void* address) { __tsan_acquire(address); }
#else
inline void release_for_sanitizer(void*) {}
inline void acquire_for_sanitizer(void*) {}
#endif

}  // namespace tinytl
