// The threads of this node that wait for the engine: one place each, numbered by a ticket.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>

#include "base/types.hpp"

namespace dsm {

// What a waiting thread is doing, for the line that a lost node leaves.
struct Doing {
  const char* what = "";  // "at a barrier", "for lock", "for page"; static storage
  std::uint64_t number = 0;
  bool numbered = false;
};

// Threads: any. Nothing allocates: used in trap handlers.
class Waiters {
 public:
  static constexpr std::uint32_t places_max = 1024;  // threads of one node that wait at one time

  class Place {
   public:
    bool done() const { return state_.load(std::memory_order_acquire) >= granted; }
    bool was_granted() const { return state_.load(std::memory_order_acquire) == granted; }
    // Sleeps until done, or a while, and no longer than `limit`. The waker wakes it.
    void sleep(std::chrono::nanoseconds limit = sleep_max);

   private:
    friend class Waiters;
    static constexpr std::chrono::milliseconds sleep_max{100};
    static constexpr std::uint32_t waiting = 0, asleep = 1, granted = 2, refused = 3;
    std::atomic<std::uint32_t> state_{waiting};
    std::atomic<bool> taken_{false};
    // A Doing, in parts that another thread may read while the place changes hands.
    std::atomic<const char*> what_{""};
    std::atomic<std::uint64_t> number_{0};
    std::atomic<bool> numbered_{false};
  };

  Ticket take(const Doing& doing);
  void give(Ticket ticket);
  Place& at(Ticket ticket) { return places_[ticket.value]; }
  void wake(Ticket ticket, bool granted);

  // What some thread that has been waiting is doing; empty when nobody waits.
  Doing someone() const;

 private:
  std::array<Place, places_max> places_;
  std::atomic<std::uint32_t> hint_{0};
};

}  // namespace dsm
