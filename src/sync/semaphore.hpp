// How many may go on: the part of a semaphore's manager. Pure. First come, first served: a count is
// free only while nobody waits for one. A request is one thread's one acquire, and is in the queue
// from when the manager hears of it until it is granted or taken back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string_view>
#include <vector>

#include "base/types.hpp"

namespace dsm::sync {

inline constexpr std::uint64_t semaphore_count_max = (std::uint64_t{1} << 31) - 1;

// The `number`th call of a node, at whichever manager; never used again.
struct SemaphoreRequest {
  NodeId node{};
  std::uint64_t number = 0;
  bool operator==(const SemaphoreRequest&) const = default;
};

// A value.
class SemaphoreQueue {
 public:
  explicit SemaphoreQueue(std::uint64_t initial = 0) : initial_(initial), free_(initial) {}

  bool try_acquire();                      // true: one of the count is the caller's
  bool acquire(SemaphoreRequest request);  // false: it waits
  // A request does not want to wait any more. False: it is not in the queue, because it has been
  // granted.
  bool withdraw(SemaphoreRequest request);
  bool takes(std::uint64_t count) const { return count <= semaphore_count_max - free_; }
  // The requests that go on, oldest first. REQUIRES: takes(count).
  std::vector<SemaphoreRequest> release(std::uint64_t count);

  std::uint64_t initial() const { return initial_; }
  std::uint64_t free() const { return free_; }
  const std::deque<SemaphoreRequest>& waiting() const { return waiting_; }
  std::string_view broken_invariant() const;
  bool operator==(const SemaphoreQueue&) const = default;

 private:
  std::uint64_t initial_;
  std::uint64_t free_;
  std::deque<SemaphoreRequest> waiting_;  // oldest first
};

}  // namespace dsm::sync
