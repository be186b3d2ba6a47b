// What the public calls share: this process' node, and collectives that check that all nodes make
// the same call.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "base/wire.hpp"
#include "dsm/dsm.hpp"
#include "dsm/node.hpp"

namespace dsm {

struct Team::State {
  TeamId id{};
  std::vector<NodeId> members;  // by rank in the team
  int rank = 0;                 // this node's
  std::atomic<bool> in_collective{false};
};

// What the library may see of a Team.
struct TeamAccess {
  using State = Team::State;
  // Null: of all. Throws Error, naming the call, when the team is of nobody.
  static State* state(const Team& team, const char* call);
};

namespace api {

// The node of this process' Session. Throws Error, naming the call, when there is none.
Node& current(const char* call);
Node* joined();  // null when there is none

// Which collective call this is; nodes that make different ones are told so.
enum class Collective : std::uint8_t {
  barrier,
  allocate,
  free,
  broadcast,
  all_gather,
  reduce,
  all_reduce,
  inclusive_scan,
  exclusive_scan,
  split,
  bind,
  leave,
};

struct Call {
  Collective kind{};
  std::uint64_t detail = 0;  // sizes and the like; the same on every node
  CallSite at{};
};

// Passes a barrier with `data`; what every node gave, by rank. Throws Error on every node, with the
// call sites, when the nodes' kinds or details differ, or when two threads of this node are in
// collective calls at once. With a team: of its members, by rank in it.
std::vector<Bytes> collective(const Call& call, ByteView data, TeamAccess::State* team = nullptr);

// Waits until every node leaves the job. One that calls something else meanwhile is told by its
// call, and most likely leaves then.
void leave(Node& node);

[[noreturn]] void fail(const Status& status);

}  // namespace api
}  // namespace dsm
