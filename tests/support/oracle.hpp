// What a program may see. Programs have no data race, so every read has exactly one legal value:
// that of the last write before it in the order that locks and barriers make. The order of
// simulated time extends that order, so one memory is enough.
//
// The oracle also watches the synchronisation itself: one holder a lock, nobody out of a barrier
// before everyone is in. Errors: a function that returns a string says what is wrong, or is empty.
// A value.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/types.hpp"
#include "base/wire.hpp"
#include "support/program.hpp"

namespace dsm::sim {

// The payload that a node brings to a barrier of a group (0: the job): different for each.
Bytes payload_of(std::uint32_t node, std::uint32_t barrier, std::uint32_t group = 0);

class Oracle {
 public:
  Oracle() = default;
  explicit Oracle(const Program& program);

  void write(std::uint32_t page, std::uint32_t offset, std::uint32_t length, std::uint64_t bytes);
  std::uint64_t expected(std::uint32_t page, std::uint32_t offset, std::uint32_t length) const;
  const std::byte* page(std::uint32_t page) const {
    return memory_.data() + std::size_t{page} * page_bytes_;
  }
  void zero(PageRun run);  // a region came

  std::string acquired(std::uint32_t lock, std::uint32_t node, std::uint32_t thread);
  void released(std::uint32_t lock);
  std::string acquired_shared(std::uint32_t lock, sync::Mode mode);
  void released_shared(std::uint32_t lock, sync::Mode mode);

  // A count is free from when its release begins: an acquire may end before the release does.
  std::string acquired_semaphore(std::uint32_t semaphore);
  void released_semaphore(std::uint32_t semaphore, std::uint64_t count);
  std::uint64_t free_semaphore(std::uint32_t semaphore) const { return free_[semaphore]; }

  void arrived(std::uint32_t node);
  std::string passed(std::uint32_t node,
                     const std::vector<Bytes>& payloads);  // the engine's Passed
  std::string left(std::uint32_t node) const;              // the Wake of the one who arrived
  std::uint32_t arrivals(std::uint32_t node) const { return arrived_[node]; }

  // The same of teams.
  void arrived_team(std::uint32_t node, std::uint32_t team) { ++teams_[team].arrived[node]; }
  std::string passed_team(std::uint32_t node, std::uint32_t team,
                          const std::vector<Bytes>& payloads);
  std::string left_team(std::uint32_t node, std::uint32_t team) const;
  std::uint64_t hash() const;  // of what decides later answers
  std::uint32_t arrivals_team(std::uint32_t node, std::uint32_t team) const {
    return teams_[team].arrived[node];
  }

 private:
  struct Team {
    std::vector<NodeId> members;
    std::vector<std::uint32_t> arrived, passed;  // by node
  };
  static constexpr std::uint32_t nobody = ~std::uint32_t{0};
  std::uint32_t page_bytes_ = 0;
  std::vector<std::byte> memory_;
  std::vector<std::uint32_t> holder_;  // by lock: node * 256 + thread
  struct Shared {
    std::uint32_t readers = 0, writers = 0;
  };
  std::vector<Shared> shared_;          // by shared lock
  std::vector<std::uint64_t> free_;     // by semaphore
  std::vector<std::uint32_t> arrived_;  // by node: barriers arrived at
  std::vector<std::uint32_t> passed_;   // by node
  std::vector<Team> teams_;
};

}  // namespace dsm::sim
