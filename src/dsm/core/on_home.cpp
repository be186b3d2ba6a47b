// What other nodes do to this node's own pages: diffs that come home, marks that readers leave; and
// regions coming and going.
#include <algorithm>

#include "base/check.hpp"
#include "dsm/core/engine.hpp"

namespace dsm::core {

void Engine::on(const Diff& m, NodeId from, Effects& out) {
  for (PageId id = m.run.first; id < m.run.end(); ++id)
    DSM_CHECK_WITH(is_home(id), "a diff goes to the page's home", {"page", id.value},
                   {"from", from.value});
  look_for_races(m, from, out);
  if (config_.migrate_after > 0) note_writer(m.run, from);
  out.push(ApplyDiff{m.run, m.body});
  out.push(Send{from, DiffAck{m.run}});
}

// An entry of a ring may have been left before its region's end, and be read behind it, when the
// page is another region's, with another home.
bool Engine::may_be_marked(PageId id) const {
  const Region* region = layout_.region_of(id);
  return region != nullptr && region->home(id) == config_.self && !being_punched(region->id());
}

void Engine::on(const Marked& e, Effects& out) {
  MarkWindows::Peer& peer = marks_[e.reader];
  ++peer.consumed;
  if (peer.consumed - peer.credited >= (config_.mark_ring_slots + 3) / 4) {
    peer.credited = peer.consumed;
    out.push(Send{e.reader, MarkCredit{peer.consumed}});
  }
  if (planted(Bug::mark_lost) && e.epoch.value % 2 == 1) return;
  if (e.added) return add_marks(e.run, {e.reader, e.epoch});
  for (PageId id = e.run.first; id < e.run.end(); ++id)
    if (may_be_marked(id)) homes_.remove_mark(home_page(id), id, e.reader);
}

// A private page that gets its first reader counts as written: nobody was watching it (B8).
void Engine::add_marks(PageRun run, Homeland::Mark mark) {
  for (PageId id = run.first; id < run.end(); ++id) {
    if (!may_be_marked(id)) continue;
    HomePage& home = home_page(id);
    homes_.add_mark(home, id, mark);
    const bool opening = home.page.state == PageState::own_opening && home.page.private_next;
    const bool was_private = home.page.state == PageState::own_private || opening;
    if (home.sharers == 1) note_reader(id, was_private);
    if (!was_private) continue;
    if (planted(Bug::shared_not_written)) continue;
    came_back(home);
    if (opening) {
      home.page.private_next = false;
    } else {
      set_state(home.page, id, PageState::own_written);
    }
    dirty_.push_back(id);
    log_.append(id);
  }
}

// The mark is here when the answer leaves, and the READ begins when the answer is there (B6). Such
// marks are not taken back by their readers: a message that takes one back could overtake the next
// that leaves it. They end with a barrier that names the page.
void Engine::on(const MarkNote& m, NodeId from, Effects& out) {
  add_marks(m.run, {from, m.epoch});
  out.push(Send{from, MarkTaken{m.run}});
}

void Engine::on(const MarkTaken& m, NodeId from, Effects& out) {
  if (planted(Bug::read_before_mark_taken)) return;
  out.push(Fetch{from, m.run, std::nullopt, epoch()});
}

// A reader's ring is written in order; a full one is told to the home by message (B5).
bool Engine::reserve_mark(NodeId home, std::uint64_t& slot, Effects& out) {
  MarkWindows::Peer& peer = marks_[home];
  if (peer.sent - peer.freed >= config_.mark_ring_slots) {
    if (!peer.flushing) out.push(Send{home, MarkFlush{}});
    peer.flushing = true;
    return false;
  }
  slot = peer.sent++;
  return true;
}

void Engine::on(const MarkFlush&, NodeId from, Effects& out) {
  marks_[from].credit_due = true;
  out.push(DrainMarks{publications_made_++, {}});
}

void Engine::on(const MarkCredit& m, NodeId from, Effects& out) {
  MarkWindows::Peer& peer = marks_[from];
  peer.freed = std::max(peer.freed, m.consumed);
  peer.flushing = false;
  retry_absent(out);
}

void Engine::on(const AddRegion& e, Effects&) {
  layout_.add(e.region);
  homes_.add(e.region, config_.self);
  if (config_.private_pages || e.region.policy() == Policy::sequential) return;
  const PageRun run = e.region.run();
  for (PageId id = run.first; id < run.end(); ++id) {
    if (!is_home(id)) continue;
    set_state(home_page(id).page, id, PageState::own_written);
    dirty_.push_back(id);
  }
}

// From now on no lock that comes brings data to it.
void Engine::on(const DropRegion& e, Effects&) {
  drops_.push_back({e.region, e.who});
  const Region* region = layout_.region(e.region);
  if (region == nullptr) return;
  const PageRun run = region->run();
  bindings_.remove(run);
  std::erase_if(waiters_,
                [&](const Waiter& w) { return w.who == engine_itself && run.contains(w.page); });
}

bool Engine::being_punched(RegionId region) const {
  return std::any_of(drops_.begin(), drops_.end(),
                     [&](const Drop& d) { return d.started && d.region == region; });
}

// Two barriers stand around a drop, so nobody uses the pages; what is still under way (a fetch
// ahead, a mapping, the flush of an own page for some lock) ends by itself, and nothing may begin
// any more once the frames are on their way out.
void Engine::finish_drops(Effects& out) {
  for (Drop& drop : drops_) {
    const Region* region = layout_.region(drop.region);
    DSM_CHECK_WITH(region != nullptr, "a region is dropped once", {"region", drop.region.value});
    if (drop.started) continue;
    const PageRun run = region->run();
    bool gone = !is_offered(run) && !is_leaving(run);
    for (Chunk& chunk : cache_.chunks()) {
      if (chunk.number == Chunk::unused) continue;
      const PageId first = std::max(run.first, cache_.first_page(chunk));
      const PageId end = std::min(run.end(), cache_.first_page(chunk) + config_.chunk_pages);
      for (PageId id = first; id < end; ++id) {
        Page& page = cache_.page(chunk, id);
        if (is_sequential(page.state)) {
          discard(page, id, out);
        } else {
          invalidate(page, id, out);
        }
        gone = gone && page.state == PageState::absent && !chunk.evicting;
        if (page.state == PageState::absent) page.had = page.ahead = false;
      }
    }
    forget_clean();
    for (PageId id = run.first; id < run.end(); ++id) {
      if (region->home(id) != config_.self) continue;
      const PageState state = homes_.at(*region, id).page.state;
      if (is_sequential(state)) {
        gone = gone && is_resting_at_home(id);
        continue;
      }
      gone = gone && (state == PageState::own_private || state == PageState::own_watched ||
                      state == PageState::own_written);
    }
    if (!gone) continue;
    drop.started = true;
    forget_watches(run, out);
    for (PageId id = run.first; id < run.end(); ++id) {
      if (region->home(id) != config_.self) continue;
      HomePage& home = homes_.at(*region, id);
      homes_.clear_marks(home, id, Epoch(~std::uint32_t{0}), {});
      if (home.pushed) stop_pushing(id, out);
      if (home.page.state == PageState::own_written)
        set_state(home.page, id, PageState::own_private);
    }
    forget_clean();
    out.push(Punch{run});
  }
}

}  // namespace dsm::core
