#include "sync/shared_lock.hpp"

#include <algorithm>
#include <utility>

#include "base/check.hpp"

namespace dsm::sync {

const char* name_of(SharedState state) {
  switch (state) {
    case SharedState::away:
      return "away";
    case SharedState::entering:
      return "entering";
    case SharedState::may_read:
      return "may_read";
    case SharedState::reading:
      return "reading";
    case SharedState::may_write:
      return "may_write";
    case SharedState::read_here:
      return "read_here";
    case SharedState::writing:
      return "writing";
    case SharedState::leaving:
      return "leaving";
  }
  return "?";
}

SharedState SharedLock::state() const {
  if (entering_) return SharedState::entering;
  if (leaving_) return SharedState::leaving;
  if (permission_ == Mode::none) return SharedState::away;
  if (writing_) return SharedState::writing;
  if (permission_ == Mode::exclusive)
    return readers_ > 0 ? SharedState::read_here : SharedState::may_write;
  return readers_ > 0 ? SharedState::reading : SharedState::may_read;
}

SharedStep SharedLock::acquire(Ticket who, Mode mode) {
  waiting_.push_back({who, mode});
  return advance();
}

bool SharedLock::try_acquire(Mode mode, SharedStep& step) {
  if (waiting_.empty() && may_take(mode)) {
    take(mode);
    return true;
  }
  step.ask = want(mode);
  return false;
}

bool SharedLock::cancel(Ticket who, SharedStep& step) {
  if (std::erase_if(waiting_, [&](const Waiter& w) { return w.who == who; }) == 0) return false;
  step = advance();  // whoever stood behind it may go
  const auto wants = [&](const Waiter& w) { return w.mode >= asked_; };
  if (asked_ != Mode::none && !withdrawing_ &&
      std::none_of(waiting_.begin(), waiting_.end(), wants))
    step.withdraw = withdrawing_ = true;
  return true;
}

SharedStep SharedLock::release(Mode mode) {
  DSM_CHECK(holds(mode), "only a held lock is released");
  if (mode == Mode::exclusive) {
    writing_ = false;
  } else {
    --readers_;
  }
  return advance();
}

void SharedLock::granted(Mode mode, std::uint64_t number) {
  DSM_CHECK_WITH(asked_ == mode && !leaving_, "a permission comes to a node that asked for it",
                 {"number", number});
  asked_ = Mode::none;
  withdrawing_ = false;
  permission_ = mode;
  number_ = number;
  turns_ = 0;
  entering_ = true;
}

SharedStep SharedLock::entered() {
  DSM_CHECK(entering_, "only an arriving permission is entered");
  entering_ = false;
  return advance();
}

SharedStep SharedLock::withdrawn(std::uint64_t request) {
  DSM_CHECK_WITH(withdrawing_ && request == requests_, "a request is withdrawn that was asked back",
                 {"request", request});
  asked_ = Mode::none;
  withdrawing_ = false;
  return advance();
}

SharedStep SharedLock::revoked(std::uint64_t number) {
  revoked_ = std::max(revoked_, number);
  return advance();
}

SharedStep SharedLock::left() {
  DSM_CHECK(leaving_, "only a permission that is given back leaves");
  leaving_ = false;
  permission_ = Mode::none;
  return advance();
}

bool SharedLock::may_take(Mode mode) const {
  if (entering_ || leaving_ || permission_ < mode || writing_) return false;
  if (mode == Mode::exclusive && readers_ > 0) return false;
  return !is_revoked() || turns_ < revoked_turns_max;
}

void SharedLock::take(Mode mode) {
  if (is_revoked()) ++turns_;
  if (mode == Mode::exclusive) {
    writing_ = true;
  } else {
    ++readers_;
  }
}

Mode SharedLock::want(Mode mode) {
  const bool comes = asked_ != Mode::none || entering_;
  if (comes || (!leaving_ && permission_ >= mode)) return Mode::none;
  ++requests_;
  return asked_ = mode;
}

// A permission that was just brought serves at least one thread here before it leaves, if one still
// waits for it.
SharedStep SharedLock::advance() {
  SharedStep step;
  while (!waiting_.empty() && may_take(waiting_.front().mode)) {
    take(waiting_.front().mode);
    step.holders.push_back(waiting_.front().who);
    waiting_.erase(waiting_.begin());
  }
  if (is_revoked() && !entering_ && !leaving_ && readers_ == 0 && !writing_) {
    leaving_ = true;
    step.leave = true;
  }
  if (!waiting_.empty()) step.ask = want(waiting_.front().mode);
  return step;
}

std::string_view SharedLock::broken_invariant() const {
  if (writing_ && readers_ > 0) return "a thread writes while others read";
  if (writing_ && permission_ != Mode::exclusive) return "a thread writes without permission";
  if (readers_ > 0 && permission_ == Mode::none) return "threads read without permission";
  if (leaving_ && (writing_ || readers_ > 0)) return "a permission leaves while it is used";
  if (leaving_ && permission_ == Mode::none) return "no permission leaves";
  if (withdrawing_ && asked_ == Mode::none) return "nothing is withdrawn";
  if (!waiting_.empty() && may_take(waiting_.front().mode)) return "a thread waits for nothing";
  return {};
}

SharedOrders SharedQueue::ask(NodeId who, Mode mode, std::uint64_t request) {
  const Withdrawal own{who, request};
  const bool withdrawn = std::find(early_.begin(), early_.end(), own) != early_.end();
  // A node asks for one thing at a time, so what it withdrew before was granted.
  std::erase_if(early_, [&](const Withdrawal& w) { return w.node == who && w.request <= request; });
  SharedOrders orders;
  orders.withdrawn = withdrawn;
  if (withdrawn) return orders;
  waiting_.push_back({who, mode, request});
  return serve();
}

SharedOrders SharedQueue::withdraw(NodeId who, std::uint64_t request) {
  const auto it = std::find_if(waiting_.begin(), waiting_.end(), [&](const Request& r) {
    return r.node == who && r.number == request;
  });
  SharedOrders orders;
  if (it == waiting_.end()) {
    const auto early = std::find_if(early_.begin(), early_.end(),
                                    [&](const Withdrawal& w) { return w.node == who; });
    if (early == early_.end()) {
      early_.push_back({who, request});
    } else {
      early->request = std::max(early->request, request);
    }
    return orders;
  }
  waiting_.erase(it);
  orders = serve();
  orders.withdrawn = true;
  return orders;
}

SharedOrders SharedQueue::returned(NodeId who) {
  const auto it = std::find_if(holders_.begin(), holders_.end(),
                               [&](const Holder& h) { return h.node == who; });
  DSM_CHECK_WITH(it != holders_.end() && it->revoked, "what was revoked is given back, once",
                 {"node", who.value});
  holders_.erase(it);
  return serve();
}

SharedOrders SharedQueue::serve() {
  SharedOrders orders;
  while (!waiting_.empty()) {
    const Request request = waiting_.front();
    if (!make_way(request, orders)) break;
    waiting_.erase(waiting_.begin());
    // A reader that becomes the writer keeps what it has.
    std::erase_if(holders_, [&](const Holder& h) { return h.node == request.node; });
    holders_.push_back({request.node, request.mode, ++granted_, false});
    orders.grants.push_back({request.node, request.mode, granted_});
  }
  return orders;
}

bool SharedQueue::make_way(const Request& request, SharedOrders& orders) {
  bool free = true;
  for (Holder& h : holders_) {
    const bool together = h.mode == Mode::shared && request.mode == Mode::shared;
    const bool own = h.node == request.node;
    // What it has itself and is about to give back must be here first.
    if ((together || own) && !(own && h.revoked)) continue;
    free = false;
    if (std::exchange(h.revoked, true)) continue;
    orders.revokes.push_back({h.node, h.number});
  }
  return free;
}

std::string_view SharedQueue::broken_invariant() const {
  for (const Holder& h : holders_)
    if (h.mode == Mode::exclusive && holders_.size() > 1) return "a writer is not alone";
  return {};
}

}  // namespace dsm::sync
