// Conditions. What they wait with is the caller's: any lock; see condition.hpp.
#include <atomic>
#include <string>

#include "dsm/api/current.hpp"

namespace dsm {
namespace {

// Conditions made without a number count from here, so that they meet none that a program numbers.
constexpr std::uint64_t first_own_condition = std::uint64_t{1} << 63;
std::atomic<std::uint64_t> next_condition{first_own_condition};

}  // namespace

Condition::Condition() : number_(next_condition.fetch_add(1)) {}

Condition::Condition(std::uint64_t number) : number_(number) {
  if (number >= first_own_condition)
    throw Error("a condition's number lies below 2^63, not " + std::to_string(number));
}

std::uint64_t Condition::register_waiter() const {
  return api::current("Condition::wait()").driver().register_at(ConditionId(number_)).value;
}

bool Condition::wait_notified(std::uint64_t waiter, std::chrono::nanoseconds time) const {
  return api::current("Condition::wait()")
      .driver()
      .wait_notified(Ticket(waiter), deadline_in(time));
}

void Condition::refuse() {
  throw Error("Condition::wait() needs its lock held by the thread that waits");
}

void Condition::notify_one() {
  api::current("Condition::notify_one()").driver().notify(ConditionId(number_), false);
}

void Condition::notify_all() {
  api::current("Condition::notify_all()").driver().notify(ConditionId(number_), true);
}

}  // namespace dsm
