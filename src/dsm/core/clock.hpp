// What a node has heard of: how many scopes of each node have been published to it, directly or by
// others (a vector clock; Fidge 1988, Mattern 1989). Kept, and sent, only where races are looked
// for (Config::find_races); everywhere else it is empty. Pure values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/types.hpp"
#include "base/wire.hpp"

namespace dsm::core {

class Clock {
 public:
  Clock() = default;  // empty: of nobody
  // Of a node that has published nothing; what it writes belongs to its first scope.
  Clock(NodeId self, std::uint32_t nodes) : heard_(nodes) { tick(self); }

  bool empty() const { return heard_.empty(); }
  std::uint32_t of(NodeId node) const {
    return node.value < heard_.size() ? heard_[node.value] : 0;
  }
  void tick(NodeId self) { ++heard_[self.value]; }
  void merge(const Clock& other);
  bool operator==(const Clock&) const = default;

  friend void encode(const Clock& clock, Writer& out);
  friend bool decode(Reader& in, Clock& clock);

 private:
  std::vector<std::uint32_t> heard_;  // by node
};

// Why a page was sent home, for the line that a race leaves.
struct Origin {
  enum class Kind : std::uint8_t { dropped, lock, shared_lock, semaphore, barrier, team };
  Kind kind = Kind::dropped;  // dropped: its copy had to go
  std::uint64_t number = 0;   // of the lock, the semaphore, the team
  std::string site;           // of the barrier's call, "file:line", where it is known
  bool operator==(const Origin&) const = default;
};

// What a diff carries of its writer where races are looked for. Empty elsewhere.
struct Stamp {
  Epoch epoch{};  // barriers that the writer had done its part of
  Clock clock;
  Origin origin;
  bool empty() const { return clock.empty(); }
  bool operator==(const Stamp&) const = default;
};

void encode(const Stamp& stamp, Writer& out);
bool decode(Reader& in, Stamp& stamp);

}  // namespace dsm::core
