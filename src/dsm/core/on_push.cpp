// Pages that a barrier brings to their readers, so that nobody traps: a home compares them with
// their bases and sends what changed; a copy that is written barrier after barrier goes home
// without being protected. All of it falls back to notices and fetches, page by page (PROTOCOL.md
// C).
//
// A push takes the place of its home's notice, for who has taken it, and of nothing else: whoever
// else tells of the page takes the copy away as ever. Who has no copy when a push comes needs none.
#include "dsm/core/pushes.hpp"

#include <algorithm>
#include <limits>

#include "base/check.hpp"
#include "dsm/core/engine.hpp"

namespace dsm::core {
namespace {

// barriers without a change, or a reader, before a base goes
constexpr std::uint8_t quiet_max = 12;
constexpr std::uint8_t back_off_max = 6;  // doublings
// What happens every so many barriers happens on end: one iteration of a program has several.
constexpr std::uint32_t gap_max = 8;

template <typename T>
void count_up(T& counter) {
  if (counter < std::numeric_limits<T>::max()) ++counter;
}

void add(std::vector<PageId>& sorted, PageId id) {
  sorted.insert(std::lower_bound(sorted.begin(), sorted.end(), id), id);
}

// Whether its frame holds a valid copy, which the next barrier may find here still. Not while its
// twin is being taken: what came then would have to keep out of the way.
bool is_copy(const Page& page) {
  switch (page.state) {
    case PageState::fetched:
    case PageState::mapping:
    case PageState::clean:
    case PageState::dirty:
    case PageState::settling:
    case PageState::protecting:
    case PageState::diffing:
      return !page.invalidate;
    default:
      return false;
  }
}

}  // namespace

const std::vector<NodeId>* Pushes::readers_of(PageId page) const {
  const auto contains = [page](const PageRun& run) { return run.contains(page); };
  if (std::none_of(changed.begin(), changed.end(), contains)) return nullptr;
  const auto part = std::find_if(parts.begin(), parts.end(),
                                 [&](const PushPart& p) { return p.run.contains(page); });
  return part == parts.end() ? nullptr : &part->to;
}

void encode(const std::vector<PushCount>& pushes, Writer& out) {
  out.put(static_cast<std::uint16_t>(pushes.size()));
  for (const PushCount& p : pushes) {
    out.put(p.node);
    out.put(p.count);
  }
}

std::vector<PushCount> decode_push_counts(Reader& in) {
  std::vector<PushCount> pushes;
  const auto count = in.get<std::uint16_t>();
  for (std::uint16_t i = 0; i < count && in.ok(); ++i) {
    PushCount p;
    p.node = in.get<NodeId>();
    p.count = in.get<std::uint32_t>();
    pushes.push_back(p);
  }
  return pushes;
}

std::uint32_t count_of(const std::vector<PushCount>& pushes, NodeId node) {
  for (const PushCount& p : pushes)
    if (p.node == node) return p.count;
  return 0;
}

// What is bound travels with its lock. Where races are looked for, only diffs say who wrote what.
bool Engine::may_be_pushed(PageId id) const {
  if (config_.push_after == 0 || config_.find_races) return false;
  const Policy policy = layout_.region_of(id)->policy();
  return policy == Policy::scope || policy == Policy::release;
}

// ---- at the home ----

// A private page has a reader again, in this interval between barriers.
void Engine::came_back(HomePage& home) const {
  if (epoch() - home.returned_at > gap_max) home.returns = 0;
  count_up(home.returns);
  home.returned_at = epoch();
}

// The marks have been read, so the readers are known.
void Engine::start_pushes(Publication& barrier, Effects& out) {
  for (const PageId id : std::vector<PageId>(pushes_.based)) {
    HomePage& home = home_page(id);
    if (home.page.state != PageState::own_written || home.page.flush) {
      // Being mapped anew, for somebody who writes: told of as if it had no base.
      stop_pushing(id, out);
      log_.append(id);
    } else if (home.sharers == 0 && ++home.quiet > quiet_max) {
      stop_pushing(id, out);
      if (may_be_private(home)) set_state(home.page, id, PageState::own_private);
    } else if (home.sharers == 0) {
      // Whoever reads it from now on has what is there now, and may write over it.
      if (!planted(Bug::base_not_renewed)) out.take_base(id);
    } else {
      std::vector<NodeId> readers = homes_.readers_of(id);
      PushPart* const last = pushes_.parts.empty() ? nullptr : &pushes_.parts.back();
      if (last != nullptr && last->run.end() == id && last->to == readers) {
        ++last->run.count;
      } else {
        pushes_.parts.push_back({{id, 1}, std::move(readers)});
      }
      set_state(home.page, id, PageState::own_comparing);
    }
  }
  forget_clean();
  if (!config_.marks_by_message)
    for (const PageId id : dirty_)
      if (is_home(id)) start_pushing(id, out);
  if (pushes_.parts.empty()) return;
  pushes_.comparing = true;
  pushes_.flush_number = flushes_.begin();
  barrier.flushes_before = flushes_.next();
  out.push(PushPages{epoch(), pushes_.parts});
}

// From the next barrier on. At this one it is told of as ever, whatever was written up to here; so
// a copy that somebody has behind this barrier has everything that the base has.
void Engine::start_pushing(PageId id, Effects& out) {
  HomePage& home = home_page(id);
  if (home.page.state != PageState::own_written || home.page.flush || home.pushed) return;
  if (home.sharers == 0 || home.returns < config_.push_after || !may_be_pushed(id)) return;
  if (pushes_.based.size() >= config_.pushed_pages) return;
  home.pushed = true;
  home.quiet = 0;
  add(pushes_.based, id);
  log_.append(id);
  out.take_base(id);
}

void Engine::stop_pushing(PageId id, Effects& out) {
  HomePage& home = home_page(id);
  if (!home.pushed) return;
  home.pushed = false;
  std::erase(pushes_.based, id);
  out.drop_base(id);
}

// Words that were changed by atomic operations, perhaps after this node compared them: they are in
// the frame, and in no base, and would be pushed over what is written to them behind the barrier.
void Engine::forget_bases(const PageSet& operated_on, Effects& out) {
  if (operated_on.empty() || planted(Bug::atomics_not_in_base)) return;
  for (const PageId id : std::vector<PageId>(pushes_.based))
    if (operated_on.contains(id)) stop_pushing(id, out);
}

// Only what has changed is told of.
void Engine::on(const Pushed& e, Effects& out) {
  DSM_CHECK(pushes_.comparing, "pushes end once");
  pushes_.comparing = false;
  pushes_.changed = e.changed;
  pushes_.to = e.to;
  for (const PageRun& run : e.changed)
    for (PageId id = run.first; id < run.end(); ++id) {
      log_.append(id);
      home_page(id).quiet = 0;
    }
  for (const PushPart& part : pushes_.parts) {
    for (PageId id = part.run.first; id < part.run.end(); ++id) {
      HomePage& home = home_page(id);
      const bool changed = pushes_.readers_of(id) != nullptr;
      if (changed) counters_.pushed += part.to.size();
      if (!changed && ++home.quiet >= quiet_max) stop_pushing(id, out);
      set_state(home.page, id, PageState::own_written);
      if (home.page.flush) {
        protect(home.page, id, out);
      } else {
        serve(id, out);
      }
    }
  }
  flushes_.end(pushes_.flush_number);
}

// ---- at a reader ----

// One of a barrier that this node has yet to arrive at is taken as it comes: its bytes belong to
// nobody who reads them before. A home may be one barrier further.
void Engine::on(const Push& m, NodeId from, Effects& out) {
  const bool early = m.epoch == epoch() + 1;
  DSM_CHECK_WITH(early || m.epoch == epoch() || planted(Bug::barrier_left_before_push),
                 "a push is for this barrier or the next", {"from", from.value},
                 {"epoch", m.epoch.value});
  if (early && !planted(Bug::early_push_taken)) {
    pushes_.early.push_back({from, m.runs, Bytes(m.body.begin(), m.body.end())});
    return;
  }
  ApplyPush apply;
  apply.body = m.body;
  take_push(from, m.runs, apply, out);
  exit_if_all_is_here(out);
}

void Engine::take_push(NodeId from, const std::vector<PageRun>& runs, ApplyPush& apply,
                       Effects& out) {
  PageRun unwanted{PageId(0), 0};
  bool taken = false, held = false;
  for (const PageRun& run : runs) {
    for (PageId id = run.first; id < run.end(); ++id) {
      DSM_CHECK_WITH(home_of(id) == from || is_leaving(id), "only its home pushes a page",
                     {"page", id.value}, {"from", from.value});
      apply.pages.push_back({id, what_to_take(id)});
      taken = taken || apply.pages.back().taken != Taken::nothing;
      const Page* const page = find_page(id);
      const PageState state = page == nullptr ? PageState::absent : page->state;
      const bool again = state == PageState::fetching && page->poisoned;  // it will be fetched
      if (state == PageState::absent || state == PageState::unmapping || again)
        pushes_.missed.push_back(id);
      held = held || (state == PageState::fetching && !again && !planted(Bug::push_into_fetch));
      if (state != PageState::absent) continue;
      if (unwanted.count > 0 && (unwanted.end() != id || unwanted.count == fetch_run_max)) {
        decline(unwanted, from, out);
        unwanted.count = 0;
      }
      if (unwanted.count++ == 0) unwanted.first = id;
    }
  }
  if (unwanted.count > 0) decline(unwanted, from, out);
  const auto came = std::find_if(pushes_.came.begin(), pushes_.came.end(),
                                 [from](const PushCount& p) { return p.node == from; });
  if (came == pushes_.came.end()) {
    pushes_.came.push_back({from, 1});
  } else {
    ++came->count;
  }
  if (held) {
    const ByteView body = apply.kept.empty() ? apply.body : ByteView(apply.kept);
    pushes_.held.push_back({from, runs, Bytes(body.begin(), body.end())});
  }
  if (taken) out.push(std::move(apply));
}

Taken Engine::what_to_take(PageId id) {
  Page* const page = find_page(id);
  if (page == nullptr || operated_on(id)) return Taken::nothing;
  const bool blind = page->state == PageState::fetching && planted(Bug::push_into_fetch);
  if (!is_copy(*page) && !blind) return Taken::nothing;
  cover(*page, id);
  const bool nothing_newer = page->steady && page->state == PageState::clean;
  return nothing_newer || planted(Bug::whole_lines_over_newer) ? Taken::whole_lines
                                                               : Taken::changed_bytes;
}

// What this node's atomic operations left in a page may be in a push, and what it stored there
// behind them is not; such a copy goes at the barrier.
bool Engine::operated_on(PageId id) const {
  return atomics_.names(id) && !planted(Bug::push_over_atomic);
}

void Engine::cover(Page& page, PageId id) {
  if (!page.covered) pushes_.covered.push_back(id);
  page.covered = true;
}

// A READ that is posted behind a push finds at the home all that was pushed.
void Engine::cover_fetch(Page& page, PageId id) {
  const bool missed =
      std::find(pushes_.missed.begin(), pushes_.missed.end(), id) != pushes_.missed.end();
  if (missed && !operated_on(id)) cover(page, id);
}

// Of a READ that was under way nobody knows on which side of a push it took effect: it is stored
// once more.
void Engine::take_held(Page& page, PageId id, Effects& out) {
  for (const Pushes::Kept& held : pushes_.held) {
    const auto contains = [id](const PageRun& run) { return run.contains(id); };
    if (operated_on(id) || std::none_of(held.runs.begin(), held.runs.end(), contains)) continue;
    ApplyPush apply;
    for (const PageRun& run : held.runs)
      for (PageId p = run.first; p < run.end(); ++p)
        apply.pages.push_back({p, p == id ? Taken::changed_bytes : Taken::nothing});
    apply.kept = held.body;
    cover(page, id);
    out.push(std::move(apply));
  }
}

// Nobody here reads these pages any more. Without room in the ring their marks stay: a push too
// many.
void Engine::decline(PageRun run, NodeId home, Effects& out) {
  for (PageId id = run.first; id < run.end(); ++id)
    if (Page* const page = find_page(id); page != nullptr) page->samples = 0;
  const MarkWindows::Peer& ring = marks_[home];
  std::uint64_t slot = 0;
  if (ring.sent - ring.freed < config_.mark_ring_slots && reserve_mark(home, slot, out))
    out.push(Unmark{home, run, slot, epoch()});
}

bool Engine::pushes_are_here() const {
  for (std::uint32_t n = 0; n < config_.nodes; ++n) {
    if (NodeId(n) == config_.self) continue;
    Reader in(barrier_.contribution(NodeId(n)));
    if (count_of(pushes_.came, NodeId(n)) < count_of(decode_push_counts(in), config_.self))
      return false;
  }
  return true;
}

bool Engine::is_kept_up(const Page& page, PageId id, NodeId writer) const {
  const bool counts = page.covered || (page.steady && planted(Bug::barrier_left_before_push));
  return counts && home_of(id) == writer;
}

// A copy whose changes went home in place, and that goes nevertheless, had better been protected.
void Engine::not_kept_up(Page& page) {
  if (page.state != PageState::dirty || page.rewritten == 0) return;
  if (page.in_vain < back_off_max) ++page.in_vain;
  page.rewritten = 0;
}

// Behind the barrier's notices. Now and then a copy is taken away to see whether anybody comes for
// it (C15).
void Engine::finish_pushes(Effects& out) {
  for (const PageId id : std::exchange(pushes_.covered, {})) {
    Page* const page = find_page(id);
    if (page == nullptr || !page->covered) continue;
    page->covered = false;
    page->steady = page->state == PageState::clean;
    ++counters_.kept_up;
    count_up(page->unsampled);
    if (page->unsampled < std::uint64_t{config_.push_samples} << page->samples) continue;
    page->unsampled = 0;
    if (page->samples < back_off_max) ++page->samples;
    invalidate(*page, id, out);
  }
  forget_clean();
  pushes_.parts.clear();
  pushes_.changed.clear();
  pushes_.to.clear();
  pushes_.came.clear();
  pushes_.missed.clear();
  pushes_.held.clear();
  for (Pushes::Kept& early : std::exchange(pushes_.early, {})) {
    ApplyPush apply;
    apply.kept = std::move(early.body);
    take_push(early.from, early.runs, apply, out);
  }
}

// ---- a copy that is written ----

// Its changes go home while the program may go on writing: who writes it barrier after barrier need
// not trap each time. What is sent is a snapshot, which becomes the twin (D18).
bool Engine::goes_in_place(Page& page, PageId id) {
  if (page.state != PageState::dirty || !may_be_pushed(id)) return false;
  const auto now = static_cast<std::uint16_t>(epoch().value);
  if (static_cast<std::uint16_t>(now - page.rewritten_at) > gap_max) page.rewritten = 0;
  count_up(page.rewritten);
  page.rewritten_at = now;
  return page.rewritten > config_.push_after << page.in_vain;
}

// Home, so it may be told of. Whoever wanted it home in the meantime wanted what was written since,
// too.
void Engine::settled(Page& page, PageId id, bool changed, Effects& out) {
  if (changed) log_.append(id);
  if (page.flush) return protect(page, id, out);
  flushes_.end(page.flush_number);
  set_state(page, id, PageState::dirty);
  serve(id, out);
}

}  // namespace dsm::core
