// Peak of live malloc bytes, for LD_PRELOAD: the same measure of memory for every system.
//   cc -O2 -shared -fPIC -o heap_peak.so heap_peak.c
// heap_reset() takes the live bytes of now as zero; heap_peak() is the largest excess since then.
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <stddef.h>
#include <stdint.h>

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void*, size_t), *__libc_memalign(size_t, size_t);
extern void __libc_free(void*);

static int64_t live, peak, base;

static void* count(void* p) {
  if (!p) return p;
  int64_t now = __atomic_add_fetch(&live, (int64_t)malloc_usable_size(p), __ATOMIC_RELAXED);
  int64_t seen = __atomic_load_n(&peak, __ATOMIC_RELAXED);
  while (now > seen &&
         !__atomic_compare_exchange_n(&peak, &seen, now, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return p;
}

static void discount(void* p) {
  if (p) __atomic_sub_fetch(&live, (int64_t)malloc_usable_size(p), __ATOMIC_RELAXED);
}

void heap_reset(void) { base = peak = live; }
int64_t heap_peak(void) { return peak - base; }

void* malloc(size_t n) { return count(__libc_malloc(n)); }
void* calloc(size_t n, size_t size) { return count(__libc_calloc(n, size)); }
void* memalign(size_t alignment, size_t n) { return count(__libc_memalign(alignment, n)); }
void* aligned_alloc(size_t alignment, size_t n) { return count(__libc_memalign(alignment, n)); }

int posix_memalign(void** p, size_t alignment, size_t n) {
  *p = count(__libc_memalign(alignment, n));
  return *p || n == 0 ? 0 : ENOMEM;
}

void* realloc(void* old, size_t n) {
  size_t old_bytes = old ? malloc_usable_size(old) : 0;
  void* p = __libc_realloc(old, n);
  if (p || n == 0) __atomic_sub_fetch(&live, (int64_t)old_bytes, __ATOMIC_RELAXED);
  return count(p);
}

void free(void* p) {
  discount(p);
  __libc_free(p);
}
