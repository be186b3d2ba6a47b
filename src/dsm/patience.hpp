// How to wait: spin while a core is free for it, hand the processor over otherwise, sleep when it
// takes long.
#pragma once

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>

#include "base/clock.hpp"

namespace dsm {

// After how many polls in vain the threads of a node yield: learnt from what waiting was good for.
// Who is waited for may share the waiter's core, with more nodes than cores or where a scheduler
// will have it so: then nothing comes before the waiter yields, and soon after. Not so with a
// stranger on that core, who keeps it for long.
//
// Where a system call takes as long as a switch to another process, nothing can be learnt from the
// time that a yield took, and it is too dear to be frequent.
//
// Threads: any.
class Yielding {
 public:
  explicit Yielding(bool learns = yields_are_cheap()) : learns_(learns) {}

  std::uint32_t spins() const { return spins_.load(std::memory_order_relaxed); }
  void was_spun_for() { set(std::min(2 * spins(), spins_max)); }
  void was_yielded_for() {
    if (learns_) set(std::max(spins() / 2, 1u));
  }

  // A yield that took less gave the processor to nobody; one that took more, to somebody who
  // computes.
  static constexpr std::chrono::microseconds hand_over_min{1}, hand_over_max{300};

 private:
  static bool yields_are_cheap() {
    constexpr int tries = 16;
    for (int i = 0; i < tries; ++i) {
      const MonotonicTime before = quick_now();
      ::syscall(SYS_getppid);
      if (quick_now() - before < hand_over_min) return true;
    }
    return false;
  }

  static constexpr std::uint32_t spins_max = 256;
  void set(std::uint32_t spins) {
    if (spins != this->spins()) spins_.store(spins, std::memory_order_relaxed);
  }
  const bool learns_;
  std::atomic<std::uint32_t> spins_{spins_max};
};

class Patience {
 public:
  struct Policy {
    // threads of this node that may spin without taking a core from others
    std::uint32_t spinners = 1;
    std::chrono::microseconds before_sleep{2000};  // spin or yield so long without progress
  };
  // crowded: more threads than spin for free are about; yield at once.
  Patience(const Policy& policy, Yielding& yielding, bool crowded)
      : yielding_(yielding), crowded_(crowded), before_sleep_(policy.before_sleep) {}

  // Something happened: start anew.
  void reset() {
    if (rounds_ != 0 && !crowded_) learn();
    rounds_ = 0;
  }

  // One more time nothing happened. True: it is time to sleep.
  bool exhausted() {
    ++rounds_;
    if (crowded_) {
      ::sched_yield();
    } else if (rounds_ % yielding_.spins() == 0) {
      yield();
    } else {
      handed_over_ = false;
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
  static constexpr std::uint32_t spins_between_looks = 1024;
  static constexpr std::uint32_t yields_between_looks = 32;

  void yield() {
    const MonotonicTime before = quick_now();
    ::sched_yield();
    const auto took = quick_now() - before;
    handed_over_ = took >= Yielding::hand_over_min && took <= Yielding::hand_over_max;
  }

  void learn() { handed_over_ ? yielding_.was_yielded_for() : yielding_.was_spun_for(); }

  static void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }

  Yielding& yielding_;
  const bool crowded_;
  const std::chrono::microseconds before_sleep_;
  std::uint32_t rounds_ = 0;
  bool handed_over_ = false;  // by the last round
  MonotonicTime since_{};
};

}  // namespace dsm
