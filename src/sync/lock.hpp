// Who may hold a lock next. Pure; sees neither pages nor notices: what travels with a lock's token
// is the caller's business.
//
// Each lock has one *token*. Whoever has it may let its threads take the lock in turn without a
// message. A node without the token asks the lock's *manager*, which keeps only the tail of the
// queue: it forwards the request to the node that asked last, and that node hands the token to its
// successor as soon as it can. (The queue of Mellor-Crummey and Scott, 1991, with nodes for
// processors.) Messages may overtake one another.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/types.hpp"

namespace dsm::sync {

// At most this many hand-overs between threads of one node while another node waits.
inline constexpr std::uint32_t local_turns_max = 4;

enum class LockState : std::uint8_t {
  away,   // the token is elsewhere and nobody here asked
  asked,  // the manager was asked
  // the token is here; the caller makes ready (invalidates) before anyone may hold the lock
  entering,
  held,     // by a thread of this node
  idle,     // the token is here, the lock is free
  leaving,  // promised to `leaving_to`; the caller makes ready (publishes) before it goes
  // the token is here; the caller lets threads take and release the lock without a word
  lent,
  recalled,  // the caller is about to say whether such a thread holds it
};

// What the caller must do now. Several may be set; they are independent.
struct LockStep {
  bool ask = false;              // send a request to the manager
  bool leave = false;            // publish, then left(), and send the token to leaving_to()
  bool recall = false;           // take it back from where it was lent, then returned()
  std::optional<Ticket> holder;  // this thread holds the lock now
  bool operator==(const LockStep&) const = default;
};

// One lock as one node sees it. A value.
class Lock {
 public:
  // `here`: the token is made here (at the manager).
  explicit Lock(bool here = false) : state_(here ? LockState::idle : LockState::away) {}

  LockStep acquire(Ticket who);  // a thread wants the lock
  // nobody waits, but the token would be welcome (after a failed try)
  LockStep want();
  bool try_acquire(Ticket who);     // true: holds it now; false: cannot be had without waiting
  LockStep release();               // REQUIRES: is_held()
  void lend();                      // REQUIRES: state() == idle
  LockStep returned(bool held);     // REQUIRES: state() == recalled
  void granted();                   // the token came. REQUIRES: state() == asked
  LockStep entered();               // the caller is ready. REQUIRES: state() == entering
  LockStep forwarded(NodeId next);  // the manager names our successor
  LockStep left();                  // the token is gone. REQUIRES: state() == leaving
  // A thread has waited long enough. False: it does not wait; so it holds the lock. What was asked
  // for stays asked for: a token that comes for nobody stays here or goes on.
  bool cancel(Ticket who);

  LockState state() const { return state_; }
  // As far as is known here. A recalled lock may be: its release may come before returned().
  bool is_held() const {
    return state_ == LockState::held || (state_ == LockState::recalled && !released_);
  }
  NodeId leaving_to() const { return leaving_to_; }
  Ticket holder() const { return holder_; }
  NodeId successor() const { return successor_; }
  const std::vector<Ticket>& waiting() const { return waiting_; }
  template <typename Mix>
  void hash(Mix mix) const;
  bool operator==(const Lock&) const = default;

 private:
  LockStep pass_on();  // the lock became free here
  LockStep recall();

  LockState state_;
  NodeId successor_ = no_node;
  NodeId leaving_to_ = no_node;
  Ticket holder_{};
  std::uint32_t local_turns_ = 0;
  bool released_ = false;        // recalled: the release came first
  std::vector<Ticket> waiting_;  // threads of this node, oldest first
};

template <typename Mix>
void Lock::hash(Mix mix) const {
  mix(static_cast<std::uint64_t>(state_) | std::uint64_t{released_} << 8 |
      std::uint64_t{local_turns_} << 16);
  mix(std::uint64_t{successor_.value} << 32 | leaving_to_.value);
  mix(holder_.value);
  mix(waiting_.size());
  for (const Ticket t : waiting_) mix(t.value);
}

// The manager's part: the end of the queue. A value.
class LockQueue {
 public:
  explicit LockQueue(NodeId manager) : tail_(manager) {}
  // Appends; returns the node that will hand the token to `who`.
  NodeId append(NodeId who) {
    const NodeId before = tail_;
    tail_ = who;
    return before;
  }
  NodeId tail() const { return tail_; }
  bool operator==(const LockQueue&) const = default;

 private:
  NodeId tail_;
};

}  // namespace dsm::sync
