// Who waits for a condition: the part of its manager. Pure. First come, first woken; a registration
// is one thread's one wait, and is in the queue from when the manager hears of it until it is
// notified or taken back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>

#include "base/types.hpp"

namespace dsm::sync {

// The `number`th wait that a node registered, at whichever manager. Never used again: what is taken
// back late must not be somebody else's wait.
struct Registration {
  NodeId node{};
  std::uint64_t number = 0;
  bool operator==(const Registration&) const = default;
};

// A value.
class ConditionQueue {
 public:
  void add(Registration waiter) { waiting_.push_back(waiter); }
  // The one that has waited longest, no longer in the queue; nothing when nobody waits.
  std::optional<Registration> take();
  // A waiter does not want to wait any more. False: it is not in the queue, because it has been
  // taken out to be notified.
  bool remove(Registration waiter);
  bool empty() const { return waiting_.empty(); }
  const std::deque<Registration>& waiting() const { return waiting_; }
  bool operator==(const ConditionQueue&) const = default;

 private:
  std::deque<Registration> waiting_;
};

}  // namespace dsm::sync
