// Semaphores of the whole job. Included by <dsm/dsm.hpp>.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include <dsm/lock.hpp>

namespace dsm {

// A semaphore of the whole job, in the shape of std::counting_semaphore: threads of any node take
// one of its count, or wait until there is one, first come, first served; any thread may add to it,
// whether it took any or not. The count is kept by one node, its number modulo size().
//
// What a node wrote before its release() is seen by whoever gets one of the count after it: to
// regions of the scope policy, what the releasing *node* wrote (by any of its threads, and since
// the last barrier); to those of the release policy also what it had heard of. So a semaphore hands
// over what lies between a producer and a consumer, and one of count 1 may guard what several
// write.
//
// Numbered apart from locks; like them only its number, and the count that it starts with. All
// nodes give the same: who disagrees with the first that used it gets an Error.
class DSM_API Semaphore {
 public:
  static constexpr std::ptrdiff_t max() noexcept { return 0x7fffffff; }

  // collective: the next number, the same semaphore on every node; it starts with `count`
  explicit Semaphore(std::ptrdiff_t count);
  // the semaphore of this number, made by whoever names it; below 2^63, not collective
  Semaphore(std::ptrdiff_t count, std::uint64_t number);

  void acquire();
  // true when one was free and nobody waited for it
  bool try_acquire();
  // true when it could be had in this time. No time, or less than none, is a try_acquire()
  template <typename Rep, typename Period>
  bool try_acquire_for(const std::chrono::duration<Rep, Period>& time) {
    return try_acquire_within(detail::timeout(time));
  }
  template <typename Clock, typename Duration>
  bool try_acquire_until(const std::chrono::time_point<Clock, Duration>& time) {
    return detail::until(time, [this](auto left) { return try_acquire_within(left); });
  }

  // Adds `count` and lets so many in. Returns when they are: whoever hears of it finds them. Throws
  // Error when `count` is less than one, or the sum would be more than max().
  void release(std::ptrdiff_t count = 1);

  std::uint64_t number() const noexcept { return number_; }

 private:
  bool try_acquire_within(std::chrono::nanoseconds time);
  std::uint64_t number_;
  std::uint64_t initial_;
};

}  // namespace dsm
