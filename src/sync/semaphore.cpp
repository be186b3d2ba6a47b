#include "sync/semaphore.hpp"

#include <algorithm>

#include "base/check.hpp"

namespace dsm::sync {

bool SemaphoreQueue::try_acquire() {
  if (free_ == 0) return false;
  --free_;
  return true;
}

bool SemaphoreQueue::acquire(SemaphoreRequest request) {
  if (try_acquire()) return true;
  waiting_.push_back(request);
  return false;
}

bool SemaphoreQueue::withdraw(SemaphoreRequest request) {
  const auto it = std::find(waiting_.begin(), waiting_.end(), request);
  if (it == waiting_.end()) return false;
  waiting_.erase(it);
  return true;
}

std::vector<SemaphoreRequest> SemaphoreQueue::release(std::uint64_t count) {
  DSM_CHECK_WITH(takes(count), "a semaphore's count has a limit", {"count", count});
  free_ += count;
  std::vector<SemaphoreRequest> granted;
  while (!waiting_.empty() && try_acquire()) {
    granted.push_back(waiting_.front());
    waiting_.pop_front();
  }
  return granted;
}

std::string_view SemaphoreQueue::broken_invariant() const {
  if (free_ > 0 && !waiting_.empty()) return "a thread waits for a count that is free";
  if (free_ > semaphore_count_max) return "a count is beyond its limit";
  return {};
}

}  // namespace dsm::sync
