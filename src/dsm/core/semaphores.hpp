// What an engine keeps of semaphores: the calls of its threads, the counts that it manages, and the
// notices that go with both. Pure values.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "dsm/core/message.hpp"
#include "sync/semaphore.hpp"

namespace dsm::core {

struct Semaphores {
  // As every node knows one.
  struct Here {
    Seq seen{};   // the last turn whose notices this node has acted on
    Seq stamp{};  // the log's position up to which the manager knows what was written here (A1)
    // the count with which another node made it, and which this node does not agree with
    std::optional<std::uint64_t> made_with;
    bool operator==(const Here&) const = default;
  };
  // As its manager keeps it. The token stays here: a release adds a turn to it, a grant takes a
  // copy of it along.
  struct Kept {
    sync::SemaphoreQueue queue;
    Token token;
    bool operator==(const Kept&) const = default;
  };
  // Of a thread of this node, until the manager's last word.
  struct Call {
    SemaphoreId semaphore{};
    Ticket who{};
    std::uint64_t initial = 0;
    std::uint64_t count = 0;  // of a release; 0: an acquire
    bool queued = false;      // the manager has said so
    bool given_up = false;    // the thread has waited long enough
    bool granted = false;
    Seq told{};  // of a release: the log's position up to which it tells
    bool operator==(const Call&) const = default;
  };
  struct Entering {
    std::uint64_t call = 0;
    std::uint32_t departures_before = 0;
    bool operator==(const Entering&) const = default;
  };
  struct Released {
    NodeId from{};
    SemaphoreRelease message;
    bool operator==(const Released&) const = default;
  };

  std::map<SemaphoreId, Here> here;
  std::map<SemaphoreId, Kept> kept;
  std::map<std::uint64_t, Call> calls;  // by number
  std::uint64_t calls_made = 0;
  std::vector<Entering> entering;  // grants whose invalidations are under way
  // From beyond a barrier that this node has not left.
  std::vector<SemaphoreAnswer> deferred_grants;
  std::vector<Released> deferred_releases;
  bool operator==(const Semaphores&) const = default;
};

}  // namespace dsm::core
