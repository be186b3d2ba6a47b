// Semaphores in the simulator: what threads do with them, and what must have become of the counts.
#include "support/simulator.hpp"

namespace dsm::sim {

void Simulator::operate_semaphore(std::uint32_t node, std::uint32_t thread, const Op& op) {
  const Ticket me(thread);
  const Program::Semaphore& made = program_->semaphores[op.arg];
  nodes_[node].threads[thread].waiting = Waiting::semaphore;
  switch (op.what) {
    case Do::release_semaphore:
      writes(Part::holder, 0, part_of_semaphore(op.arg));
      oracle_.released_semaphore(op.arg, op.count);
      return step(node, core::ReleaseSemaphore{me, made.id, made.initial, op.count});
    case Do::try_acquire_semaphore:
      return step(node, core::TryAcquireSemaphore{me, made.id, made.initial});
    case Do::timed_acquire_semaphore:
      give_up_later(node, thread);
      [[fallthrough]];
    default:
      return step(node, core::AcquireSemaphore{me, made.id, made.initial});
  }
}

void Simulator::woken_semaphore(std::uint32_t node, std::uint32_t thread, bool granted) {
  const Op& op = program_->nodes[node][thread][nodes_[node].threads[thread].next];
  const bool may_fail =
      op.what == Do::try_acquire_semaphore || op.what == Do::timed_acquire_semaphore;
  if (!granted && !may_fail) return fail("a semaphore refuses what it may not refuse");
  if (op.what == Do::release_semaphore) return advance(node, thread);
  if (!granted) return advance(node, thread, op.skip);
  writes(Part::holder, 0, part_of_semaphore(op.arg));
  if (std::string wrong = oracle_.acquired_semaphore(op.arg); !wrong.empty()) return fail(wrong);
  advance(node, thread, 1 + op.count);
}

// Each count is at its manager, and is what the releases have left.
void Simulator::check_semaphores_end() {
  for (const core::Engine& engine : engines_) {
    const core::Semaphores& all = engine.semaphores();
    if (!all.calls.empty() || !all.entering.empty() || !all.deferred_releases.empty())
      return fail("a semaphore's call is still under way at the end");
    for (std::uint32_t i = 0; i < program_->semaphores.size(); ++i) {
      const auto kept = all.kept.find(program_->semaphores[i].id);
      if (kept == all.kept.end()) continue;
      if (kept->second.queue.free() != oracle_.free_semaphore(i))
        return fail("semaphore " + std::to_string(i) + " has " +
                    std::to_string(kept->second.queue.free()) + " free at the end, should have " +
                    std::to_string(oracle_.free_semaphore(i)));
    }
  }
}

}  // namespace dsm::sim
