// SendRing: which slots of a ring of send buffers are free, when several threads fill slots at
// once, sends leave in another order than that of their slots, and not every send is reported when
// done. Pure; knows no wire.
//
// A sender reserves a slot and fills it outside the lock. Then it posts: sends are numbered in the
// order in which the wire takes them, and every so many one is `signalled`: its report says that
// all up to it are done. Slots are given out and taken back in the ring's order, so a slot that is
// done before an older one waits for it.
//
// A post into a full ring is always signalled: the last one is, at the latest, so whoever waits for
// room is told of some.
//
// Threads: every call by any thread at any time; post() and the handing over to the wire together
// under a lock of the caller's, so that numbers and wire agree.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/mutex.hpp"

namespace dsm::transport {

class SendRing {
 public:
  struct Post {
    std::uint64_t number = 0;
    bool signalled = false;
  };

  // REQUIRES: slots > 0.
  explicit SendRing(std::uint32_t slots)
      : batch_(std::clamp(slots / 4, 1u, batch_max)), done_(slots), posts_(slots) {}

  // A slot; nothing: the ring is full.
  std::optional<std::uint32_t> reserve() {
    MutexLock hold(lock_);
    if (end_ - first_ == done_.size()) return std::nullopt;
    const std::uint64_t slot = end_++ % done_.size();
    done_[slot] = false;
    return static_cast<std::uint32_t>(slot);
  }

  Post post(std::uint32_t slot) {
    MutexLock hold(lock_);
    const std::uint64_t number = posted_++;
    posts_[number % posts_.size()] = slot;
    const bool full = end_ - first_ == done_.size();
    const bool signalled = full || ++unsignalled_ >= batch_;
    if (signalled) unsignalled_ = 0;
    return {number, signalled};
  }

  // The wire reports it. Reports come in order.
  void done(std::uint64_t number) {
    MutexLock hold(lock_);
    for (; reported_ <= number; ++reported_) done_[posts_[reported_ % posts_.size()]] = true;
    while (first_ != end_ && done_[first_ % done_.size()]) ++first_;
  }

  // The wire has dropped all that was posted, and will report none of it.
  void all_done() {
    MutexLock hold(lock_);
    for (; reported_ != posted_; ++reported_) done_[posts_[reported_ % posts_.size()]] = true;
    while (first_ != end_ && done_[first_ % done_.size()]) ++first_;
    unsignalled_ = 0;
  }

  bool is_full() const {
    MutexLock hold(lock_);
    return end_ - first_ == done_.size();
  }

 private:
  static constexpr std::uint32_t batch_max = 16;

  const std::uint32_t batch_;
  mutable Mutex lock_;
  std::vector<char> done_ DSM_GUARDED_BY(lock_);            // by slot
  std::vector<std::uint32_t> posts_ DSM_GUARDED_BY(lock_);  // slots, by number
  std::uint64_t first_ DSM_GUARDED_BY(lock_) = 0;           // [first_, end_) are not free
  std::uint64_t end_ DSM_GUARDED_BY(lock_) = 0;
  std::uint64_t posted_ DSM_GUARDED_BY(lock_) = 0;
  std::uint64_t reported_ DSM_GUARDED_BY(lock_) = 0;
  std::uint32_t unsignalled_ DSM_GUARDED_BY(lock_) = 0;
};

}  // namespace dsm::transport
