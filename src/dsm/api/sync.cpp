// Locks and barriers.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "dsm/api/current.hpp"
#include "dsm/api/misuse.hpp"

namespace dsm {
namespace {

// Locks made without a number count from here, so that they meet no lock that a program numbers.
constexpr std::uint64_t first_own_lock = std::uint64_t{1} << 63;
std::atomic<std::uint64_t> next_lock{first_own_lock};
std::atomic<std::uint64_t> next_shared_lock{first_own_lock};

constexpr const char *kind = "Lock", *shared_kind = "SharedLock";  // in messages

// std::lock() and std::scoped_lock of several locks hold one and try the others; when a try fails
// they let go and wait for the one that was missing. Two nodes that do so with equal delays take
// each other's lock for ever: so who has failed waits a little, more and more, at random, before it
// asks again, while it holds nothing.
class BackOff {
 public:
  void failed() {
    failures_ = std::min(failures_ + 1, doublings_max);
    due_ = true;
  }
  void succeeded() { failures_ = 0; }
  void wait() {
    if (!std::exchange(due_, false)) return;
    if (random_ == 0)
      random_ = reinterpret_cast<std::uintptr_t>(this) ^ static_cast<std::uint64_t>(::getpid())
                                                             << 32;
    random_ = random_ * 6364136223846793005u + 1442695040888963407u;
    const std::uint64_t most_us = shortest_us << failures_;
    std::this_thread::sleep_for(std::chrono::microseconds((random_ >> 33) % most_us));
  }

 private:
  static constexpr std::uint64_t shortest_us = 10;
  static constexpr std::uint32_t doublings_max = 10;
  std::uint32_t failures_ = 0;  // tries since the last that succeeded
  bool due_ = false;
  std::uint64_t random_ = 0;
};
constinit thread_local BackOff back_off;

}  // namespace

Lock::Lock() : number_(next_lock.fetch_add(1)) {}

Lock::Lock(std::uint64_t number) : number_(number) {
  if (number >= first_own_lock)
    throw Error("a lock's number lies below 2^63, not " + std::to_string(number));
}

void Lock::lock() {
  Node& node = api::current("Lock::lock()");
  api::about_to_lock(node, kind, number_);
  back_off.wait();
  node.driver().lock(LockId(number_));
  api::has_locked(node, kind, number_);
}

bool Lock::try_lock() {
  Node& node = api::current("Lock::try_lock()");
  const bool taken = node.driver().try_lock(LockId(number_));
  if (taken) {
    api::has_locked(node, kind, number_);
    back_off.succeeded();
  } else {
    back_off.failed();
  }
  return taken;
}

bool Lock::try_lock_within(std::chrono::nanoseconds time) {
  if (time <= time.zero()) return try_lock();
  Node& node = api::current("Lock::try_lock_for()");
  api::about_to_lock(node, kind, number_);
  back_off.wait();
  if (!node.driver().try_lock_until(LockId(number_), deadline_in(time))) return false;
  api::has_locked(node, kind, number_);
  return true;
}

void Lock::unlock() {
  Node& node = api::current("Lock::unlock()");
  api::about_to_unlock(node, kind, number_);
  if (!node.driver().unlock(LockId(number_)))
    throw Error("Lock::unlock(): no thread of node " + std::to_string(node.self().value) +
                " holds lock " + std::to_string(number_));
}

SharedLock::SharedLock() : number_(next_shared_lock.fetch_add(1)) {}

SharedLock::SharedLock(std::uint64_t number) : number_(number) {
  if (number >= first_own_lock)
    throw Error("a shared lock's number lies below 2^63, not " + std::to_string(number));
}

namespace {

void lock_shared_lock(const char* call, std::uint64_t number, sync::Mode mode) {
  Node& node = api::current(call);
  api::about_to_lock(node, shared_kind, number);
  back_off.wait();
  node.driver().lock(SharedLockId(number), mode);
  api::has_locked(node, shared_kind, number, mode);
}

bool try_shared_lock(const char* call, std::uint64_t number, sync::Mode mode,
                     std::chrono::nanoseconds time) {
  Node& node = api::current(call);
  if (time > time.zero()) {
    api::about_to_lock(node, shared_kind, number);
    back_off.wait();
    if (!node.driver().try_lock_until(SharedLockId(number), mode, deadline_in(time))) return false;
    api::has_locked(node, shared_kind, number, mode);
    return true;
  }
  const bool taken = node.driver().try_lock(SharedLockId(number), mode);
  if (taken) {
    api::has_locked(node, shared_kind, number, mode);
    back_off.succeeded();
  } else {
    back_off.failed();
  }
  return taken;
}

void unlock_shared_lock(const char* call, std::uint64_t number, sync::Mode mode) {
  Node& node = api::current(call);
  api::about_to_unlock(node, shared_kind, number, mode);
  if (!node.driver().unlock(SharedLockId(number), mode))
    throw Error(std::string(call) + ": no thread of node " + std::to_string(node.self().value) +
                " holds shared lock " + std::to_string(number) +
                (mode == sync::Mode::shared ? " to read" : " to write"));
}

}  // namespace

void SharedLock::lock() {
  lock_shared_lock("SharedLock::lock()", number_, sync::Mode::exclusive);
}
bool SharedLock::try_lock() {
  return try_lock_within(std::chrono::nanoseconds::zero());
}
bool SharedLock::try_lock_within(std::chrono::nanoseconds time) {
  return try_shared_lock("SharedLock::try_lock()", number_, sync::Mode::exclusive, time);
}
void SharedLock::unlock() {
  unlock_shared_lock("SharedLock::unlock()", number_, sync::Mode::exclusive);
}
void SharedLock::lock_shared() {
  lock_shared_lock("SharedLock::lock_shared()", number_, sync::Mode::shared);
}
bool SharedLock::try_lock_shared() {
  return try_lock_shared_within(std::chrono::nanoseconds::zero());
}
bool SharedLock::try_lock_shared_within(std::chrono::nanoseconds time) {
  return try_shared_lock("SharedLock::try_lock_shared()", number_, sync::Mode::shared, time);
}
void SharedLock::unlock_shared() {
  unlock_shared_lock("SharedLock::unlock_shared()", number_, sync::Mode::shared);
}

// The last of the node's threads passes the barrier of the job, or of the team, for all of them.
struct Barrier::State {
  State(Team t, int n) : team(std::move(t)), threads(n) {}
  const Team team;
  const int threads;
  std::mutex mutex;
  std::condition_variable passed;
  int arrived = 0;
  std::uint64_t round = 0;
  std::exception_ptr refused;  // the last round's, for every thread
};

Barrier::Barrier(int threads) : Barrier(Team::all(), threads) {}

Barrier::Barrier(Team team, int threads) : state_(nullptr) {
  if (team.empty()) throw Error("a Barrier of a team that this node is not a member of");
  if (threads < 1)
    throw Error("a Barrier needs at least one thread of each node, not " + std::to_string(threads));
  state_ = new State(std::move(team), threads);
}

Barrier::~Barrier() {
  delete state_;
}

void Barrier::arrive_and_wait(CallSite at) {
  std::unique_lock hold(state_->mutex);
  const std::uint64_t round = state_->round;
  if (++state_->arrived < state_->threads) {
    state_->passed.wait(hold, [&] { return state_->round != round; });
  } else {
    hold.unlock();
    std::exception_ptr refused;
    try {
      api::collective({api::Collective::barrier, 1, at}, {},
                      TeamAccess::state(state_->team, "Barrier::arrive_and_wait()"));
    } catch (...) {
      refused = std::current_exception();
    }
    hold.lock();
    state_->refused = refused;
    state_->arrived = 0;
    ++state_->round;
    // With the mutex held: whoever wakes may destroy the barrier.
    state_->passed.notify_all();
  }
  if (state_->refused) std::rethrow_exception(state_->refused);
}

}  // namespace dsm
