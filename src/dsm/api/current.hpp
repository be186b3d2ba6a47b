// What the public calls share: this process' node, and collectives that check that all nodes make
// the same call.
#pragma once

#include <cstdint>
#include <vector>

#include "base/wire.hpp"
#include "dsm/dsm.hpp"
#include "dsm/node.hpp"

namespace dsm::api {

// The node of this process' Session. Throws Error, naming the call, when there is none.
Node& current(const char* call);
Node* joined();  // null when there is none

// Which collective call this is; nodes that make different ones are told so.
enum class Collective : std::uint8_t { barrier, allocate, free, broadcast, all_gather, leave };

// Passes a barrier with `data`; what every node gave, by rank. Throws Error on every node when the
// nodes' kinds or details differ (detail: sizes and the like), or when two threads of this node are
// in collective calls at once.
std::vector<Bytes> collective(Collective kind, std::uint64_t detail, ByteView data);

[[noreturn]] void fail(const Status& status);

}  // namespace dsm::api
