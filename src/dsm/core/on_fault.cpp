// A trapped access: what the page's waiters need next, from absent to mapped.
#include <algorithm>

#include "base/check.hpp"
#include "dsm/core/engine.hpp"

namespace dsm::core {

void Engine::on(const Fault& e, Effects& out) {
  DSM_CHECK_WITH(layout_.region_of(e.page) != nullptr, "a fault lies in a region",
                 {"page", e.page.value});
  ++(e.wanted == Access::write ? counters_.write_faults : counters_.read_faults);
  waiters_.push_back({e.who, e.page, e.wanted, e.behind < e.page ? e.behind : no_page});
  serve(e.page, out);
}

Access Engine::wanted_at(PageId id) const {
  Access most = Access::none;
  for (const Waiter& w : waiters_)
    if (w.page == id) most = std::max(most, w.wanted);
  return most;
}

bool Engine::wake(PageId id, Access granted, Effects& out) {
  return std::erase_if(waiters_, [&](const Waiter& w) {
           if (w.page != id || w.wanted > granted) return false;
           if (Page* behind = find_page(w.behind); behind != nullptr) begin_tenure(*behind);
           if (w.who != engine_itself) out.push(Wake{w.who});
           return true;
         }) > 0;
}

// A thread that traps on a page that is valid lost a race against another thread's fault, or the
// kernel reclaimed the mapping. The two look alike, and mapping the page once more mends both
// (D19).
void Engine::serve(PageId id, Effects& out) {
  const Access wanted = wanted_at(id);
  if (wanted == Access::none) return;
  if (is_sequential_at(id)) return serve_sequential(id, wanted, out);
  if (is_home(id)) return serve_home(id, wanted, out);
  Page* page = find_page(id);
  if (page == nullptr || page->state == PageState::absent) return fetch(id, out);
  if (page->state == PageState::dirty) {
    set_state(*page, id, PageState::opening);
    out.change(id, Access::none, Access::write);
  } else if (page->state == PageState::clean && wanted == Access::read) {
    set_state(*page, id, PageState::mapping);
    out.change(id, Access::none, Access::read);
  } else if (page->state == PageState::clean) {
    set_state(*page, id, PageState::opening);
    dirty_.push_back(id);
    out.twin(id);
    watch_bound(id);
    out.change(id, Access::read, Access::write);
  }
}

void Engine::serve_home(PageId id, Access wanted, Effects& out) {
  HomePage& home = home_page(id);
  Page& page = home.page;
  if (page.state == PageState::own_private || page.state == PageState::own_written) {
    page.private_next = page.state == PageState::own_private;
    set_state(page, id, PageState::own_opening);
    out.change(id, Access::none, Access::write);
  } else if (page.state == PageState::own_watched && wanted == Access::read) {
    set_state(page, id, PageState::own_mapping);
    out.change(id, Access::none, Access::read);
  } else if (page.state == PageState::own_watched) {
    // A watch that was broken soon after it began was not worth its trap; wait longer before the
    // next.
    constexpr std::uint32_t soon_barriers = 4;
    constexpr std::uint8_t heat_max = 6;
    const bool soon = epoch().value - home.watched_since.value < soon_barriers;
    home.heat = soon ? std::min<std::uint8_t>(static_cast<std::uint8_t>(home.heat + 1), heat_max)
                     : std::uint8_t{0};
    home.rest = static_cast<std::uint8_t>(1u << home.heat);
    page.private_next = home.sharers == 0;
    if (!page.private_next) dirty_.push_back(id);
    set_state(page, id, PageState::own_opening);
    out.change(id, Access::read, Access::write);
  }
}

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
    if (next.state != PageState::absent || !next.had) break;
    ++count;
  }
  run.count = count;

  const NodeId home = region->home(id);
  std::uint64_t slot = 0;
  if (!config_.marks_by_message && !reserve_mark(home, slot, out)) return;
  for (PageId p = run.first; p < run.end(); ++p) {
    Page& page = cache_.page(*chunk, p);
    page.poisoned = false;
    set_state(page, p, PageState::fetching);
  }
  cache_.touch(*chunk);
  counters_.fetches += run.count;
  if (!config_.marks_by_message) {
    out.push(Fetch{home, run, slot, epoch()});
    return;
  }
  out.push(Send{home, MarkNote{run, epoch()}});
  if (planted(Bug::read_before_mark_taken)) out.push(Fetch{home, run, std::nullopt, epoch()});
}

void Engine::on(const Fetched& e, Effects& out) {
  for (PageId id = e.run.first; id < e.run.end(); ++id) {
    DSM_CHECK_WITH(state_of(id) == PageState::fetching, "only a page under way arrives",
                   {"page", id.value}, {"state", static_cast<std::uint64_t>(state_of(id))});
    Page& page = *find_page(id);
    if (page.poisoned && !planted(Bug::fetch_not_poisoned)) {
      page.poisoned = false;
      page.had = true;
      set_state(page, id, PageState::absent);
    } else if (wanted_at(id) == Access::write) {
      set_state(page, id, PageState::opening);
      dirty_.push_back(id);
      out.twin(id);
      watch_bound(id);
    } else {
      set_state(page, id, PageState::mapping);
    }
  }
  for (PageId id = e.run.first; id < e.run.end(); ++id) {
    const PageState state = find_page(id)->state;
    if (state == PageState::mapping) out.change(id, Access::none, Access::read);
    if (state == PageState::opening) out.change(id, Access::none, Access::write);
    if (state == PageState::absent) serve(id, out);
  }
}

void Engine::on(const Changed& e, Effects& out) {
  for (PageId id = e.run.first; id < e.run.end(); ++id) changed(id, out);
}

void Engine::changed(PageId id, Effects& out) {
  Page* page = find_page(id);
  DSM_CHECK_WITH(page != nullptr, "a page that changes is known", {"page", id.value});
  if (is_sequential(page->state)) return changed_sequential(*page, id, out);
  switch (page->state) {
    case PageState::mapping:
      set_state(*page, id, PageState::clean);
      if (page->invalidate) return start_unmap(*page, id, out);
      wake(id, Access::read, out);
      break;
    case PageState::opening:
      set_state(*page, id, PageState::dirty);
      if (page->flush) return protect(*page, id, out);
      wake(id, Access::write, out);
      break;
    case PageState::protecting:
      return protected_now(*page, id, out);
    case PageState::unmapping:
      departures_.end(page->departure_number);
      page->had = true;
      set_state(*page, id, PageState::absent);
      return became_absent(id, out);
    case PageState::own_mapping:
      set_state(*page, id, PageState::own_watched);
      wake(id, Access::read, out);
      break;
    case PageState::own_opening:
      set_state(*page, id, page->private_next ? PageState::own_private : PageState::own_written);
      page->private_next = false;
      if (page->flush) return protect(*page, id, out);
      wake(id, Access::write, out);
      break;
    case PageState::own_protecting:
      return protected_now(*page, id, out);
    default:
      DSM_CHECK_WITH(false, "only a page under way changes", {"page", id.value},
                     {"state", static_cast<std::uint64_t>(page->state)});
  }
  serve(id, out);
}

void Engine::retry_absent(Effects& out) {
  starved_ = false;
  // serve() may wake nobody here (a page that is absent has to be fetched first), so the list does
  // not change under the loop.
  for (std::size_t i = 0; i < waiters_.size(); ++i) {
    const PageId id = waiters_[i].page;
    if (!is_home(id) && state_of(id) == PageState::absent) serve(id, out);
  }
}

}  // namespace dsm::core
