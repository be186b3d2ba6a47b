// What an engine keeps of a shared lock: who may use it (sync/shared_lock.hpp), and the notices
// that go with that. Pure values.
#pragma once

#include <map>
#include <vector>

#include "dsm/core/message.hpp"
#include "sync/shared_lock.hpp"

namespace dsm::core {

// As every node knows it.
struct SharedHere {
  sync::SharedLock lock;
  Token token;  // of a permission that has just come
  Seq seen{};   // the last turn whose notices this node has acted on
  Seq stamp{};  // the log's position when the permission came (A1)
  bool operator==(const SharedHere&) const = default;
};

// As its manager keeps it. The token stays here: a permission that is given back brings what was
// written under it, one that is given takes a copy of the token along.
struct SharedKept {
  sync::SharedQueue queue;
  Token token;
  bool operator==(const SharedKept&) const = default;
};

struct SharedLocks {
  std::map<SharedLockId, SharedHere> here;
  std::map<SharedLockId, SharedKept> kept;
  struct Entering {
    SharedLockId lock{};
    std::uint32_t departures_before = 0;
    bool operator==(const Entering&) const = default;
  };
  std::vector<Entering> entering;
  // From beyond a barrier that this node has not left: permissions, and what came back.
  std::vector<SharedLockId> deferred_grants;
  struct Returned {
    NodeId from{};
    SharedReturn message;
    bool operator==(const Returned&) const = default;
  };
  std::vector<Returned> deferred_returns;
  bool operator==(const SharedLocks&) const = default;
};

}  // namespace dsm::core
