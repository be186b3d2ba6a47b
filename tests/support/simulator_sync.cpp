// Locks for readers and writers: what threads do with them, and what must hold between nodes.
#include "support/simulator.hpp"

namespace dsm::sim {

void Simulator::operate_shared(std::uint32_t node, std::uint32_t thread, const Op& op) {
  const Ticket me(thread);
  const SharedLockId lock = program_->shared_locks[op.arg];
  if (op.what == Do::release_shared) {
    oracle_.released_shared(op.arg, op.mode);
    writes(Part::holder, 0, program_->locks.size() + op.arg);
    advance(node, thread);
    return step(node, core::ReleaseShared{lock, op.mode});
  }
  nodes_[node].threads[thread].waiting = Waiting::lock;
  if (op.what == Do::try_acquire_shared)
    return step(node, core::TryAcquireShared{me, lock, op.mode});
  if (op.what == Do::timed_acquire_shared) give_up_later(node, thread);
  step(node, core::AcquireShared{me, lock, op.mode});
}

// One node may write and no other has any permission, or several may read.
void Simulator::check_shared() {
  for (const SharedLockId id : program_->shared_locks) {
    std::uint32_t may_read = 0, may_write = 0;
    for (const core::Engine& engine : engines_) {
      const auto it = engine.shared_locks().here.find(id);
      if (it == engine.shared_locks().here.end()) continue;
      may_read += it->second.lock.permission() == sync::Mode::shared;
      may_write += it->second.lock.permission() == sync::Mode::exclusive;
    }
    if (may_write > 1 || (may_write == 1 && may_read > 0))
      return fail("shared lock " + std::to_string(id.value) + ": " + std::to_string(may_write) +
                  " nodes may write and " + std::to_string(may_read) + " may read");
  }
}

void Simulator::check_shared_end() {
  for (const core::Engine& engine : engines_) {
    const core::SharedLocks& locks = engine.shared_locks();
    if (!locks.entering.empty() || !locks.deferred_grants.empty() ||
        !locks.deferred_returns.empty())
      return fail("a permission is still under way at the end");
    for (const auto& [id, here] : locks.here) {
      const sync::SharedState state = here.lock.state();
      const bool rests = state == sync::SharedState::away || state == sync::SharedState::may_read ||
                         state == sync::SharedState::may_write;
      if (!rests || here.lock.asked() != sync::Mode::none)
        return fail("shared lock " + std::to_string(id.value) + " is " + name_of(state) +
                    " at the end");
    }
    for (const auto& [id, kept] : locks.kept) {
      if (kept.queue.waiting() != 0)
        return fail("a node waits for shared lock " + std::to_string(id.value) + " at the end");
      for (const auto& holder : kept.queue.holders()) {
        const auto& held = engines_[holder.node.value].shared_locks().here.at(id).lock;
        if (held.permission() != holder.mode || held.number() != holder.number)
          return fail("node " + std::to_string(holder.node.value) +
                      " has another permission than the manager of shared lock " +
                      std::to_string(id.value) + " gave it");
      }
    }
  }
}

}  // namespace dsm::sim
