// Memory that several processes or program threads store to at the same time: fences, and what
// ThreadSanitizer is told.
#pragma once

#include <atomic>

#if defined(__SANITIZE_THREAD__)
#define DSM_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define DSM_TSAN 1
#endif
#endif
#ifndef DSM_TSAN
#define DSM_TSAN 0
#endif

namespace dsm::transport {

// Orders every earlier load and store before every later one, stores before loads included.
inline void full_fence() {
#if DSM_TSAN
  // ThreadSanitizer knows no fences; a read-modify-write is one on every processor that it runs on.
  static std::atomic<int> word;
  word.fetch_add(1, std::memory_order_seq_cst);
#else
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

// Orders everything but an earlier store and a later load. Costs nothing on x86.
inline void order_fence() {
#if DSM_TSAN
  std::atomic_signal_fence(std::memory_order_acq_rel);
#else
  std::atomic_thread_fence(std::memory_order_acq_rel);
#endif
}

}  // namespace dsm::transport
