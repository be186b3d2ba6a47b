#include "dsm/waiters.hpp"

#include <algorithm>

#include "base/check.hpp"
#include "base/futex.hpp"

namespace dsm {

Ticket Waiters::take(const Doing& doing) {
  for (std::uint32_t tries = 0; tries < places_max; ++tries) {
    const std::uint32_t i = (hint_.load(std::memory_order_relaxed) + tries) % places_max;
    Place& place = places_[i];
    if (place.taken_.load(std::memory_order_relaxed) ||
        place.taken_.exchange(true, std::memory_order_acquire))
      continue;
    place.what_.store(doing.what, std::memory_order_relaxed);
    place.number_.store(doing.number, std::memory_order_relaxed);
    place.numbered_.store(doing.numbered, std::memory_order_relaxed);
    place.state_.store(Place::waiting, std::memory_order_release);
    return Ticket(i);
  }
  DSM_CHECK_WITH(false, "at most this many threads of one node wait at a time",
                 {"threads", places_max});
}

void Waiters::give(Ticket ticket) {
  hint_.store(static_cast<std::uint32_t>(ticket.value), std::memory_order_relaxed);
  places_[ticket.value].taken_.store(false, std::memory_order_release);
}

void Waiters::wake(Ticket ticket, bool granted) {
  Place& place = places_[ticket.value];
  if (place.state_.exchange(granted ? Place::granted : Place::refused, std::memory_order_acq_rel) ==
      Place::asleep)
    futex_wake_all(place.state_);
}

void Waiters::Place::sleep(std::chrono::nanoseconds limit) {
  std::uint32_t expected = waiting;
  if (!state_.compare_exchange_strong(expected, asleep, std::memory_order_acq_rel) &&
      expected != asleep)
    return;
  futex_wait(state_, asleep, std::min<std::chrono::nanoseconds>(limit, sleep_max));
}

Doing Waiters::someone() const {
  for (const Place& place : places_)
    if (place.taken_.load(std::memory_order_acquire) && !place.done())
      return {place.what_.load(std::memory_order_relaxed),
              place.number_.load(std::memory_order_relaxed),
              place.numbered_.load(std::memory_order_relaxed)};
  return {};
}

}  // namespace dsm
