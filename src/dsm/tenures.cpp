#include "dsm/tenures.hpp"

#include <sys/timerfd.h>
#include <unistd.h>

#include "base/check.hpp"
#include "base/clock.hpp"

namespace dsm {

Tenures::Tenures() : fd_(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)) {
  DSM_CHECK(fd_ >= 0, "a timer descriptor can be made");
}

Tenures::~Tenures() {
  ::close(fd_);
}

core::Held Tenures::pop() {
  const core::Held held = ring_[first_].held;
  first_ = (first_ + 1) % most;
  --count_;
  return held;
}

std::optional<core::Held> Tenures::begin(const core::Hold& hold) {
  MutexLock lock(mutex_);
  std::optional<core::Held> early;
  if (count_ == most) early = pop();
  ring_[(first_ + count_) % most] = {quick_now() + minimum, {hold.page, hold.tenure}};
  ++count_;
  return early;
}

void Tenures::hasten() {
  MutexLock lock(mutex_);
  if (count_ == 0 || hastened_.load(std::memory_order_relaxed)) return;
  hastened_.store(true, std::memory_order_relaxed);
  set_timer();
}

std::optional<core::Held> Tenures::take_ended() {
  MutexLock lock(mutex_);
  if (count_ > 0 && ring_[first_].end <= quick_now()) return pop();
  if (!hastened_.load(std::memory_order_relaxed)) return std::nullopt;
  if (count_ == 0) hastened_.store(false, std::memory_order_relaxed);
  set_timer();
  return std::nullopt;
}

// To the first end; off when there is none. Setting it makes the descriptor unreadable again.
void Tenures::set_timer() {
  itimerspec when{};
  if (count_ > 0) {
    const auto left = std::chrono::nanoseconds(ring_[first_].end - quick_now()) + slack;
    when.it_value.tv_nsec = left.count() > 0 ? left.count() : 1;
  }
  const int failed = ::timerfd_settime(fd_, 0, &when, nullptr);
  DSM_CHECK(failed == 0, "a timer can be set");
}

}  // namespace dsm
