// InRuntime: while one lives, this thread runs the library's own code, which never touches the
// program view. A trap in such a thread is a bug and stops the process (the engine's locks may be
// held: waiting for a page would never end).
#pragma once

#include <atomic>

namespace dsm::memory {

namespace detail {
// Initial-exec, because a signal handler reads it: a lazily allocated TLS block would call malloc
// there.
inline constinit thread_local int runtime_depth __attribute__((tls_model("initial-exec"))) = 0;
}  // namespace detail

// Nests. Async-signal-safe. Belongs to the thread that made it.
class InRuntime {
 public:
  InRuntime() {
    ++detail::runtime_depth;
    std::atomic_signal_fence(std::memory_order_seq_cst);
  }
  ~InRuntime() {
    std::atomic_signal_fence(std::memory_order_seq_cst);
    --detail::runtime_depth;
  }
  InRuntime(const InRuntime&) = delete;
  InRuntime& operator=(const InRuntime&) = delete;

  static bool here() { return detail::runtime_depth > 0; }
};

}  // namespace dsm::memory
