// Bringing pages: the one that somebody waits for, and those that he will come to next.
#include <algorithm>

#include "base/check.hpp"
#include "dsm/core/engine.hpp"

namespace dsm::core {

// Fetches the page and, with it, what follows at the same home and was here before: its readers
// come back for it (rule B5: one mark, one READ, one trip).
void Engine::fetch(PageId id, Effects& out) {
  Chunk* chunk = make_room(id, out);
  if (chunk == nullptr) return;
  const Region* region = layout_.region_of(id);
  const std::uint64_t chunk_end = cache_.first_page(*chunk).value + config_.chunk_pages;
  const std::uint64_t most =
      std::min({fetch_run_max, std::uint64_t{config_.fetch_window} + 1, chunk_end - id.value});
  PageRun run = region->same_home(id, most);
  std::uint64_t count = 1;
  while (count < run.count) {
    const Page& next = cache_.page(*chunk, id + count);
    if (next.state != PageState::absent || !next.had || next.ahead || is_leaving(id + count)) break;
    ++count;
  }
  run.count = count;
  if (start_fetch(*chunk, run, region->home(id), Why::asked, out)) cache_.touch(*chunk);
}

// False: the home's ring of marks is full. It has been asked to empty it, and its answer brings
// whoever waits for a page back here (retry_absent()).
bool Engine::start_fetch(Chunk& chunk, PageRun run, NodeId home, Why why, Effects& out) {
  std::uint64_t slot = 0;
  if (!config_.marks_by_message && !reserve_mark(home, slot, out)) return false;
  bool cold = true;
  for (PageId p = run.first; p < run.end(); ++p) {
    Page& page = cache_.page(chunk, p);
    cold = cold && !page.had;
    page.poisoned = false;
    page.ahead = why == Why::ahead;
    set_state(chunk, page, PageState::fetching);
    if (!pushes_.missed.empty()) cover_fetch(page, p);
  }
  counters_.fetches += run.count;
  if (why == Why::ahead) counters_.fetched_ahead += run.count;
  if (!config_.marks_by_message) {
    out.push(Fetch{home, run, slot, epoch(), cold});
    return true;
  }
  const bool untold = why == Why::ahead && planted(Bug::ahead_unmarked);
  if (!untold) out.push(Send{home, MarkNote{run, epoch()}});
  if (untold || planted(Bug::read_before_mark_taken))
    out.push(Fetch{home, run, std::nullopt, epoch()});
  return true;
}

void Engine::on(const Fetched& e, Effects& out) {
  Chunk& chunk = *cache_.find(e.run.first);
  bool somebody_reads_on = false;  // from a page of this run
  for (PageId id = e.run.first; id < e.run.end(); ++id) {
    Page& page = cache_.page(chunk, id);
    DSM_CHECK_WITH(page.state == PageState::fetching, "only a page under way arrives",
                   {"page", id.value}, {"state", static_cast<std::uint64_t>(page.state)});
    if (!page.poisoned && !pushes_.held.empty()) take_held(page, id, out);
    const bool forgotten = page.ahead && planted(Bug::ahead_wakes_nobody);
    const Access wanted = forgotten ? Access::none : wanted_at(id);
    somebody_reads_on |= wanted == Access::read;
    if (page.poisoned && !planted(Bug::fetch_not_poisoned)) {
      page.poisoned = false;
      page.had = true;
      set_state(chunk, page, PageState::absent);
    } else if (wanted == Access::write) {
      page.ahead = false;
      start_writing(page, id, out);
    } else if (page.ahead && !somebody_reads_on) {
      set_state(chunk, page, PageState::fetched);
    } else {
      page.ahead = false;
      set_state(chunk, page, PageState::mapping);
    }
  }
  for (PageId id = e.run.first; id < e.run.end(); ++id) {
    const PageState state = cache_.page(chunk, id).state;
    if (state == PageState::mapping) out.change(id, Access::none, Access::read);
    if (state == PageState::opening) out.change(id, Access::none, Access::write);
    if (state == PageState::absent) serve(id, out);
  }
}

// ---- ahead of who goes through memory page after page (read_ahead.hpp) ----

// Somebody has come to a page that is not mapped. `missed`: it was not even under way.
void Engine::read_ahead(PageId page, bool missed, Effects& out) {
  const Region& region = *layout_.region_of(page);
  if (region.policy() == Policy::sequential || region.home(page) == config_.self) return;
  // Who leaves pages out goes through memory in another order.
  const Page* const before =
      page == region.run().first ? nullptr : find_page(PageId(page.value - 1));
  const bool left_out = before != nullptr && before->ahead && before->state != PageState::absent;
  Stream* stream = left_out ? nullptr : streams_.at(page);
  if (stream == nullptr) {
    if (missed) streams_.begin(next_miss(region, page));
    return;
  }
  // Who misses the edge itself has gone further than was thought.
  const Doubts doubts = missed && page == stream->edge ? Doubts::ignored : Doubts::heeded;
  const PageId first = std::max(stream->edge, next_miss(region, page));
  const std::uint64_t pages = Streams::widen(*stream, config_.read_ahead);
  stream->newest = first;
  stream->edge = fetch_ahead(region, {first, pages}, doubts, out);
  // What is being used goes later than what is not yet.
  if (Chunk* here = cache_.find(page); here != nullptr) cache_.touch(*here);
}

// Behind the page and what comes with it.
PageId Engine::next_miss(const Region& region, PageId page) const {
  const Chunk* chunk = cache_.find(page);
  const std::uint64_t chunk_end = (page.value / config_.chunk_pages + 1) * config_.chunk_pages;
  const std::uint64_t end =
      std::min({chunk_end, region.run().end().value, page.value + fetch_run_max});
  PageId next = page + 1;
  if (chunk == nullptr) return next;
  while (next.value < end && (cache_.page(*chunk, next).state != PageState::absent ||
                              region.home(next) == config_.self))
    ++next;
  return next;
}

// Returns where it ended: at the region's end, at a page that went unread when it was fetched ahead
// last (if doubts are heeded), or where it would have had to wait. It takes nobody's room: no chunk
// is evicted for it, the last free one and the last marks are for those who ask.
PageId Engine::fetch_ahead(const Region& region, PageRun window, Doubts doubts, Effects& out) {
  const PageId end = std::min(window.end(), region.run().end());
  const auto is_wanted = [&](const Page& page) {
    return page.state == PageState::absent && (!page.ahead || doubts == Doubts::ignored);
  };
  PageId id = window.first;
  while (id < end) {
    const PageRun same = region.same_home(id, end - id);
    const NodeId home = region.home(id);
    if (home == config_.self) {
      id = same.end();
      continue;
    }
    Chunk* chunk = has_spare_mark(home, out) ? spare_chunk(id) : nullptr;
    if (chunk == nullptr) break;
    const PageId stop =
        std::min({same.end(), cache_.first_page(*chunk) + config_.chunk_pages, id + fetch_run_max});
    PageRun run{id, 0};
    while (run.end() < stop && is_wanted(cache_.page(*chunk, run.end())) && !is_leaving(run.end()))
      ++run.count;
    if (run.count == 0) {
      if (cache_.page(*chunk, id).state == PageState::absent) break;
      ++id;
      continue;
    }
    if (!start_fetch(*chunk, run, home, Why::ahead, out)) break;
    cache_.touch(*chunk);
    id = run.end();
  }
  return id;
}

Chunk* Engine::spare_chunk(PageId page) {
  Chunk* chunk = cache_.find(page);
  if (chunk != nullptr) return chunk->evicting ? nullptr : chunk;
  return cache_.used() + 1 < config_.cache_chunks ? cache_.take(page) : nullptr;
}

// Asks for credit early, so that nobody has to wait for it.
bool Engine::has_spare_mark(NodeId home, Effects& out) {
  if (config_.marks_by_message) return true;
  MarkWindows::Peer& peer = marks_[home];
  const std::uint64_t used = peer.sent - peer.freed;
  if (used >= config_.mark_ring_slots / 2 && !peer.flushing) {
    out.push(Send{home, MarkFlush{}});
    peer.flushing = true;
  }
  return used < config_.mark_ring_slots - config_.mark_ring_slots / 4;
}

// By one change of protection for whoever reads on, up to where the next window is to begin.
void Engine::open_fetched(PageId id, Access wanted, Effects& out) {
  Chunk& chunk = *cache_.find(id);
  if (wanted == Access::write) {
    Page& page = cache_.page(chunk, id);
    page.ahead = false;
    start_writing(page, id, out);
    return out.change(id, Access::none, Access::write);
  }
  const PageId chunk_end = cache_.first_page(chunk) + config_.chunk_pages;
  const PageId end = streams_.next_window({id, chunk_end - id});
  for (PageId p = id; p < end && cache_.page(chunk, p).state == PageState::fetched; ++p) {
    Page& page = cache_.page(chunk, p);
    page.ahead = false;
    set_state(chunk, page, PageState::mapping);
    out.change(p, Access::none, Access::read);
  }
}

void Engine::count_unread(PageId id) {
  ++counters_.fetched_ahead_unread;
  streams_.was_wrong(id);
}

// Nobody has seen it: nothing need be unmapped.
void Engine::drop_unread(Page& page, PageId id) {
  count_unread(id);
  page.had = true;
  set_state(page, id, PageState::absent);
}

}  // namespace dsm::core
