// Values that are only reached through their locks, and travel with them. Included by
// <dsm/dsm.hpp>.
#pragma once

#include <mutex>
#include <span>

#include <dsm/lock.hpp>
#include <dsm/memory.hpp>

namespace dsm {

// A T in bound memory with a lock of its own, in the shape of a value that is only reached through
// its lock:
//   dsm::Bound<Account> account;             // collective; zero bytes at first
//   account.lock()->balance += 10;           // locked until the end of the statement
//   { auto a = account.lock(); a->balance = 0; a->owner = 1; }
//   dsm::Bound<Image> image(dsm::Refresh::pull);   // read from its last owner's memory when it is large
// Each takes a page of its own. The memory stays until the end of the Session, or free().
template <typename T>
class Bound {
 public:
  // The T, while this lives. Movable.
  class Access {
   public:
    T& operator*() const { return *value_; }
    T* operator->() const { return value_; }

   private:
    friend class Bound;
    Access(T* value, Lock& lock) : value_(value), hold_(lock) {}
    T* value_;
    std::unique_lock<Lock> hold_;
  };

  explicit Bound(const Placement& placement = Placement::block(), Refresh refresh = Refresh::push,
                 CallSite at = CallSite::here())
      : memory_(allocate<T>(1, placement, Policy::bound, at)) {
    mutex_.bind(memory_, refresh, at);
  }
  explicit Bound(Refresh refresh, CallSite at = CallSite::here())
      : Bound(Placement::block(), refresh, at) {}
  Bound(const Bound&) = delete;
  Bound& operator=(const Bound&) = delete;

  Access lock() { return Access(memory_.data(), mutex_); }
  Lock& mutex() { return mutex_; }           // for try_lock(), time-outs and conditions
  T* get() const { return memory_.data(); }  // to be used under the lock, or behind a barrier
  void free(CallSite at = CallSite::here()) { dsm::free(memory_, at); }  // collective

 private:
  std::span<T> memory_;
  Lock mutex_;
};

}  // namespace dsm
