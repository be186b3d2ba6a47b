// A page gets its home at the node that alone writes it. Its home sees that by the diffs, tells of
// the move at a barrier, and from that barrier's exit on nobody gets at the page until it has
// arrived (PROTOCOL.md 22):
//
//   - every copy goes, as ever; accesses, fetches and atomic operations wait in the engine.
//   - a node that has nothing of these pages under way tells their home so (MoveReady).
//   - the home, which has closed its own view of them, hears that of everybody, sends the contents
//     (MoveContent) and gives its frames back.
//   - the new home, when they are in its frames, tells everybody (MoveDone), and accesses go on.
//
// No copy exists when the home changes, so no mark has to move. It takes engines only, and no
// thread: whoever holds a lock may wait for such a page. A barrier's exit waits until this node's
// own views of these pages are closed, as it does for other pages that a barrier takes away, and
// for nothing else of this.
#include <algorithm>
#include <limits>
#include <utility>

#include "base/check.hpp"
#include "dsm/core/engine.hpp"

namespace dsm::core {
namespace {

constexpr std::uint8_t doublings_max = 6;
// What happens every so many barriers happens on end: one iteration of a program has several.
constexpr std::uint32_t gap_max = 8;

}  // namespace

// ---- at the home: who should have it ----

void Engine::note_writer(PageRun run, NodeId from) {
  for (PageId id = run.first; id < run.end(); ++id) {
    if (is_leaving(id)) continue;
    HomePage& home = home_page(id);
    if (home.writer != from.value) {
      home.contested = home.written;
      home.writer = static_cast<std::uint16_t>(from.value);
      home.alone = 0;
    }
    if (!home.written) moves_.written.push_back(id);
    home.written = true;
  }
}
static_assert(nodes_max <= std::numeric_limits<std::uint16_t>::max());

// Such a word is best where it is used most, which is not known.
void Engine::note_operations(const PageSet& operated_on) {
  if (operated_on.empty()) return;
  for (const PageId id : moves_.written)
    if (operated_on.contains(id)) home_page(id).contested = true;
}

// Whether this node, its home, has written nothing to the page since the interval `since`, as far
// as it knows: its watch on a page with readers has lasted since then, and a writer is a reader; or
// what it compares with a base has not changed.
bool Engine::is_left_alone(const HomePage& home, Epoch since) {
  if (home.pushed) return home.quiet > 0 && home.sharers > 0;
  return home.page.state == PageState::own_watched && home.watched_since < since;
}

// At the exit of a barrier all diffs of the interval that it ends have come.
void Engine::judge_writers(Epoch ended) {
  for (const PageId id : std::exchange(moves_.written, {})) {
    HomePage& home = home_page(id);
    const bool alone = is_left_alone(home, ended) && !home.contested;
    home.written = home.contested = false;
    if (!alone) {
      home.alone = 0;
      continue;
    }
    if (ended - home.written_at > gap_max || !is_left_alone(home, home.written_at)) home.alone = 0;
    if (home.alone < std::numeric_limits<std::uint16_t>::max()) ++home.alone;
    home.written_at = ended;
    if (may_be_moved(id)) moves_.candidates.push_back(id);
  }
}

// Somebody else may have written it since it became a candidate, or this node itself.
bool Engine::may_be_moved(PageId id) const {
  const Region* region = layout_.region_of(id);
  if (region == nullptr || region->home(id) != config_.self || is_leaving(id)) return false;
  if (config_.find_races || config_.watching != Watching::by_traps ||
      (region->policy() != Policy::scope && region->policy() != Policy::release))
    return false;
  const HomePage& home = homes_.at(*region, id);
  const std::uint32_t enough = config_.migrate_after << std::min(home.moves, doublings_max);
  return home.alone >= enough && !home.contested && is_left_alone(home, home.written_at) &&
         !atomics_.names(id) &&
         std::none_of(pins_.begin(), pins_.end(),
                      [id](const PageRun& pin) { return pin.contains(id); }) &&
         std::none_of(drops_.begin(), drops_.end(),
                      [&](const Drop& d) { return d.region == region->id(); });
}

// For this node's part of a barrier. Nobody is given more pages than a cache has room for: his
// memory is for those that he had from the first, and for a cache.
std::vector<Move> Engine::announce_moves() {
  std::vector<Move> moves;
  if (moves_.candidates.empty()) return moves;
  std::vector<PageId> candidates = std::exchange(moves_.candidates, {});
  std::sort(candidates.begin(), candidates.end());
  candidates.erase(std::unique(candidates.begin(), candidates.end()), candidates.end());
  const std::uint64_t room = std::uint64_t{config_.cache_chunks} * config_.chunk_pages;
  std::vector<std::uint64_t> given = moves_.given;
  std::uint64_t pages = 0;
  for (const PageId id : candidates) {
    if (!may_be_moved(id)) continue;
    const HomePage& home = home_page(id);
    const NodeId to(home.writer);
    const Region& region = *layout_.region_of(id);
    const bool back = region.first_home(id) == to;
    if (!back && given[to.value] >= room) continue;
    const bool extends = !moves.empty() && moves.back().run.end() == id && moves.back().to == to &&
                         moves.back().moves == home.moves && id != region.run().first;
    if (pages == moved_pages_max || (!extends && moves.size() == moves_max)) {
      moves_.candidates.push_back(id);
      continue;
    }
    ++pages;
    if (!back) ++given[to.value];
    if (extends) {
      ++moves.back().run.count;
    } else {
      moves.push_back({{id, 1}, to, home.moves});
    }
  }
  if (moves.empty()) return moves;
  Moves::Batch batch;
  batch.from = config_.self;
  batch.epoch = epoch();
  moves_.batches.push_back(std::move(batch));
  return moves;
}

// ---- everywhere: the barrier that told of them is behind us ----

// A page that is still on its way here, as far as this node knows, may be told of again by the home
// that it has arrived at: the word of its arrival has been overtaken, and means nothing more.
void Engine::begin_moves(NodeId from, Epoch ended, const std::vector<Move>& moves, Effects& out) {
  Moves::Batch* batch = moves_.find(from, ended);
  if (batch == nullptr) {
    batch = &moves_.batches.emplace_back();
    batch->from = from;
    batch->epoch = ended;
  }
  batch->begun = true;
  batch->moves = moves;
  for (const Move& move : moves) {
    for (PageId id = move.run.first; id < move.run.end(); ++id) {
      DSM_CHECK_WITH(home_of(id) == from || is_leaving(id), "a page's home tells of its move",
                     {"page", id.value}, {"from", from.value});
      batch->pages.push_back(id);
      if (from != config_.self) give_home(id, from);
      moves_.leaving.insert_or_assign(id, Moves::Leaving{from, ended, false});
    }
    if (move.to == config_.self) batch->unfilled += move.run.count;
  }
  if (from == config_.self) {
    batch->open = batch->pages;
    for (const PageId id : batch->open) home_page(id).page.departure_number = departures_.begin();
  } else {
    invalidate(PageSet::of(batch->pages), out);
  }
}

void Engine::give_home(PageId id, NodeId home) {
  const Region& region = *layout_.region_of(id);
  const NodeId first = region.first_home(id), before = region.home(id);
  if (before != first) --moves_.given[before.value];
  if (home != first) ++moves_.given[home.value];
  if (before != home) layout_.move(id, home);
}

void Engine::forget_moves(const Region& region) {
  const PageRun run = region.run();
  for (PageId id = run.first; id < run.end(); ++id)
    if (region.home(id) != region.first_home(id)) --moves_.given[region.home(id).value];
  std::erase_if(moves_.written, [&](PageId id) { return run.contains(id); });
  std::erase_if(moves_.candidates, [&](PageId id) { return run.contains(id); });
}

bool Engine::is_leaving(PageRun run) const {
  const auto it = moves_.leaving.lower_bound(run.first);
  return it != moves_.leaving.end() && it->first < run.end();
}

// Nothing new begins with a page that leaves, so what is quiet stays so.
void Engine::advance_moves(Effects& out) {
  for (Moves::Batch& batch : moves_.batches) {
    if (!batch.begun || batch.ready) continue;
    if (!batch.open.empty()) close_home(batch, out);
    while (batch.quiet < batch.pages.size() && is_quiet(batch, batch.pages[batch.quiet]))
      ++batch.quiet;
    if (batch.quiet < batch.pages.size()) continue;
    if (batch.from != config_.self) {
      batch.ready = true;
      out.push(Send{batch.from, MoveReady{batch.epoch}});
    } else if (batch.readies + 1 == config_.nodes) {
      batch.ready = true;
      send_contents(batch, out);
    }
  }
}

bool Engine::is_quiet(const Moves::Batch& batch, PageId id) const {
  if (!planted(Bug::moved_under_operation) && atomics_.is_under_way(id)) return false;
  if (batch.from == config_.self) return state_of(id) == PageState::own_closed;
  const PageState state = state_of(id);
  if (planted(Bug::moved_under_diff) && state == PageState::diffing) return true;
  if (planted(Bug::moved_under_fetch) && state == PageState::fetching) return true;
  if (state != PageState::absent) return false;
  // Its frame may be on its way out with its chunk.
  const Chunk* chunk = batch.unfilled == 0 ? nullptr : cache_.find(id);
  return chunk == nullptr || !chunk->evicting || planted(Bug::arriving_frame_punched);
}

// ---- at the old home ----

// What the program at the home has written is in the frame when its view is closed. Nobody will
// have a copy from before, so nobody need hear of it; but a superset is always legal.
void Engine::close_home(Moves::Batch& batch, Effects& out) {
  std::erase_if(batch.open, [&](PageId id) {
    HomePage& home = home_page(id);
    const PageState state = home.page.state;
    if (state != PageState::own_private && state != PageState::own_watched &&
        state != PageState::own_written)
      return false;
    stop_pushing(id, out);
    if (state == PageState::own_written) log_.append(id);
    set_state(home.page, id, PageState::own_closing);
    if (planted(Bug::old_home_keeps_mapping)) {
      departures_.end(home.page.departure_number);
      set_state(home.page, id, PageState::own_closed);
    } else {
      out.change(id, state == PageState::own_watched ? Access::read : Access::write, Access::none);
    }
    return true;
  });
  forget_clean();
}

void Engine::on(const MoveReady& m, NodeId from, Effects&) {
  Moves::Batch* const batch = moves_.find(config_.self, m.epoch);
  DSM_CHECK_WITH(batch != nullptr && batch->readies + 1 < config_.nodes,
                 "a node is ready for moves that were told of", {"from", from.value},
                 {"epoch", m.epoch.value});
  ++batch->readies;
}

void Engine::send_contents(Moves::Batch& batch, Effects& out) {
  for (const Move& move : batch.moves) {
    for (PageId id = move.run.first; id < move.run.end();) {
      const PageRun part{id, std::min(diff_run_max, move.run.end() - id)};
      out.push(SendPages{move.to, part, MoveContent{batch.epoch, part, {}}});
      id = part.end();
    }
    const Region& region = *layout_.region_of(move.run.first);
    for (PageId id = move.run.first; id < move.run.end(); ++id) {
      homes_.leave(region, id, config_.self);
      give_home(id, move.to);
    }
    counters_.moved_away += move.run.count;
    moves_.punching.push_back(move.run);
    out.punch(move.run);
  }
}

// Whether these were such frames.
bool Engine::punched_home(PageRun run, Effects& out) {
  const auto it = std::find(moves_.punching.begin(), moves_.punching.end(), run);
  if (it == moves_.punching.end()) return false;
  moves_.punching.erase(it);
  std::vector<PageId> arrived;
  for (PageId id = run.first; id < run.end(); ++id) {
    const auto leaving = moves_.leaving.find(id);
    if (leaving == moves_.leaving.end() || !leaving->second.arrived) continue;
    moves_.leaving.erase(leaving);
    arrived.push_back(id);
  }
  resume(arrived, out);
  return true;
}

// ---- at the new home ----

void Engine::on(const MoveContent& m, NodeId from, Effects& out) {
  Moves::Batch* const batch = moves_.find(from, m.epoch);
  DSM_CHECK_WITH(batch != nullptr && batch->unfilled >= m.run.count,
                 "contents come for moves that were told of", {"from", from.value},
                 {"page", m.run.first.value});
  if (planted(Bug::home_before_content)) {
    batch->unfilled -= m.run.count;
    if (batch->unfilled == 0) filled(*batch, out);
  }
  out.push(FillPages{m.run, m.body});
}

void Engine::on(const PagesFilled& e, Effects& out) {
  if (planted(Bug::home_before_content)) return;
  const Moves::Leaving& leaving = moves_.leaving.at(e.run.first);
  Moves::Batch& batch = *moves_.find(leaving.from, leaving.epoch);
  batch.unfilled -= e.run.count;
  if (batch.unfilled == 0) filled(batch, out);
}

// Private at first: nobody else has a copy. Before its view is open, readers may leave marks
// already.
void Engine::filled(Moves::Batch& batch, Effects& out) {
  const MoveDone done{batch.from, batch.epoch};
  for (const Move& move : batch.moves) {
    if (move.to != config_.self) continue;
    const Region& region = *layout_.region_of(move.run.first);
    for (PageId id = move.run.first; id < move.run.end(); ++id) {
      if (Page* const copy = find_page(id); copy != nullptr) copy->had = copy->ahead = false;
      HomePage& home = homes_.adopt(region, id, config_.self);
      home.moves = static_cast<std::uint8_t>(std::min<int>(move.moves + 1, doublings_max));
      home.page.private_next = true;
      give_home(id, config_.self);
      set_state(home.page, id, PageState::own_opening);
      out.change(id, Access::none, Access::write);
    }
    counters_.moved_here += move.run.count;
  }
  for (std::uint32_t n = 0; n < config_.nodes; ++n)
    if (NodeId(n) != config_.self) out.push(Send{NodeId(n), done});
  arrive(batch, config_.self, out);
}

// ---- everywhere: a new home says that it is ----

void Engine::on(const MoveDone& m, NodeId from, Effects& out) {
  Moves::Batch* const batch = moves_.find(m.from, m.epoch);
  DSM_CHECK_WITH(batch != nullptr, "a move that was told of ends once", {"from", from.value},
                 {"epoch", m.epoch.value});
  arrive(*batch, from, out);
}

void Engine::arrive(Moves::Batch& batch, NodeId at, Effects& out) {
  std::vector<PageId> arrived;
  for (const Move& move : batch.moves) {
    if (move.to != at) continue;
    for (PageId id = move.run.first; id < move.run.end(); ++id) {
      const auto it = moves_.leaving.find(id);
      if (it == moves_.leaving.end() || it->second.from != batch.from ||
          it->second.epoch != batch.epoch)
        continue;
      give_home(id, at);
      it->second.arrived = true;
      if (moves_.is_punching(id) && !planted(Bug::fetched_while_punched)) continue;
      moves_.leaving.erase(it);
      arrived.push_back(id);
    }
  }
  std::erase_if(batch.moves, [at](const Move& m) { return m.to == at; });
  if (batch.moves.empty())
    moves_.batches.erase(moves_.batches.begin() + (&batch - moves_.batches.data()));
  resume(arrived, out);
}

// Whoever waits for these pages goes on. `arrived` is sorted.
void Engine::resume(const std::vector<PageId>& arrived, Effects& out) {
  if (arrived.empty()) return;
  const auto is_here = [&](PageId id) {
    return std::binary_search(arrived.begin(), arrived.end(), id);
  };
  std::vector<PageId> wanted;
  for (const Waiter& w : waiters_)
    if (is_here(w.page)) wanted.push_back(w.page);
  for (const PageId id : wanted) serve(id, out);
  for (const auto& [who, operation] : std::exchange(moves_.operations, {}))
    on(Atomic{who, operation}, out);
}

std::string Engine::broken_move() const {
  for (const Moves::Batch& batch : moves_.batches) {
    const std::string name = "moves of node " + std::to_string(batch.from.value) + " ";
    if (batch.quiet > batch.pages.size()) return name + "are miscounted";
    if (batch.begun && batch.moves.empty()) return name + "are kept though they have ended";
    if (!batch.ready) continue;
    for (const Move& move : batch.moves)
      for (PageId id = move.run.first; id < move.run.end(); ++id) {
        const auto it = moves_.leaving.find(id);
        const bool last = it != moves_.leaving.end() && it->second.from == batch.from &&
                          it->second.epoch == batch.epoch;
        if (last && state_of(id) != PageState::absent)
          return name + "are ready though page " + std::to_string(id.value) + " is " +
                 name_of(state_of(id));
      }
  }
  std::vector<std::uint64_t> given(config_.nodes);
  for (const Region& region : layout_.regions())
    for (PageId id = region.run().first; id < region.run().end(); ++id)
      if (const NodeId home = region.home(id); home != region.first_home(id)) ++given[home.value];
  if (given != moves_.given) return "pages that have moved are miscounted";
  return {};
}

}  // namespace dsm::core
