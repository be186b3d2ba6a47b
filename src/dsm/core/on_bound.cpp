// Memory bound to locks (bound.hpp): it is granted with its lock, and goes home when a barrier, an
// eviction or an invalidation sends its page there.
//
// No page of a bound region is in a lock's notices, and none is sent home for a grant. Two nodes
// may both have had the lock, and changed the same bytes, before either sends them home; so bound
// bytes are no part of a page's diff, but go beside it with their version, and the home drops what
// is older than what it has. The version of a part says no more than what is in the frame: it
// advances when the bytes of a grant get there, page by page. A copy that is clean is no newer than
// its home.
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
    BoundPart& part = bindings_.add(e.lock, span);
    part.refresh = e.refresh;
    part.since = epoch();
    part.had = here && !planted(Bug::bound_not_home_before_barrier);
    if (here) part.version = lock_here(e.lock).token.turn;
  }
}

bool Engine::is_bound(PageId id) const {
  const Region* region = layout_.region_of(id);
  return region != nullptr && region->policy() == Policy::bound;
}

// The grant, with the bytes that are in this node's frames, or with the word that they may be read
// there. The rest is at the home: what was here has been sent there before its frame went.
void Engine::send_bound(NodeId to, LockGrant grant, Effects& out) {
  Offer offer{grant.lock, grant.token.turn, {}};
  for (const BoundPart& part : *bindings_.of(grant.lock)) {
    const PageId page = part.span.page;
    const Where where = where_is(part);
    grant.aboard.push_back({part.span, where});
    if (where == Where::at_sender && (offer.pages.empty() || offer.pages.back() != page))
      offer.pages.push_back(page);
  }
  if (!offer.pages.empty() && !planted(Bug::bound_not_kept_for_reader)) {
    for (const PageId page : offer.pages) pins_.push_back({page, 1});
    offers_.push_back(std::move(offer));
  }
  std::vector<Span> leaves = forbid(grant.lock);
  out.push(SendBound{to, std::move(grant), std::move(leaves)});
}

// ---- where misuse is looked for: who has not the lock may not write what is bound to it ----

// The page gets a twin.
void Engine::watch_bound(PageId id) {
  if (!config_.find_races) return;
  for (const LockId lock : bindings_.on(id))
    for (BoundPart& part : *bindings_.of(lock))
      if (part.span.page == id) part.forbidden = !has_token(lock);
}

// The lock leaves. Where a twin is in no other hands it can be told from now on what is written
// later.
std::vector<Span> Engine::forbid(LockId lock) {
  std::vector<Span> leaves;
  if (!config_.find_races) return leaves;
  for (BoundPart& part : *bindings_.of(lock)) {
    const PageState state = state_of(part.span.page);
    if (state != PageState::dirty && state != PageState::protecting) continue;
    part.forbidden = true;
    leaves.push_back(part.span);
  }
  return leaves;
}

// What a successor reads here stays as it is until it says that it has it: nobody here writes it
// without the lock; a page that is invalidated has gone home before, and what is fetched into its
// frame again is the same; its chunk is pinned, and its region waits. A chunk that is on its way
// out already is not read.
Where Engine::where_is(const BoundPart& part) const {
  const PageId page = part.span.page;
  const PageState state = state_of(page);
  const bool gone = state == PageState::absent || state == PageState::fetching;
  const bool pull = part.refresh == Refresh::pull;
  if (gone && !(pull && planted(Bug::bound_read_from_absent))) return Where::at_home;
  if (!pull) return Where::aboard;
  const Chunk* chunk = is_home(page) ? nullptr : cache_.find(page);
  const bool leaves = chunk != nullptr && chunk->evicting;
  return leaves && !planted(Bug::bound_read_while_leaving) ? Where::aboard : Where::at_sender;
}

bool Engine::is_offered(PageRun run) const {
  return std::any_of(offers_.begin(), offers_.end(), [&](const Offer& offer) {
    return std::any_of(offer.pages.begin(), offer.pages.end(),
                       [&](PageId page) { return run.contains(page); });
  });
}

// A token has come. What was granted before this binding is none of its data: then all that was
// written before is at home.
void Engine::take_aboard(const LockGrant& grant, NodeId from, Effects& out) {
  BoundSource source{from, grant.lock, grant.token.turn, {}};
  bool offered = false;
  std::size_t at = 0, next = 0;
  for (const Aboard& aboard : grant.aboard) {
    const std::size_t size = aboard.where == Where::aboard ? aboard.span.length : 0;
    const auto first = grant.bytes.begin() + static_cast<std::ptrdiff_t>(at);
    at += size;
    offered |= aboard.where == Where::at_sender;
    BoundPart* part = bindings_.find(grant.lock, aboard.span, next);
    if (part == nullptr || grant.token.passed < part->since) continue;
    part->pending = true;
    part->forbidden = false;
    part->where = aboard.where;
    part->bytes.assign(first, first + static_cast<std::ptrdiff_t>(size));
    if (aboard.where == Where::at_sender) source.spans.push_back(aboard.span);
  }
  if (!source.spans.empty()) {
    out.push(ReadBound{std::move(source)});
  } else if (offered) {
    out.push(Send{from, BoundTaken{grant.lock, grant.token.turn}});
  }
}

// The bytes are here, and wait for their frames as those of a grant do.
void Engine::on(const BoundRead& e, Effects& out) {
  const BoundSource& source = e.source;
  out.push(Send{source.owner, BoundTaken{source.lock, source.turn}});
  if (source.turn != lock_here(source.lock).token.turn) return;  // its region has gone meanwhile
  std::size_t at = 0, next = 0;
  for (const Span& span : source.spans) {
    const auto first = e.bytes.begin() + static_cast<std::ptrdiff_t>(at);
    at += span.length;
    BoundPart* part = bindings_.find(source.lock, span, next);
    if (part == nullptr || !part->pending || part->where != Where::at_sender) continue;
    part->where = Where::aboard;
    part->bytes.assign(first, first + static_cast<std::ptrdiff_t>(span.length));
  }
}

// By turn: this answer may come after the lock has been here again, and its data offered anew.
void Engine::on(const BoundTaken& m, NodeId, Effects&) {
  std::erase_if(offers_, [&](const Offer& offer) {
    if (offer.lock != m.lock) return false;
    if (offer.turn != m.turn && !planted(Bug::bound_taken_mistaken)) return false;
    for (const PageId page : offer.pages)
      pins_.erase(std::find(pins_.begin(), pins_.end(), PageRun{page, 1}));
    return true;
  });
}

// What is at its home is fetched from there, whatever this node has of it.
void Engine::forget_what_is_at_home(LockId id, Effects& out) {
  const Bindings::Parts* parts = bindings_.of(id);
  if (parts == nullptr || planted(Bug::bound_stale_copy_kept)) return;
  std::vector<PageId> pages;
  for (const BoundPart& part : *parts)
    if (part.pending && part.where == Where::at_home) pages.push_back(part.span.page);
  if (!pages.empty()) invalidate(PageSet::of(std::move(pages)), out);
}

// Whether everything that is bound to the lock is in the frames; asks for the pages that are
// missing. A frame gets its bytes when its page may be written, so that the page goes home before
// it goes.
bool Engine::bound_is_here(LockId id, Effects& out) {
  Bindings::Parts* parts = bindings_.of(id);
  if (parts == nullptr) return true;
  const bool had = !planted(Bug::bound_not_home_before_barrier);
  const Seq turn = lock_here(id).token.turn;
  bool here = true;
  for (BoundPart& part : *parts) {
    if (!part.pending) continue;
    const PageId page = part.span.page;
    const bool ready =
        is_home(page) || state_of(page) == PageState::dirty || planted(Bug::bound_filled_too_early);
    if (!ready) want(page, out);
    const bool unread = part.where == Where::at_sender && !planted(Bug::bound_used_before_read);
    if (!ready || unread) {
      here = false;
      continue;
    }
    if (part.where == Where::aboard && !planted(Bug::bound_grant_without_data))
      out.push(FillBound{part.span, std::move(part.bytes)});
    part.bytes.clear();
    part.pending = false;
    part.had = had;
    part.version = turn;
  }
  // What was bound while the token was on its way was in no grant.
  if (here)
    for (BoundPart& part : *parts) part.had = had, part.version = turn, part.forbidden = false;
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
  SendBoundDiff diff{home_of(id), id, {}, {}, {}, {}};
  if (auto why = origins_.extract(id); !why.empty()) diff.origin = std::move(why.mapped());
  for (const LockId lock : bindings_.on(id)) {
    for (const BoundPart& part : *bindings_.of(lock)) {
      if (part.span.page != id) continue;
      if (!planted(Bug::bound_bytes_in_diff)) diff.bound.push_back(part.span);
      if (part.had) diff.parts.push_back({lock, part.version, part.span});
      if (part.forbidden && !planted(Bug::bound_writes_unseen))
        diff.forbidden.push_back({lock, part.span});
    }
  }
  out.push(std::move(diff));
}

// A token that comes for nobody may bring data to a region that is about to go, or has gone at
// home.
void Engine::on(const BoundDiff& m, NodeId from, Effects& out) {
  if (!may_be_marked(m.page)) return out.push(Send{from, DiffAck{{m.page, 1}}});
  std::size_t at = 0;
  for (const Versioned& sent : m.parts) {
    const ByteView bytes = m.body.subspan(at, sent.span.length);
    at += sent.span.length;
    std::size_t next = 0;
    BoundPart* part = bindings_.find(sent.lock, sent.span, next);
    if (part == nullptr) continue;
    if (sent.turn < part->version && !planted(Bug::bound_older_overwrites_newer)) continue;
    part->version = sent.turn;
    out.push(FillBound{part->span, Bytes(bytes.begin(), bytes.end())});
  }
  if (at < m.body.size()) out.push(ApplyDiff{{m.page, 1}, m.body.subspan(at)});
  out.push(Send{from, DiffAck{{m.page, 1}}});
}

}  // namespace dsm::core
