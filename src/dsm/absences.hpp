// How long the threads of the program stay away from the wire between two waits. Who comes back at
// once needs nobody to stand in for him: waking the service thread and sending it to sleep again
// costs more than the wait between.
//
// Threads: any; whoever leaves last calls begin(), whoever is back first calls end(). What two
// threads mix up is a wrong guess, and that costs peers no more than nap_max.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>

#include "base/clock.hpp"

namespace dsm {

class Absences {
 public:
  // For so long nobody need look at the wire while somebody is expected back; longer the longer
  // that has gone well, but no longer than a scheduler may keep a thread waiting in any case.
  static constexpr std::chrono::microseconds nap_min{100}, nap_max{1000};

  void begin(MonotonicTime now) {
    since_.store(now.time_since_epoch().count(), std::memory_order_relaxed);
  }
  void end(MonotonicTime now) {
    const std::uint32_t before = short_in_a_row_.load(std::memory_order_relaxed);
    short_in_a_row_.store(lasts(now) <= short_max ? std::min(before + 1, enough) : 0,
                          std::memory_order_relaxed);
    ended_.store(ended() + 1, std::memory_order_relaxed);
  }
  // This one was not.
  void was_long() { short_in_a_row_.store(0, std::memory_order_relaxed); }

  bool are_short() const { return short_in_a_row_.load(std::memory_order_relaxed) == enough; }
  std::uint32_t ended() const { return ended_.load(std::memory_order_relaxed); }
  // REQUIRES: there is one.
  std::chrono::nanoseconds lasts(MonotonicTime now) const {
    return now.time_since_epoch() -
           std::chrono::nanoseconds(since_.load(std::memory_order_relaxed));
  }

 private:
  static constexpr std::chrono::microseconds short_max{50};
  static constexpr std::uint32_t enough = 4;  // in a row: the next one is expected to be short
  static_assert(short_max < nap_min);

  std::atomic<std::int64_t> since_{0};
  std::atomic<std::uint32_t> short_in_a_row_{0};
  std::atomic<std::uint32_t> ended_{0};
};

}  // namespace dsm
