#include "sync/condition.hpp"

#include <algorithm>

namespace dsm::sync {

std::optional<Registration> ConditionQueue::take() {
  if (waiting_.empty()) return std::nullopt;
  const Registration first = waiting_.front();
  waiting_.pop_front();
  return first;
}

bool ConditionQueue::remove(Registration waiter) {
  const auto it = std::find(waiting_.begin(), waiting_.end(), waiter);
  if (it == waiting_.end()) return false;
  waiting_.erase(it);
  return true;
}

}  // namespace dsm::sync
