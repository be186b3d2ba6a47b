// When tenures end: a page of a sequential region that came for a trapped thread is not given back
// before that thread has been at its access for a little while (PROTOCOL.md D21;
// on_sequential.cpp).
//
// Ends are told late, or never, while nobody wants a page: most are found to be long over when
// somebody does. Then (hasten) they are due, for whoever polls, and for the service thread, which
// sleeps on fd() too.
//
// Threads: any. Nothing allocates: used in trap handlers.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>

#include "base/clock.hpp"
#include "base/mutex.hpp"
#include "base/types.hpp"
#include "dsm/core/effect.hpp"
#include "dsm/core/event.hpp"

namespace dsm {

class Tenures {
 public:
  // From the thread's return to its access: long enough for the access and for a few more like it,
  // short beside what it costs to bring the page back.
  static constexpr std::chrono::microseconds minimum{20};

  Tenures();
  ~Tenures();
  Tenures(const Tenures&) = delete;
  Tenures& operator=(const Tenures&) = delete;

  // It begins now. Another one ends for it, early, where there are too many.
  std::optional<core::Held> begin(const core::Hold& hold);
  // Somebody waits for one that has begun.
  void hasten();
  // One that is over; nothing when there is none.
  std::optional<core::Held> take_ended();
  // Somebody waits: take_ended() may find something at any time.
  bool hastened() const { return hastened_.load(std::memory_order_relaxed); }
  // Readable soon after one that is hastened has ended, and until take_ended() finds no more.
  int fd() const { return fd_; }

 private:
  struct Tenure {
    MonotonicTime end;
    core::Held held;
  };
  static constexpr std::size_t most = 256;  // a power of two
  // Who polls is earlier than the timer, and then the service thread sleeps on.
  static constexpr std::chrono::microseconds slack{10};

  core::Held pop() DSM_REQUIRES(mutex_);
  void set_timer() DSM_REQUIRES(mutex_);

  int fd_ = -1;
  std::atomic<bool> hastened_{false};
  Mutex mutex_;
  std::array<Tenure, most> ring_ DSM_GUARDED_BY(mutex_);  // in order of their ends
  std::size_t first_ DSM_GUARDED_BY(mutex_) = 0;
  std::size_t count_ DSM_GUARDED_BY(mutex_) = 0;
};

}  // namespace dsm
