// What DSM_DEBUG=1 looks for in a program's calls: locks taken twice by one thread, or released by
// one that does not hold them; accesses to regions that were freed (told by Node::on_trap). Without
// it the functions return at once.
//
// Threads: any.
#pragma once

#include <cstdint>

#include "dsm/node.hpp"
#include "sync/shared_lock.hpp"

namespace dsm::api {

// Before a lock of this kind ("Lock") is waited for. Throws Error when this thread holds it.
void about_to_lock(const Node& node, const char* kind, std::uint64_t number);
void has_locked(const Node& node, const char* kind, std::uint64_t number,
                sync::Mode mode = sync::Mode::exclusive);
// Before it is released. Throws Error when this thread does not hold it, or not so.
void about_to_unlock(const Node& node, const char* kind, std::uint64_t number,
                     sync::Mode mode = sync::Mode::exclusive);
// The Session ends: a line for each lock that a thread of this node still holds.
void report_held_locks(const Node& node);

void has_freed(const Node& node, PageRun run);

}  // namespace dsm::api
