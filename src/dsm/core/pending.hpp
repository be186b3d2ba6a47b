// "All of those that have begun": numbered activities that end in any order, and what waits for
// them. Pure values.
#pragma once

#include <cstdint>
#include <vector>

#include "base/types.hpp"
#include "dsm/core/notices.hpp"

namespace dsm::core {

// Numbers activities as they begin. all_before(n) tells whether every activity numbered below n has
// ended. Numbers wrap at 2^32, so never more than 2^31 may be open at once (there are fewer pages
// in any cache).
class Pending {
 public:
  std::uint32_t begin();
  void end(std::uint32_t number);
  std::uint32_t next() const { return next_; }
  bool all_before(std::uint32_t number) const;
  std::size_t open() const { return open_; }
  bool operator==(const Pending&) const = default;

 private:
  std::uint32_t next_ = 0;
  std::uint32_t first_ = 0;  // number of ended_[0]
  std::size_t open_ = 0;
  std::vector<bool> ended_;  // [first_, next_)
};

// A scope on its way to be published: waits until every page that was dirty is home, and the marks
// are read.
struct Publication {
  enum class Kind : std::uint8_t { grant, barrier, team, shared, semaphore } kind = Kind::grant;
  LockId lock{};  // grant
  TeamId team{};
  SharedLockId shared{};   // shared: its permission goes back
  std::uint64_t call = 0;  // semaphore: the number of the release
  std::uint64_t id = 0;
  std::uint32_t flushes_before = 0;  // of Pending
  bool drained = false;
  bool operator==(const Publication&) const = default;
};

}  // namespace dsm::core
