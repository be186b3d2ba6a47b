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
  const bool missed = state_of(e.page) == PageState::absent;
  serve(e.page, out);
  if (config_.read_ahead > 0 && !is_leaving(e.page)) read_ahead(e.page, missed, out);
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
  if (is_leaving(id) && !planted(Bug::access_at_old_home)) return;
  if (is_home(id)) return serve_home(id, wanted, out);
  Page* page = find_page(id);
  if (page == nullptr || page->state == PageState::absent) return fetch(id, out);
  if (page->state == PageState::fetched) return open_fetched(id, wanted, out);
  if (page->state == PageState::dirty) {
    set_state(*page, id, PageState::opening);
    out.change(id, Access::none, Access::write);
  } else if (page->state == PageState::clean && wanted == Access::read) {
    set_state(*page, id, PageState::mapping);
    out.change(id, Access::none, Access::read);
  } else if (page->state == PageState::clean) {
    start_writing(*page, id, out);
    out.change(id, Access::read, Access::write);
  }
}

// Counts as dirty from here on: the program may write before the engine hears of it.
void Engine::start_writing(Page& page, PageId id, Effects& out) {
  set_state(page, id, PageState::opening);
  page.steady = false;
  dirty_.push_back(id);
  out.twin(id);
  watch_bound(id);
}

void Engine::serve_home(PageId id, Access wanted, Effects& out) {
  HomePage& home = home_page(id);
  Page& page = home.page;
  if (page.state == PageState::own_private || page.state == PageState::own_written) {
    page.private_next = page.state == PageState::own_private;
    set_state(page, id, PageState::own_opening);
    out.change(id, Access::none, Access::write);
  } else if (page.state == PageState::own_watched && is_scanned(id) &&
             !planted(Bug::lost_mapping_protected)) {
    // The kernel has lost its mapping. Made anew as one to read, it would seem not to have been
    // written.
    page.private_next = may_be_private(home);
    if (!page.private_next) dirty_.push_back(id);
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
    note_trap(id);
    page.private_next = may_be_private(home);
    if (!page.private_next) dirty_.push_back(id);
    set_state(page, id, PageState::own_opening);
    out.change(id, Access::read, Access::write);
  }
}

// Most are copies that were mapped for somebody who reads on, and nobody waits for them.
void Engine::on(const Changed& e, Effects& out) {
  Chunk* chunk = nullptr;
  for (PageId id = e.run.first; id < e.run.end(); ++id) {
    if (chunk == nullptr || !cache_.covers(*chunk, id)) chunk = cache_.find(id);
    Page* page = chunk == nullptr ? nullptr : &cache_.page(*chunk, id);
    if (page == nullptr || page->state != PageState::mapping || page->invalidate ||
        wanted_at(id) != Access::none) {
      changed(id, out);
    } else {
      set_state(*chunk, *page, PageState::clean);
    }
  }
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
    case PageState::own_closing:
      departures_.end(page->departure_number);
      return set_state(*page, id, PageState::own_closed);
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
