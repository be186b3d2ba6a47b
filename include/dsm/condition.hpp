// Conditions of the whole job. Included by <dsm/dsm.hpp>.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <utility>

#include <dsm/job.hpp>

namespace dsm {

// A condition of the whole job, in the shape of std::condition_variable_any: threads of any node
// wait for it with any lock that has lock() and unlock(), a dsm::Lock or a std::unique_lock of one.
// Who notifies with that lock held misses nobody who waits. First come, first woken. As with the
// standard's, a wait may end for nothing: use a predicate. A condition is only its number.
class DSM_API Condition {
 public:
  Condition();  // collective: the next number, the same condition on every node
  explicit Condition(std::uint64_t number);  // below 2^63, not collective

  void notify_one();
  void notify_all();

  // REQUIRES: this thread holds `lock`; it does so again afterwards, also when this throws. Error
  // when the lock says that it is not held.
  template <typename L>
  void wait(L& lock) {
    (void)wait_within(lock, std::chrono::nanoseconds::max());
  }
  template <typename L, typename Predicate>
  void wait(L& lock, Predicate predicate) {
    while (!predicate()) wait(lock);
  }
  template <typename L, typename Rep, typename Period>
  std::cv_status wait_for(L& lock, const std::chrono::duration<Rep, Period>& time) {
    return wait_within(lock, nanoseconds_of(time));
  }
  template <typename L, typename Rep, typename Period, typename Predicate>
  bool wait_for(L& lock, const std::chrono::duration<Rep, Period>& time, Predicate predicate) {
    return wait_until(lock, end_of(nanoseconds_of(time)), std::move(predicate));
  }
  template <typename L, typename Clock, typename Duration>
  std::cv_status wait_until(L& lock, const std::chrono::time_point<Clock, Duration>& time) {
    return wait_within(lock, nanoseconds_of(time - Clock::now()));
  }
  template <typename L, typename Clock, typename Duration, typename Predicate>
  bool wait_until(L& lock, const std::chrono::time_point<Clock, Duration>& time,
                  Predicate predicate) {
    while (!predicate())
      if (wait_until(lock, time) == std::cv_status::timeout) return predicate();
    return true;
  }

  std::uint64_t number() const noexcept { return number_; }

 private:
  // Longer than any job: what does not fit is for ever.
  template <typename Rep, typename Period>
  static std::chrono::nanoseconds nanoseconds_of(const std::chrono::duration<Rep, Period>& time) {
    constexpr std::chrono::hours longest{24 * 365 * 100};
    return std::chrono::duration<double>(time) > longest
               ? std::chrono::nanoseconds::max()
               : std::chrono::duration_cast<std::chrono::nanoseconds>(time);
  }
  static std::chrono::steady_clock::time_point end_of(std::chrono::nanoseconds time) {
    return time == time.max() ? std::chrono::steady_clock::time_point::max()
                              : std::chrono::steady_clock::now() + time;
  }

  // The waiter is registered before the lock goes, and waits when it is gone.
  template <typename L>
  std::cv_status wait_within(L& lock, std::chrono::nanoseconds time) {
    if constexpr (requires { lock.owns_lock(); })
      if (!lock.owns_lock()) refuse();
    const std::uint64_t waiter = register_waiter();
    try {
      lock.unlock();
    } catch (...) {
      (void)wait_notified(waiter, std::chrono::nanoseconds::zero());
      throw;
    }
    const bool notified = wait_notified(waiter, time);
    lock.lock();
    return notified ? std::cv_status::no_timeout : std::cv_status::timeout;
  }
  std::uint64_t register_waiter() const;
  bool wait_notified(std::uint64_t waiter, std::chrono::nanoseconds time) const;
  [[noreturn]] static void refuse();

  std::uint64_t number_;
};

}  // namespace dsm
