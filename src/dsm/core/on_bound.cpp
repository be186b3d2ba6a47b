// Memory bound to locks (bound.hpp): it is granted with its lock, and goes home when a barrier, an
// eviction or an invalidation sends its page there.
//
// No page of a bound region is in a lock's notices, and none is sent home for a grant. Two nodes may
// both have had the lock, and changed the same bytes, before either sends them home; so bound bytes
// are no part of a page's diff, but go beside it with their version, and the home drops what is
// older than what it has. The version of a part says no more than what is in the frame: it advances
// when the bytes of a grant get there, page by page. A copy that is clean is no newer than its home.
#include <algorithm>

#include "base/check.hpp"
#include "dsm/core/engine.hpp"

namespace dsm::core {

void Engine::on(const Bind& e, Effects&) {
  if (manager_of(e.lock) == config_.self) lock_here(e.lock);  // it makes the token
  const bool here = has_token(e.lock);
  for (const Span& span : e.spans) {
    const Region* region = layout_.region_of(span.page);
    DSM_CHECK_WITH(region != nullptr && region->policy() == Policy::bound,
                   "what is bound lies in a bound region", {"page", span.page.value});
    bindings_.add(e.lock, span);
    BoundPart& part = bindings_.of(e.lock)->back();
    part.had = here && !planted(Bug::bound_not_home_before_barrier);
    if (here) part.version = lock_here(e.lock).token.turn;
  }
}

bool Engine::is_bound(PageId id) const {
  const Region* region = layout_.region_of(id);
  return region != nullptr && region->policy() == Policy::bound;
}

// The grant, with the bytes that are in this node's frames. The rest is at the home: what was here
// has been sent there before its frame went.
void Engine::send_bound(NodeId to, LockGrant grant, Effects& out) {
  for (const BoundPart& part : *bindings_.of(grant.lock)) {
    const PageState state = state_of(part.span.page);
    const bool gone = state == PageState::absent || state == PageState::fetching;
    grant.aboard.push_back({part.span, gone});
  }
  out.push(SendBound{to, std::move(grant)});
}

// A token has come.
void Engine::take_aboard(const LockGrant& grant) {
  Bindings::Parts* parts = bindings_.of(grant.lock);
  std::size_t at = 0;
  for (const Aboard& aboard : grant.aboard) {
    const std::size_t size = aboard.at_home ? 0 : aboard.span.length;
    if (parts != nullptr) {
      for (BoundPart& part : *parts) {
        if (part.span != aboard.span) continue;
        part.pending = true;
        part.at_home = aboard.at_home;
        part.bytes.assign(grant.bytes.begin() + static_cast<std::ptrdiff_t>(at),
                          grant.bytes.begin() + static_cast<std::ptrdiff_t>(at + size));
      }
    }
    at += size;
  }
}

// What is at its home is fetched from there, whatever this node has of it.
void Engine::forget_what_is_at_home(LockId id, Effects& out) {
  const Bindings::Parts* parts = bindings_.of(id);
  if (parts == nullptr || planted(Bug::bound_stale_copy_kept)) return;
  std::vector<PageId> pages;
  for (const BoundPart& part : *parts)
    if (part.pending && part.at_home) pages.push_back(part.span.page);
  if (!pages.empty()) invalidate(PageSet::of(std::move(pages)), out);
}

// Whether everything that is bound to the lock is in the frames; asks for the pages that are missing.
// A frame gets its bytes when its page may be written, so that the page goes home before it goes.
bool Engine::bound_is_here(LockId id, Effects& out) {
  Bindings::Parts* parts = bindings_.of(id);
  if (parts == nullptr) return true;
  bool here = true;
  for (std::size_t i = 0; i < parts->size(); ++i) {
    BoundPart& part = (*parts)[i];
    if (!part.pending) continue;
    const PageId page = part.span.page;
    const bool ready =
        is_home(page) || state_of(page) == PageState::dirty || planted(Bug::bound_filled_too_early);
    if (!ready) {
      here = false;
      want(page, out);
      continue;
    }
    if (!part.at_home && !planted(Bug::bound_grant_without_data))
      out.push(FillBound{part.span, std::move(part.bytes)});
    part.bytes.clear();
    part.pending = false;
    part.had = !planted(Bug::bound_not_home_before_barrier);
    part.version = lock_here(id).token.turn;
  }
  return here;
}

// As a thread that wants to write the page; its Wake is nobody's.
void Engine::want(PageId id, Effects& out) {
  for (const Waiter& w : waiters_)
    if (w.page == id && w.who == engine_itself) return;
  waiters_.push_back({engine_itself, id, Access::write, no_page});
  serve(id, out);
}

// A page of a bound region goes home: its unbound bytes as a diff, bound ones with their versions.
void Engine::send_bound_diff(PageId id, Effects& out) {
  SendBoundDiff diff{home_of(id), id, {}, {}};
  for (const LockId lock : bindings_.on(id)) {
    for (const BoundPart& part : *bindings_.of(lock)) {
      if (part.span.page != id) continue;
      if (!planted(Bug::bound_bytes_in_diff)) diff.bound.push_back(part.span);
      if (part.had) diff.parts.push_back({lock, part.version, part.span});
    }
  }
  out.push(std::move(diff));
}

void Engine::on(const BoundDiff& m, NodeId from, Effects& out) {
  DSM_CHECK_WITH(is_home(m.page), "a diff goes to the page's home", {"page", m.page.value},
                 {"from", from.value});
  std::size_t at = 0;
  for (const Versioned& sent : m.parts) {
    const ByteView bytes = m.body.subspan(at, sent.span.length);
    at += sent.span.length;
    Bindings::Parts* parts = bindings_.of(sent.lock);
    if (parts == nullptr) continue;
    for (BoundPart& part : *parts) {
      if (part.span != sent.span) continue;
      if (sent.turn < part.version && !planted(Bug::bound_older_overwrites_newer)) continue;
      part.version = sent.turn;
      out.push(FillBound{part.span, Bytes(bytes.begin(), bytes.end())});
    }
  }
  if (at < m.body.size()) out.push(ApplyDiff{{m.page, 1}, m.body.subspan(at)});
  out.push(Send{from, DiffAck{{m.page, 1}}});
}

}  // namespace dsm::core
