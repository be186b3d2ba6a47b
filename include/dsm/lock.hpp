// Locks of the whole job. Included by <dsm/dsm.hpp>.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>

#include <dsm/job.hpp>

namespace dsm {

namespace detail {

// A time-out as the library counts it: zero and less is "do not wait", too long to count is "for
// ever".
template <typename Rep, typename Period>
std::chrono::nanoseconds timeout(const std::chrono::duration<Rep, Period>& time) {
  using Seconds = std::chrono::duration<double>;
  if (!(time > time.zero())) return std::chrono::nanoseconds::zero();
  if (Seconds(time) >= Seconds(std::chrono::nanoseconds::max()) / 4)
    return std::chrono::nanoseconds::max();
  return std::chrono::ceil<std::chrono::nanoseconds>(time);
}

// Repeats try_for(what is left of the time) until it succeeds or a clock says that it is `time`.
template <typename Clock, typename Duration, typename Try>
bool until(const std::chrono::time_point<Clock, Duration>& time, Try try_for) {
  for (;;) {
    const auto now = Clock::now();
    if (time <= now) return try_for(std::chrono::nanoseconds::zero());
    if (try_for(timeout(time - now))) return true;
  }
}

}  // namespace detail

// How what is bound to a lock gets to the lock's next owner.
enum class Refresh : std::uint8_t {
  // Its last owner sends it, in the message that hands the lock over: nothing is faster for what is
  // small.
  push,
  // The next owner reads it from the last owner's memory, one-sided: one round trip more, and the
  // last owner's processor copies nothing. For what is large.
  pull,
};

// A lock of the whole job, in the shape of std::timed_mutex (std::scoped_lock and std::unique_lock
// work). One thread of one node holds it at a time; it is handed over fairly. Not recursive. A lock
// is only its number, so it is cheap to make and to copy.
class DSM_API Lock {
 public:
  // collective: the next number, the same lock on every node
  Lock();
  // the lock of this number, made by whoever names it; below 2^63, not collective
  explicit Lock(std::uint64_t number);
  void lock();
  // true when it was free here or could be had without waiting for another holder
  bool try_lock();
  // true when it could be had in this time. No time, or less than none, is a try_lock()
  template <typename Rep, typename Period>
  bool try_lock_for(const std::chrono::duration<Rep, Period>& time) {
    return try_lock_within(detail::timeout(time));
  }
  template <typename Clock, typename Duration>
  bool try_lock_until(const std::chrono::time_point<Clock, Duration>& time) {
    return detail::until(time, [this](auto left) { return try_lock_within(left); });
  }
  void unlock();  // throws Error when this node does not hold it
  std::uint64_t number() const noexcept { return number_; }

  // Collective, on the lock of this number: from now on what these bytes hold comes with the lock
  // (Policy::bound, of whose regions they must be part). Nothing else is bound there, and nobody
  // holds the lock meanwhile. Bindings end with their region. A lock carries at most 16 MiB; what
  // is bound comes as a whole, so bind what is used together. One lock may have some of it pushed,
  // and some pulled.
  void bind_bytes(const void* memory, std::size_t bytes, Refresh refresh = Refresh::push,
                  CallSite at = CallSite::here());
  template <typename T, std::size_t Extent>
  void bind(std::span<T, Extent> memory, Refresh refresh = Refresh::push,
            CallSite at = CallSite::here()) {
    bind_bytes(memory.data(), memory.size_bytes(), refresh, at);
  }

 private:
  bool try_lock_within(std::chrono::nanoseconds time);
  std::uint64_t number_;
};

// A lock of the whole job for readers and writers, in the shape of std::shared_timed_mutex
// (std::shared_lock, std::unique_lock and std::scoped_lock work): many threads of many nodes hold
// it to read, or one to write. It is handed over fairly: who asks to read after a writer waits
// behind it, so do not take it to read twice in one thread. A writer's writes are seen by every
// holder after it, and so are those of a reader (to memory that is its own) by the next writer. A
// node that has held it takes it again without a message until another node wants it otherwise. A
// writer whose time is up holds nobody up any more; one whose try failed counts as waiting until
// the readers that it met have left. Numbered apart from Locks, and like them only its number.
class DSM_API SharedLock {
 public:
  // collective: the next number, the same lock on every node
  SharedLock();
  // the lock of this number, made by whoever names it; below 2^63, not collective
  explicit SharedLock(std::uint64_t number);

  void lock();  // to write
  bool try_lock();
  template <typename Rep, typename Period>
  bool try_lock_for(const std::chrono::duration<Rep, Period>& time) {
    return try_lock_within(detail::timeout(time));
  }
  template <typename Clock, typename Duration>
  bool try_lock_until(const std::chrono::time_point<Clock, Duration>& time) {
    return detail::until(time, [this](auto left) { return try_lock_within(left); });
  }
  void unlock();  // throws Error when no thread of this node holds it to write

  void lock_shared();  // to read
  bool try_lock_shared();
  template <typename Rep, typename Period>
  bool try_lock_shared_for(const std::chrono::duration<Rep, Period>& time) {
    return try_lock_shared_within(detail::timeout(time));
  }
  template <typename Clock, typename Duration>
  bool try_lock_shared_until(const std::chrono::time_point<Clock, Duration>& time) {
    return detail::until(time, [this](auto left) { return try_lock_shared_within(left); });
  }
  void unlock_shared();  // throws Error when no thread of this node holds it to read

  std::uint64_t number() const noexcept { return number_; }

 private:
  bool try_lock_within(std::chrono::nanoseconds time);
  bool try_lock_shared_within(std::chrono::nanoseconds time);
  std::uint64_t number_;
};

}  // namespace dsm
