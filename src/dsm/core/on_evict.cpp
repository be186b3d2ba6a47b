// The cache's chunks: making room, taking copies away, giving frames back (D20).
#include <algorithm>

#include "base/check.hpp"
#include "dsm/core/engine.hpp"

namespace dsm::core {

void Engine::on(const Pin& e, Effects&) {
  pins_.push_back(e.run);
}

void Engine::on(const Unpin& e, Effects&) {
  const auto it = std::find(pins_.begin(), pins_.end(), e.run);
  DSM_CHECK_WITH(it != pins_.end(), "a run is unpinned once for each time it was pinned",
                 {"first", e.run.first.value});
  pins_.erase(it);
}

// The page's chunk, ready to fetch into; null when the page must wait, for an eviction or for
// something to evict.
Chunk* Engine::make_room(PageId page, Effects& out) {
  if (Chunk* chunk = cache_.find(page); chunk != nullptr) return chunk->evicting ? nullptr : chunk;
  if (Chunk* chunk = cache_.take(page); chunk != nullptr) return chunk;
  starved_ = true;
  // One chunk at a time for all who wait: whoever comes out empty-handed asks again when it has
  // gone.
  if (cache_.evicting() > 0) return nullptr;
  if (Chunk* victim = pick_victim(); victim != nullptr) evict(*victim, out);
  return nullptr;
}

// The least recently fetched-into chunk that nobody pins and that has nothing under way: an
// arriving READ needs its frame.
Chunk* Engine::pick_victim() {
  Chunk* oldest = nullptr;
  for (Chunk& chunk : cache_.chunks()) {
    if (chunk.number == Chunk::unused || chunk.evicting) continue;
    if (chunk.busy > 0 && !planted(Bug::evicted_while_fetching)) continue;
    const PageRun run{cache_.first_page(chunk), config_.chunk_pages};
    const bool pinned = std::any_of(pins_.begin(), pins_.end(), [&](const PageRun& pin) {
      return pin.first < run.end() && run.first < pin.end();
    });
    if (!pinned && (oldest == nullptr || chunk.last_use < oldest->last_use)) oldest = &chunk;
  }
  return oldest;
}

void Engine::evict(Chunk& chunk, Effects& out) {
  cache_.set_evicting(chunk);
  ++counters_.evictions;
  const PageId first = cache_.first_page(chunk);
  for (PageId id = first; id < first + config_.chunk_pages; ++id) {
    Page& page = cache_.page(chunk, id);
    if (planted(Bug::evicted_dirty_unsent) && page.state == PageState::dirty) {
      start_unmap(page, id, out);
    } else if (planted(Bug::evicted_while_fetching) && page.state == PageState::fetching) {
      page.had = true;
      set_state(page, id, PageState::absent);
    } else if (page.state == PageState::seq_read || page.state == PageState::seq_write) {
      close(page, id, Access::none, out);
    } else {
      invalidate(page, id, out);
    }
  }
  forget_clean();
  if (chunk.present == 0) finish_eviction(chunk, out);
}

void Engine::became_absent(PageId id, Effects& out) {
  Chunk& chunk = *cache_.find(id);
  if (!chunk.evicting) return serve(id, out);
  if (chunk.present == 0) finish_eviction(chunk, out);
}

// Everything is unmapped: take the marks back, then the frames.
void Engine::finish_eviction(Chunk& chunk, Effects& out) {
  const PageId first = cache_.first_page(chunk);
  const PageId end = first + config_.chunk_pages;
  bool had = false;
  for (PageId id = first; id < end;) {
    if (!cache_.page(chunk, id).had) {
      ++id;
      continue;
    }
    const Region* region = layout_.region_of(id);
    PageRun run{id, 1};
    while (run.end() < end && run.count < fetch_run_max && cache_.page(chunk, run.end()).had &&
           region != nullptr && region->run().contains(run.end()) &&
           region->home(run.end()) == region->home(id))
      ++run.count;
    std::uint64_t slot = 0;
    // Without room in the ring the marks stay: a notice too many, no harm.
    const bool marked =
        region != nullptr && region->policy() != Policy::sequential && !config_.marks_by_message;
    const NodeId home = marked ? region->home(id) : no_node;
    if (home != no_node && marks_[home].sent - marks_[home].freed < config_.mark_ring_slots &&
        reserve_mark(home, slot, out))
      out.push(Unmark{home, run, slot, epoch()});
    for (PageId p = run.first; p < run.end(); ++p) cache_.page(chunk, p).had = false;
    had = true;
    id = run.end();
  }
  // A chunk that nothing came into goes at once: its Punched would let those who wait for room take
  // it from one another without end, while what they really wait for is not looked at.
  if (had) give_frames_back(chunk, out);
  if (chunk.punches == 0) {
    cache_.give(chunk);
    starved_ = true;
  }
}

// Of all pages that are at home elsewhere, also of those that this node never had: where a device
// reached the chunk, it filled them all. Not of pages under way to another home: that may be this
// node.
void Engine::give_frames_back(Chunk& chunk, Effects& out) {
  const PageId end = cache_.first_page(chunk) + config_.chunk_pages;
  PageRun going{cache_.first_page(chunk), 0};
  const auto punch = [&] {
    if (going.count == 0) return;
    out.punch(going);
    ++chunk.punches;
  };
  for (PageId id = going.first; id < end;) {
    const Region* region = layout_.region_of(id);
    const bool whole = region != nullptr && moves_.leaving.empty();
    const PageRun run = whole ? region->same_home(id, end - id) : PageRun{id, 1};
    const bool stays = is_leaving(id) && !planted(Bug::arriving_frame_punched);
    if (region != nullptr && region->home(id) != config_.self && !being_punched(region->id()) &&
        !stays) {
      going.count += run.count;
    } else {
      punch();
      going = {run.end(), 0};
    }
    id = run.end();
  }
  punch();
}

void Engine::on(const Punched& e, Effects& out) {
  if (punched_home(e.run, out)) return;
  const auto drop = std::find_if(drops_.begin(), drops_.end(), [&](const Drop& d) {
    const Region* region = layout_.region(d.region);
    return d.started && region != nullptr && region->run() == e.run;
  });
  if (drop != drops_.end()) {
    const Region region = *layout_.region(drop->region);
    forget_moves(region);
    homes_.remove(region);
    sharings_.erase(sharings_.lower_bound(e.run.first), sharings_.lower_bound(e.run.end()));
    layout_.remove(drop->region);
    out.push(Wake{drop->who});
    drops_.erase(drop);
    return;
  }
  Chunk* chunk = cache_.find(e.run.first);
  DSM_CHECK_WITH(chunk != nullptr && chunk->punches > 0, "only an evicted chunk is punched",
                 {"page", e.run.first.value});
  if (--chunk->punches > 0) return;
  cache_.give(*chunk);
  retry_absent(out);
}

}  // namespace dsm::core
