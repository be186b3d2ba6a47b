#include "dsm/core/pending.hpp"

#include "base/check.hpp"

namespace dsm::core {

std::uint32_t Pending::begin() {
  ended_.push_back(false);
  ++open_;
  return next_++;
}

void Pending::end(std::uint32_t number) {
  const std::uint32_t index = number - first_;
  DSM_CHECK_WITH(index < ended_.size() && !ended_[index], "an activity ends once, after it began",
                 {"number", number});
  ended_[index] = true;
  --open_;
  if (open_ == 0) {
    ended_.clear();
    first_ = next_;
    return;
  }
  // Looking and shifting are amortised: only when at least half of the window has ended.
  if ((ended_.size() - open_) * 2 < ended_.size()) return;
  std::uint32_t done = 0;
  while (done < ended_.size() && ended_[done]) ++done;
  if (done > 0 && done * 2 >= ended_.size()) {
    ended_.erase(ended_.begin(), ended_.begin() + static_cast<std::ptrdiff_t>(done));
    first_ += done;
  }
}

bool Pending::all_before(std::uint32_t number) const {
  const std::uint32_t count = number - first_;
  if (static_cast<std::int32_t>(count) <= 0) return true;
  for (std::uint32_t i = 0; i < count && i < ended_.size(); ++i)
    if (!ended_[i]) return false;
  return true;
}

}  // namespace dsm::core
