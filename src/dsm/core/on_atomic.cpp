// Atomic operations of this node's threads, and of others on its words.
//
// An operation takes effect at the page's home and nowhere else, so copies of the page do not show
// it: not those of other nodes, and not this node's own. Who changed a word therefore names its
// page at the next barrier as if it had written it, and drops its own copy at the exit. An
// operation that is under way when this node's part of the barrier leaves may take effect behind
// it, and counts for the next interval too.
#include <utility>

#include "base/check.hpp"
#include "dsm/core/engine.hpp"

namespace dsm::core {

void Engine::on(const Atomic& e, Effects& out) {
  if (is_leaving(e.operation.page)) {
    moves_.operations.emplace_back(e.who, e.operation);
    return;
  }
  const NodeId home = home_of(e.operation.page);
  DSM_CHECK_WITH(home != no_node && !is_sequential_at(e.operation.page),
                 "an atomic operation is on a word whose home is its master",
                 {"page", e.operation.page.value});
  const bool first = atomics_.under_way.emplace(e.who, e.operation.page).second;
  DSM_CHECK_WITH(first, "a thread makes one atomic operation at a time", {"ticket", e.who.value});
  atomics_.since_barrier.insert(e.operation.page);
  if (home == config_.self) look_for_races(e.operation, config_.self, interval(), out);
  if (home == config_.self || !config_.atomics_by_message) {
    const bool misled =
        planted(Bug::atomic_on_copy) && state_of(e.operation.page) == PageState::clean;
    out.push(PerformAtomic{misled ? config_.self : home, config_.self, e.who, e.operation});
  } else {
    out.push(Send{home, AtomicRequest{e.who, e.operation, interval()}});
  }
}

void Engine::on(const AtomicRequest& m, NodeId from, Effects& out) {
  DSM_CHECK_WITH(is_home(m.operation.page), "an atomic operation goes to its word's home",
                 {"page", m.operation.page.value}, {"from", from.value});
  look_for_races(m.operation, from, m.epoch, out);
  out.push(PerformAtomic{config_.self, from, m.who, m.operation});
}

void Engine::on(const AtomicDone& e, Effects& out) {
  if (e.asker == config_.self) {
    on(AtomicReply{e.who, e.previous}, config_.self, out);
  } else {
    out.push(Send{e.asker, AtomicReply{e.who, e.previous}});
  }
}

void Engine::on(const AtomicReply& m, NodeId, Effects& out) {
  const Ticket who = planted(Bug::atomic_answer_mistaken) && !atomics_.under_way.empty()
                         ? atomics_.under_way.begin()->first
                         : m.who;
  DSM_CHECK_WITH(atomics_.under_way.erase(who) == 1, "an atomic operation ends once",
                 {"ticket", who.value});
  out.push(Found{who, m.previous});
  out.push(Wake{who});
}

// For this node's part of a barrier.
PageSet Engine::tell_atomics() {
  std::vector<PageId> named;
  atomics_.told = std::exchange(atomics_.since_barrier, {});
  if (!planted(Bug::atomic_under_way_forgotten))
    for (const auto& [who, page] : atomics_.under_way) atomics_.since_barrier.insert(page);
  if (planted(Bug::atomics_not_told)) return {};
  for (const PageId id : atomics_.told) {
    if (layout_.region_of(id) == nullptr) continue;
    if (!is_home(id) || home_page(id).sharers > 0) named.push_back(id);
  }
  return PageSet::of(std::move(named));
}

// At the exit of the barrier at which they were told.
void Engine::drop_copies_of_atomics(Effects& out) {
  const std::set<PageId> told = std::exchange(atomics_.told, {});
  if (planted(Bug::atomics_leave_own_copy)) return;
  invalidate(PageSet::of({told.begin(), told.end()}), out);
}

}  // namespace dsm::core
