// Locks: requests, grants, and what a new holder must forget.
#include <algorithm>

#include "base/check.hpp"
#include "dsm/core/engine.hpp"

namespace dsm::core {

NodeId Engine::manager_of(LockId id) const {
  return NodeId(static_cast<std::uint32_t>(id.value % config_.nodes));
}

Engine::LockHere& Engine::lock_here(LockId id) {
  const auto [it, made] = locks_.try_emplace(id);
  // A lock's token is made at its manager when the manager first hears of it.
  if (made) it->second.queue = sync::Lock(manager_of(id) == config_.self);
  return it->second;
}

void Engine::on(const Acquire& e, Effects& out) {
  LockHere& lock = lock_here(e.lock);
  const sync::LockStep step = moved(lock, [&](sync::Lock& q) { return q.acquire(e.who); });
  if (step.holder) ++counters_.locks_taken_here;
  obey(e.lock, step, out);
}

void Engine::on(const TryAcquire& e, Effects& out) {
  LockHere& lock = lock_here(e.lock);
  const bool taken = moved(lock, [&](sync::Lock& q) { return q.try_acquire(e.who); });
  if (taken) {
    ++counters_.locks_taken;
    ++counters_.locks_taken_here;
  } else {
    // Bring the token, so that a program that keeps trying gets on.
    obey(e.lock, moved(lock, [&](sync::Lock& q) { return q.want(); }), out);
  }
  out.push(Wake{e.who, taken});
}

void Engine::on(const Cancel& e, Effects& out) {
  if (lock_here(e.lock).queue.cancel(e.who)) out.push(Wake{e.who, false});
}

void Engine::obey(LockId id, const sync::LockStep& step, Effects& out) {
  if (step.ask) {
    if (manager_of(id) == config_.self) {
      on(LockRequest{id}, config_.self, out);
    } else {
      out.push(Send{manager_of(id), LockRequest{id}});
    }
  }
  if (step.leave) publish(Publication::Kind::grant, id, out);
  if (step.holder) {
    ++counters_.locks_taken;
    out.push(Wake{*step.holder});
  }
  if (step.recall) out.push(Recall{id});
  LockHere& lock = lock_here(id);
  if (config_.lends_locks && lock.queue.state() == sync::LockState::idle) {
    moved(lock, [](sync::Lock& q) { q.lend(); });
    out.push(Lend{id});
  }
}

void Engine::on(const LockBack& e, Effects& out) {
  const bool held = e.held && !planted(Bug::lent_lock_leaves_its_holder);
  obey(e.lock, moved(lock_here(e.lock), [&](sync::Lock& q) { return q.returned(held); }), out);
}

void Engine::on(const LockRequest& m, NodeId from, Effects& out) {
  DSM_CHECK_WITH(manager_of(m.lock) == config_.self, "a lock's requests go to its manager",
                 {"lock", m.lock.value});
  lock_here(m.lock);
  sync::LockQueue& queue = queues_.try_emplace(m.lock, config_.self).first->second;
  const NodeId before = queue.append(from);
  if (before == config_.self) {
    on(LockForward{m.lock, from}, config_.self, out);
  } else {
    out.push(Send{before, LockForward{m.lock, from}});
  }
}

void Engine::on(const LockForward& m, NodeId, Effects& out) {
  LockHere& lock = lock_here(m.lock);
  obey(m.lock, moved(lock, [&](sync::Lock& q) { return q.forwarded(m.successor); }), out);
}

void Engine::on(const LockGrant& m, NodeId from, Effects& out) {
  LockHere& lock = lock_here(m.lock);
  moved(lock, [](sync::Lock& q) { q.granted(); });
  lock.token = m.token;
  take_aboard(m, from, out);
  // The sender has passed a barrier that this node has not left yet; what that barrier tells is
  // missing here and no longer in the token. Everyone has arrived, so the exit is near.
  if (lock.token.passed > epoch() && !planted(Bug::grant_overtakes_barrier)) {
    deferred_.push_back(m.lock);
  } else {
    enter(m.lock, lock, out);
  }
}

// Drops from a token what barriers that this node has passed have told everyone who can receive it
// from here.
void Engine::normalise(Token& token) const {
  if (token.passed >= epoch()) return;
  const std::uint32_t behind = epoch() - token.passed;
  token.recent[0] = behind == 1 ? std::move(token.recent[1]) : Notices();
  token.recent[1] = Notices();
  token.passed = epoch();
}

// Invalidates what a token tells of the turns after `seen`, and what it tells of the time before.
void Engine::heed(Token& token, Seq seen, Effects& out) {
  normalise(token);
  clock_.merge(token.clock);
  if (planted(Bug::grant_without_log)) return;
  for (int i = 0; i < 2; ++i) {
    invalidate(token.recent[i].scope.since(seen), out);
    const History own = planted(Bug::history_not_passed_on) ? heard_[i] : History();
    invalidate(heard_[i].learn(token.recent[i].before, config_.self), out);
    if (planted(Bug::history_not_passed_on)) heard_[i] = own;
    token.recent[i].before.clear();  // tell() takes it from here
  }
}

void Engine::enter(LockId id, LockHere& lock, Effects& out) {
  lock.stamp = log_.now();
  heed(lock.token, lock.seen, out);
  forget_what_is_at_home(id, out);
  lock.seen = lock.token.turn;
  entering_.push_back({id, departures_.next()});
}

void Engine::finish_entering(Effects& out) {
  for (std::size_t i = 0; i < entering_.size();) {
    if (!departures_.all_before(entering_[i].departures_before) ||
        !bound_is_here(entering_[i].lock, out)) {
      ++i;
      continue;
    }
    const LockId id = entering_[i].lock;
    entering_.erase(entering_.begin() + static_cast<std::ptrdiff_t>(i));
    if (planted(Bug::grant_after_timeout_lost) && lock_here(id).queue.waiting().empty()) continue;
    obey(id, moved(lock_here(id), [](sync::Lock& q) { return q.entered(); }), out);
  }
}

// What a node tells as its part of a barrier does not concern copies that its pushes keep up.
void Engine::invalidate(const PageSet& pages, Effects& out, NodeId barrier_part_of) {
  if (pages.empty()) return;
  const auto drop = [&](Page& page, PageId id) {
    if (barrier_part_of != no_node) {
      if (is_kept_up(page, id, barrier_part_of)) return;
      not_kept_up(page);
    }
    invalidate(page, id, out);
  };
  if (pages.everything) {
    for (Chunk& chunk : cache_.chunks()) {
      if (chunk.number == Chunk::unused) continue;
      const PageId first = cache_.first_page(chunk);
      for (PageId id = first; id < first + config_.chunk_pages; ++id)
        drop(cache_.page(chunk, id), id);
    }
  } else {
    for (const PageRun& run : pages.runs) {
      for (PageId id = run.first; id < run.end();) {
        Chunk* chunk = cache_.find(id);
        const PageId chunk_end((id.value / config_.chunk_pages + 1) * config_.chunk_pages);
        const PageId stop = std::min(run.end(), chunk_end);
        // A home page's entry in a chunk stays absent, so only other nodes' pages are touched here.
        for (PageId p = id; chunk != nullptr && p < stop; ++p) drop(cache_.page(*chunk, p), p);
        id = stop;
      }
    }
  }
  forget_clean();
}

// Rule D18: what was written here goes home before the copy goes.
void Engine::invalidate(Page& page, PageId id, Effects& out) {
  if (is_sequential(page.state)) return;  // never old
  switch (page.state) {
    case PageState::absent:
    case PageState::unmapping:
      return;
    case PageState::fetching:
      if (page.ahead && planted(Bug::ahead_not_poisoned)) return;
      if (page.ahead && !page.poisoned) count_unread(id);
      page.poisoned = true;
      return;
    case PageState::fetched:
      if (!planted(Bug::unread_kept)) drop_unread(page, id);
      return;
    case PageState::clean:
      return start_unmap(page, id, out);
    default:
      break;
  }
  if (page.invalidate) return;
  if (planted(Bug::map_and_unmap_swapped) && page.state == PageState::mapping)
    return start_unmap(page, id, out);
  page.invalidate = true;
  page.departure_number = departures_.begin();
  const bool becomes_dirty = page.state == PageState::opening || page.state == PageState::settling;
  if (page.state == PageState::dirty || (becomes_dirty && !page.flush)) {
    if (planted(Bug::dirty_invalidated_unsent) && page.state == PageState::dirty)
      return start_unmap(page, id, out);
    start_flush(page, id, out);
  }
}

void Engine::start_unmap(Page& page, PageId id, Effects& out) {
  if (!page.invalidate) page.departure_number = departures_.begin();
  page.invalidate = false;
  ++counters_.invalidations;
  set_state(page, id, PageState::unmapping);
  out.change(id, Access::read, Access::none);
}

}  // namespace dsm::core
