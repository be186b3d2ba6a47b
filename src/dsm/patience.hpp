// How to wait: spin while a core is free for it, hand the processor over otherwise, sleep when it
// takes long.
#pragma once

#include <sched.h>

#include <chrono>
#include <cstdint>

#include "base/clock.hpp"

namespace dsm {

class Patience {
 public:
  struct Policy {
    // threads of this node that may spin without taking a core from others
    std::uint32_t spinners = 1;
    std::chrono::microseconds before_sleep{2000};  // spin or yield so long without progress
  };
  // crowded: more threads than spin for free are about; yield at once.
  Patience(const Policy& policy, bool crowded)
      : crowded_(crowded), before_sleep_(policy.before_sleep) {}

  // Something happened: start anew.
  void reset() { rounds_ = 0; }

  // One more time nothing happened. True: it is time to sleep.
  bool exhausted() {
    ++rounds_;
    if (crowded_ || rounds_ % spins_between_yields == 0) {
      ::sched_yield();
    } else {
      pause();
    }
    if (before_sleep_ == std::chrono::microseconds::zero()) return true;
    // What comes at once costs no look at the clock, which may be a system call.
    const std::uint32_t looks_every = crowded_ ? yields_between_looks : spins_between_looks;
    if (rounds_ % looks_every != 0) return false;
    const MonotonicTime now = quick_now();
    if (rounds_ == looks_every) since_ = now;
    return now - since_ >= before_sleep_;
  }

 private:
  static constexpr std::uint32_t spins_between_yields = 256;
  static constexpr std::uint32_t spins_between_looks = 1024;
  static constexpr std::uint32_t yields_between_looks = 32;

  static void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }

  const bool crowded_;
  const std::chrono::microseconds before_sleep_;
  std::uint32_t rounds_ = 0;
  MonotonicTime since_{};
};

}  // namespace dsm
