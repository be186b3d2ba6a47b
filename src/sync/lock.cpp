#include "sync/lock.hpp"

#include <utility>

#include "base/check.hpp"

namespace dsm::sync {

LockStep Lock::acquire(Ticket who) {
  LockStep step;
  if (try_acquire(who)) {
    step.holder = who;
    return step;
  }
  waiting_.push_back(who);
  return want();
}

LockStep Lock::want() {
  LockStep step;
  if (state_ == LockState::away) {
    state_ = LockState::asked;
    step.ask = true;
  } else if (!waiting_.empty()) {
    return recall();
  }
  return step;
}

LockStep Lock::recall() {
  LockStep step;
  if (state_ == LockState::lent) {
    state_ = LockState::recalled;
    step.recall = true;
  }
  return step;
}

void Lock::lend() {
  DSM_CHECK(state_ == LockState::idle, "only a free lock is lent");
  state_ = LockState::lent;
}

LockStep Lock::returned(bool held) {
  DSM_CHECK(state_ == LockState::recalled, "a lock comes back when it was asked back");
  state_ = LockState::held;
  holder_ = {};
  const bool released = std::exchange(released_, false);
  return held && !released ? LockStep{} : pass_on();
}

bool Lock::try_acquire(Ticket who) {
  if (state_ != LockState::idle) return false;
  state_ = LockState::held;
  holder_ = who;
  return true;
}

LockStep Lock::release() {
  DSM_CHECK(is_held(), "only a held lock is released");
  if (state_ == LockState::held) return pass_on();
  released_ = true;
  return {};
}

void Lock::granted() {
  DSM_CHECK(state_ == LockState::asked, "a token comes only to a node that asked for it");
  state_ = LockState::entering;
  local_turns_ = 0;
}

LockStep Lock::entered() {
  DSM_CHECK(state_ == LockState::entering, "only an arriving token is entered");
  return pass_on();
}

LockStep Lock::forwarded(NodeId next) {
  DSM_CHECK_WITH(successor_ == no_node, "a node has one successor for each time it was the tail",
                 {"next", next.value});
  successor_ = next;
  return state_ == LockState::idle ? pass_on() : recall();
}

LockStep Lock::left() {
  DSM_CHECK(state_ == LockState::leaving, "only a promised token leaves");
  state_ = LockState::away;
  leaving_to_ = no_node;
  return waiting_.empty() ? LockStep{} : want();
}

bool Lock::cancel(Ticket who) {
  return std::erase(waiting_, who) > 0;
}

LockStep Lock::pass_on() {
  LockStep step;
  const bool elsewhere = successor_ != no_node;
  const bool here = !waiting_.empty();
  // A token that was just brought for someone here serves at least one of them before it leaves.
  if (here && (!elsewhere || local_turns_ < local_turns_max)) {
    state_ = LockState::held;
    holder_ = waiting_.front();
    waiting_.erase(waiting_.begin());
    local_turns_ = elsewhere ? local_turns_ + 1 : 0;
    step.holder = holder_;
  } else if (elsewhere) {
    state_ = LockState::leaving;
    leaving_to_ = std::exchange(successor_, no_node);
    step.leave = true;
  } else {
    state_ = LockState::idle;
  }
  return step;
}

}  // namespace dsm::sync
