// Publishing a scope: everything dirty goes home, the marks are read, then the token leaves with
// its notices.
#include <algorithm>

#include "base/check.hpp"
#include "dsm/core/engine.hpp"

namespace dsm::core {

// A lock that nobody else wants stays here, and nothing is sent: its scope is published when the
// token leaves (A4).
void Engine::on(const Release& e, Effects& out) {
  DSM_CHECK_WITH(holds(e.lock), "only a holder releases", {"lock", e.lock.value});
  LockHere& lock = lock_here(e.lock);
  obey(e.lock, moved(lock, [](sync::Lock& q) { return q.release(); }), out);
}

void Engine::publish(Publication::Kind kind, LockId lock, Effects& out, TeamId team) {
  Publication p;
  p.kind = kind;
  p.lock = lock;
  p.team = team;
  publish(p, out);
}

void Engine::publish(Publication p, Effects& out) {
  p.id = publications_made_++;
  if (config_.find_races) origin_ = origin_of(p);
  if (!watches_.due.empty()) change_watches(out);
  flush_everything(p.kind, out);
  origin_ = Origin();
  p.flushes_before = flushes_.next();
  if (planted(Bug::release_before_acks)) p.flushes_before = 0;
  if (planted(Bug::semaphore_release_before_acks) && p.kind == Publication::Kind::semaphore)
    p.flushes_before = 0;
  publications_.push_back(p);
  out.push(DrainMarks{p.id, pages_to_scan()});
}

void Engine::flush_everything(Publication::Kind why, Effects& out) {
  std::sort(dirty_.begin(), dirty_.end());
  std::vector<PageId> stay;
  for (const PageId id : dirty_) {
    Page& page = *find_page(id);
    if (planted(Bug::opening_page_not_flushed) && page.state == PageState::opening) {
      stay.push_back(id);
      continue;
    }
    if (page.state == PageState::own_written && home_page(id).pushed) {
      // What a lock's scope carries further is told at the next barrier, and not pushed (C12).
      const bool scope = why != Publication::Kind::barrier;
      if (scope && planted(Bug::push_over_lock_data)) log_.append(id);
      if (!scope || planted(Bug::push_over_lock_data)) {
        stay.push_back(id);
        continue;
      }
      stop_pushing(id, out);
    }
    if (page.state == PageState::own_written && may_be_private(home_page(id))) {
      set_state(page, id, PageState::own_private);
      continue;
    }
    if (page.state == PageState::own_written && why != Publication::Kind::grant &&
        !worth_watching(home_page(id))) {
      // Stays writable: published now, and private again at the barrier's exit if its readers have
      // gone.
      log_.append(id);
      stay.push_back(id);
      continue;
    }
    // What is bound travels with its lock; the page goes home at the barrier.
    if (is_bound(id) && why != Publication::Kind::barrier && why != Publication::Kind::team) {
      stay.push_back(id);
      continue;
    }
    if (why == Publication::Kind::barrier && goes_in_place(page, id)) {
      set_state(page, id, PageState::settling);
      page.flush_number = flushes_.begin();
      ++counters_.diffs;
      out.send_diff(id, home_of(id), {}, true);
      stay.push_back(id);
      continue;
    }
    start_flush(page, id, out);
  }
  dirty_ = std::move(stay);
}

// From writable to home. A page that is still being made writable goes as soon as it is: another
// thread may have written to it already. The caller takes it out of dirty_.
void Engine::start_flush(Page& page, PageId id, Effects& out) {
  page.flush = true;
  if (page.state == PageState::settling) out.push(Send{home_of(id), Hurry{}});
  // Changes that are on their way home in place arrive first; whoever waits for them waits for the
  // rest too.
  if (page.state != PageState::settling) page.flush_number = flushes_.begin();
  if (config_.find_races && !is_home(id)) origins_.insert_or_assign(id, origin_);
  if (planted(Bug::log_at_flush_start)) log_.append(id);
  const bool overlaps = page.state == PageState::settling && planted(Bug::diffs_overlap);
  if (page.state == PageState::dirty || page.state == PageState::own_written || overlaps)
    protect(page, id, out);
}

void Engine::protect(Page& page, PageId id, Effects& out) {
  if (page.state == PageState::own_written) stop_pushing(id, out);
  set_state(
      page, id,
      page.state == PageState::own_written ? PageState::own_protecting : PageState::protecting);
  out.change(id, Access::write, Access::read);
}

// Nobody writes any more: whatever was written until now, by any thread, in any scope, is on its
// way. Hence the log entry here and not when the flush began: a scope opened in between may have
// written too (A1).
void Engine::protected_now(Page& page, PageId id, Effects& out) {
  page.flush = false;
  if (!planted(Bug::log_at_flush_start)) log_.append(id);
  if (page.state == PageState::protecting) {
    set_state(page, id, PageState::diffing);
    ++counters_.diffs;
    if (is_bound(id)) return send_bound_diff(id, out);
    out.send_diff(id, home_of(id), stamp(id));
    return;
  }
  HomePage& home = home_page(id);
  home.watched_since = epoch();
  set_state(page, id, PageState::own_watched);
  flushes_.end(page.flush_number);
  serve(id, out);
}

void Engine::on(const DiffHome& e, Effects& out) {
  flushed(e.run, false, out);
}

void Engine::on(const DiffAck& m, NodeId, Effects& out) {
  flushed(m.run, true, out);
}

// A page of the release policy is logged when it is home: what is told of it once is not told
// again.
void Engine::flushed(PageRun run, bool changed, Effects& out) {
  for (PageId id = run.first; id < run.end(); ++id) {
    Page* page = find_page(id);
    if (page != nullptr && page->state == PageState::settling) {
      settled(*page, id, changed, out);
      continue;
    }
    DSM_CHECK_WITH(page != nullptr && page->state == PageState::diffing,
                   "only a diff under way is acknowledged", {"page", id.value});
    if (layout_.region_of(id)->policy() == Policy::release && !planted(Bug::told_before_home))
      log_.append(id);
    flushes_.end(page->flush_number);
    set_state(*page, id, PageState::clean);
    if (page->invalidate) {
      start_unmap(*page, id, out);
    } else {
      serve(id, out);
    }
  }
}

void Engine::on(const MarksDrained& e, Effects& out) {
  for (Publication& p : publications_) {
    if (p.id != e.id) continue;
    p.drained = true;
    if (p.kind == Publication::Kind::barrier) start_pushes(p, out);
  }
  for (std::uint32_t n = 0; n < config_.nodes; ++n) {
    MarkWindows::Peer& peer = marks_[NodeId(n)];
    if (!peer.credit_due) continue;
    peer.credit_due = false;
    peer.credited = peer.consumed;
    out.push(Send{NodeId(n), MarkCredit{peer.consumed}});
  }
}

bool Engine::finish_publications(Effects& out) {
  for (std::size_t i = 0; i < publications_.size(); ++i) {
    const Publication p = publications_[i];
    if (!p.drained || !flushes_.all_before(p.flushes_before)) continue;
    publications_.erase(publications_.begin() + static_cast<std::ptrdiff_t>(i));
    switch (p.kind) {
      case Publication::Kind::grant:
        grant(p.lock, out);
        break;
      case Publication::Kind::barrier:
        contribute(out);
        break;
      case Publication::Kind::team:
        contribute(p.team, out);
        break;
      case Publication::Kind::shared:
        give_back(p.shared, out);
        break;
      case Publication::Kind::semaphore:
        send_release(p.call, out);
        break;
    }
    return true;
  }
  return false;
}

// What this node wrote at positions [from, to) of its log, less its own pages that nobody has a
// copy of: whoever reads one of those from now on leaves a mark first, and reads what is there now
// (B5, B6).
PageSet Engine::written(Seq from, Seq to, std::optional<Policy> only) const {
  PageSet all = log_.between(from, to);
  if (all.everything || planted(Bug::lost_notice))
    return planted(Bug::lost_notice) ? PageSet() : all;
  std::vector<PageId> told;
  for (const PageRun& run : all.runs) {
    for (PageId id = run.first; id < run.end(); ++id) {
      const Region* region = layout_.region_of(id);
      if (region == nullptr || (only && region->policy() != *only)) continue;
      if (region->home(id) == config_.self && homes_.at(*region, id).sharers == 0) continue;
      told.push_back(id);
    }
  }
  return PageSet::of(std::move(told));
}

// One more turn of a token, with what this node wrote since `stamp` and, of regions of the release
// policy, everything that it wrote or heard of. REQUIRES: what it wrote is home.
void Engine::tell(Token& token, Seq stamp, bool bound_too) {
  normalise(token);
  token.passed = epoch();
  ++token.turn;
  // What was logged after this node's part of the barrier had gone belongs to the next interval.
  const Seq boundary = contributed_ ? arrived_at_ : log_.now();
  const Seq ends[] = {boundary, contributed_ ? log_.now() : boundary};
  for (int i = 0; i < 2; ++i) {
    PageSet told = written(stamp, ends[i], Policy::scope);
    if (bound_too) told.add(written(stamp, ends[i], Policy::bound));
    token.recent[i].scope.note(told, token.turn);
    stamp = std::max(stamp, ends[i]);
    heard_[i].note(config_.self, written(told_, ends[i], Policy::release), ends[i]);
    told_ = std::max(told_, ends[i]);
    token.recent[i].before = heard_[i];
    if (planted(Bug::history_told_once)) heard_[i].clear();
  }
  if (!planted(Bug::clock_not_told)) token.clock.merge(tell_clock());
  if (planted(Bug::log_collected_early)) token.recent[0] = Notices();
}

// What another node told becomes one more turn of a token that stays here. REQUIRES: it has not
// passed a barrier that this node is still in.
void Engine::add_turn(Token& kept, Token& told) const {
  normalise(kept);
  normalise(told);
  ++kept.turn;
  kept.clock.merge(told.clock);
  for (int i = 0; i < 2; ++i) {
    kept.recent[i].scope.note(told.recent[i].scope.since(Seq()), kept.turn);
    kept.recent[i].before.learn(told.recent[i].before, no_node);
  }
}

void Engine::grant(LockId id, Effects& out) {
  LockHere& lock = lock_here(id);
  Token token = std::move(lock.token);
  tell(token, lock.stamp);
  if (planted(Bug::mark_cleared_early))
    for (const PageRun& run : written(lock.stamp, log_.now()).runs)
      for (PageId p = run.first; p < run.end(); ++p)
        if (is_home(p)) homes_.clear_marks(home_page(p), p, epoch(), {});
  lock.seen = token.turn;
  lock.token = Token{};
  LockGrant grant{id, std::move(token), {}, {}};
  if (bindings_.of(id) != nullptr) {
    send_bound(lock.queue.leaving_to(), std::move(grant), out);
  } else {
    out.push(Send{lock.queue.leaving_to(), std::move(grant)});
  }
  obey(id, moved(lock, [](sync::Lock& q) { return q.left(); }), out);
}

}  // namespace dsm::core
