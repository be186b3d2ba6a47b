// Who may read and who may write: a readers-writer lock among nodes. Pure; sees neither pages nor
// notices.
//
// A node that wants to read or to write asks the lock's *manager* for a *permission*, which it
// keeps after its last thread has let go, so that taking the lock again costs no message. The
// manager serves requests in the order in which they come, readers that follow one another
// together; what stands in the way it revokes. A node gives a permission back only when it is
// revoked, and once for each, so that the two never cross. A reader that asks after a writer waits
// behind it, on its node as at the manager: writers do not starve.
//
// Messages may overtake one another: a permission has a number, and whoever revokes it says which
// one is meant. So has a request: a thread that has waited long enough withdraws it, if no other of
// its node wants the same, and the withdrawal may come first.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/types.hpp"

namespace dsm::sync {

enum class Mode : std::uint8_t { none, shared, exclusive };

// At most this many threads of a node take a permission after it was revoked.
inline constexpr std::uint32_t revoked_turns_max = 4;

enum class SharedState : std::uint8_t {
  away,       // no permission
  entering,   // one came; the caller makes ready (invalidates) before anyone uses it
  may_read,   // shared permission, nobody uses it
  reading,    // ... some do
  may_write,  // exclusive permission, nobody uses it
  read_here,  // ... some read
  writing,    // ... one writes
  leaving,    // revoked and unused; the caller makes ready (publishes) before it goes
};
inline constexpr int shared_state_count = static_cast<int>(SharedState::leaving) + 1;
const char* name_of(SharedState state);

// What the caller must do now; the parts are independent.
struct SharedStep {
  Mode ask = Mode::none;        // send a request to the manager
  bool withdraw = false;        // tell the manager that request number requests() is not wanted
  bool leave = false;           // publish, then left(), and give the permission back
  std::vector<Ticket> holders;  // these threads hold the lock now
  bool operator==(const SharedStep&) const = default;
};

// One lock as one node sees it. A value.
class SharedLock {
 public:
  SharedStep acquire(Ticket who, Mode mode);
  // True: holds it now. False: cannot be had without waiting; `step` then asks for what is missing.
  bool try_acquire(Mode mode, SharedStep& step);
  bool cancel(Ticket who, SharedStep& step);  // false: `who` does not wait; so it holds the lock
  SharedStep release(Mode mode);              // REQUIRES: holds(mode)
  // A permission came. REQUIRES: it was asked for.
  void granted(Mode mode, std::uint64_t number);
  SharedStep entered();  // the caller is ready. REQUIRES: state() == entering
  SharedStep withdrawn(std::uint64_t request);  // the manager will not grant it
  SharedStep revoked(std::uint64_t number);     // also before the permission itself has come
  SharedStep left();                            // it is gone. REQUIRES: state() == leaving

  SharedState state() const;
  bool holds(Mode mode) const { return mode == Mode::exclusive ? writing_ : readers_ > 0; }
  Mode permission() const { return permission_; }
  Mode asked() const { return asked_; }
  std::uint64_t number() const { return number_; }
  std::uint64_t requests() const { return requests_; }
  std::size_t waiting() const { return waiting_.size(); }
  std::string_view broken_invariant() const;
  template <typename Mix>
  void hash(Mix mix) const;
  bool operator==(const SharedLock&) const = default;

 private:
  struct Waiter {
    Ticket who{};
    Mode mode = Mode::shared;
    bool operator==(const Waiter&) const = default;
  };

  SharedStep advance();            // whatever has become possible
  bool may_take(Mode mode) const;  // nothing stands in its way on this node
  void take(Mode mode);
  bool is_revoked() const { return permission_ != Mode::none && revoked_ == number_; }
  Mode want(Mode mode);  // what to ask for

  Mode permission_ = Mode::none;
  Mode asked_ = Mode::none;
  bool withdrawing_ = false;    // what was asked for: it comes, or is withdrawn
  std::uint64_t requests_ = 0;  // made so far
  std::uint64_t number_ = 0;    // of the permission
  std::uint64_t revoked_ = 0;   // the last one that was revoked
  std::uint32_t turns_ = 0;     // taken since it was revoked
  std::uint32_t readers_ = 0;
  bool writing_ = false;
  bool entering_ = false;
  bool leaving_ = false;
  std::vector<Waiter> waiting_;  // threads of this node, oldest first
};

template <typename Mix>
void SharedLock::hash(Mix mix) const {
  mix(static_cast<std::uint64_t>(permission_) | static_cast<std::uint64_t>(asked_) << 4 |
      std::uint64_t{writing_} << 8 | std::uint64_t{entering_} << 9 | std::uint64_t{leaving_} << 10 |
      std::uint64_t{withdrawing_} << 11 | std::uint64_t{turns_} << 16 |
      std::uint64_t{readers_} << 32);
  mix(requests_);
  mix(number_);
  mix(revoked_);
  for (const Waiter& w : waiting_) mix(w.who.value * 4 + static_cast<std::uint64_t>(w.mode));
}

// What the manager does next; first the revocations, then the grants.
struct SharedOrders {
  struct Grant {
    NodeId to{};
    Mode mode = Mode::none;
    std::uint64_t number = 0;
    bool operator==(const Grant&) const = default;
  };
  struct Revoke {
    NodeId from{};
    std::uint64_t number = 0;
    bool operator==(const Revoke&) const = default;
  };
  std::vector<Revoke> revokes;
  std::vector<Grant> grants;
  bool withdrawn = false;  // tell the node that its request will not be granted
};

// The manager's part: who has permissions, and who waits for one. A value.
class SharedQueue {
 public:
  SharedOrders ask(NodeId who, Mode mode, std::uint64_t request);
  SharedOrders withdraw(NodeId who, std::uint64_t request);
  SharedOrders returned(NodeId who);  // REQUIRES: its permission was revoked

  struct Holder {
    NodeId node{};
    Mode mode = Mode::none;
    std::uint64_t number = 0;
    bool revoked = false;
    bool operator==(const Holder&) const = default;
  };
  const std::vector<Holder>& holders() const { return holders_; }
  std::size_t waiting() const { return waiting_.size(); }
  std::string_view broken_invariant() const;
  template <typename Mix>
  void hash(Mix mix) const;
  bool operator==(const SharedQueue&) const = default;

 private:
  struct Request {
    NodeId node{};
    Mode mode = Mode::none;
    std::uint64_t number = 0;
    bool operator==(const Request&) const = default;
  };
  struct Withdrawal {
    NodeId node{};
    std::uint64_t request = 0;
    bool operator==(const Withdrawal&) const = default;
  };
  SharedOrders serve();
  // Revokes what stands in the way of the request; true when nothing does.
  bool make_way(const Request& request, SharedOrders& orders);

  std::vector<Holder> holders_;
  std::vector<Request> waiting_;  // oldest first
  // of requests that have not come yet, or that were granted; one a node at most
  std::vector<Withdrawal> early_;
  std::uint64_t granted_ = 0;  // permissions so far
};

template <typename Mix>
void SharedQueue::hash(Mix mix) const {
  for (const Holder& h : holders_)
    mix(h.number), mix(std::uint64_t{h.node.value} << 8 | static_cast<std::uint64_t>(h.mode) << 1 |
                       std::uint64_t{h.revoked});
  for (const Request& r : waiting_)
    mix(std::uint64_t{r.node.value} << 8 | static_cast<std::uint64_t>(r.mode)), mix(r.number);
  for (const Withdrawal& w : early_) mix(w.node.value), mix(w.request);
  mix(granted_);
}

}  // namespace dsm::sync
