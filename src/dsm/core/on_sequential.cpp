// Pages of sequential regions: one writer or many readers, by write-invalidate. Requests, recalls,
// returns and grants go by message through the page's home; nothing is one-sided, since a READ
// could see half of a write (PROTOCOL.md D21). Locks and barriers leave these pages alone.
//
// What makes it sequentially consistent: a page may be written by one node, while no other may even
// read it; and when access is taken away from a node, every one of its processors is interrupted,
// so that the stores it had made are in the frame before the frame is sent. Threads of one node
// have among themselves what their processors promise.
//
// Tenure. A page that came for a trapped thread stays until that thread is back at its access, and
// a while longer. An instruction may need two pages at once; two nodes could take them from each
// other for ever. So a page also stays while the thread that got it waits for a page behind it, of
// a *higher* number: waiting goes upwards only, and ends.
#include <algorithm>
#include <utility>

#include "base/check.hpp"
#include "dsm/core/engine.hpp"

namespace dsm::core {

bool Engine::is_sequential_at(PageId id) const {
  const Region* region = layout_.region_of(id);
  return region != nullptr && region->policy() == Policy::sequential;
}

// ---- a copy, or the home's own ----

void Engine::serve_sequential(PageId id, Access wanted, Effects& out) {
  if (is_home(id)) return serve_sequential_home(id, wanted, out);
  Page* page = find_page(id);
  if (page == nullptr || page->state == PageState::absent) {
    if (planted(Bug::sequential_read_one_sided) && wanted == Access::read) return fetch(id, out);
    Chunk* chunk = make_room(id, out);
    if (chunk == nullptr) return keep_nothing_behind(id, out);
    page = &cache_.page(*chunk, id);
    page->had = page->asked = true;  // its frame has to be given back one day
    set_state(*page, id, PageState::seq_asked);
    cache_.touch(*chunk);
    ++counters_.fetches;
    out.push(Send{home_of(id), PageRequest{id, wanted, false}});
  } else if (page->state == PageState::seq_write ||
             (page->state == PageState::seq_read && wanted == Access::read)) {
    // A lost race, or a lost mapping, as in serve().
    open(*page, id, Access::none,
         page->state == PageState::seq_write ? Access::write : Access::read, out);
  } else if (page->state == PageState::seq_read) {
    page->asked = true;
    set_state(*page, id, PageState::seq_upgrading);
    out.push(Send{home_of(id), PageRequest{id, wanted, true}});
  }
}

void Engine::serve_sequential_home(PageId id, Access wanted, Effects& out) {
  Page& page = home_page(id).page;
  const bool readable = page.state == PageState::own_seq_read;
  if (page.state == PageState::own_seq_write || (readable && wanted == Access::read)) {
    if (!page.asked) open(page, id, Access::none, readable ? Access::read : Access::write, out);
  } else if ((readable || page.state == PageState::own_seq_none) && !page.asked) {
    page.asked = true;
    on(PageRequest{id, wanted, readable}, config_.self, out);
  }
}

void Engine::open(Page& page, PageId id, Access from, Access to, Effects& out) {
  page.next = to;
  set_state(page, id, is_home(id) ? PageState::own_seq_opening : PageState::seq_opening);
  out.change(id, from, to);
}

void Engine::on(const PageGrant& m, NodeId, Effects& out) {
  Page* page = find_page(m.page);
  const bool upgrading = page != nullptr && page->state == PageState::seq_upgrading;
  DSM_CHECK_WITH(upgrading || (page != nullptr && page->state == PageState::seq_asked),
                 "only a page that was asked for is granted", {"page", m.page.value});
  page->flush_number = m.turn;
  // It was about an older copy.
  if (page->recalled && page->departure_number != m.turn && !planted(Bug::late_recall_obeyed))
    page->recalled = false;
  if (!m.body.empty()) out.push(FillPage{m.page, m.body, false});
  open(*page, m.page, upgrading ? Access::read : Access::none, m.access, out);
}

void Engine::changed_sequential(Page& page, PageId id, Effects& out) {
  switch (page.state) {
    case PageState::seq_opening:
    case PageState::own_seq_opening:
      return opened(page, id, out);
    case PageState::seq_closing:
    case PageState::own_seq_closing:
      return closed(page, id, out);
    default:
      DSM_CHECK_WITH(false, "only a page under way changes", {"page", id.value},
                     {"state", static_cast<std::uint64_t>(page.state)});
  }
}

void Engine::opened(Page& page, PageId id, Effects& out) {
  const bool writable = page.next == Access::write;
  if (is_home(id)) {
    set_state(page, id, writable ? PageState::own_seq_write : PageState::own_seq_read);
  } else {
    set_state(page, id, writable ? PageState::seq_write : PageState::seq_read);
  }
  const bool came = page.asked;  // otherwise it was only mapped anew
  page.asked = false;
  if (wake(id, page.next, out) && came) begin_tenure(page);
  relinquish(page, id, out);
  serve(id, out);
}

// ---- tenure ----

void Engine::begin_tenure(Page& page) {
  const PageState s = page.state;
  const bool here = s == PageState::seq_read || s == PageState::seq_upgrading ||
                    s == PageState::seq_write || s == PageState::own_seq_read ||
                    s == PageState::own_seq_write;
  if (!here || planted(Bug::no_tenure)) return;
  page.held = true;
  page.timed = false;
  ++page.tenure;
}

bool Engine::is_kept(const Page& page, PageId id) const {
  if (planted(Bug::no_tenure)) return false;
  return page.held || std::any_of(waiters_.begin(), waiters_.end(), [&](const Waiter& w) {
           return w.behind == id && state_of(w.page) != PageState::absent;
         });
}

void Engine::on(const Retry& e, Effects& out) {
  for (const PageId id : {e.page, e.behind}) {
    Page* page = find_page(id);
    if (page == nullptr || !page->held || page->timed) continue;
    page->timed = true;
    out.push(Hold{id, page->tenure});
    if (page->recalled) out.push(Hasten{});
  }
}

void Engine::on(const Held& e, Effects& out) {
  Page* page = find_page(e.page);
  if (page == nullptr || !page->held || page->tenure != e.tenure) return;
  page->held = page->timed = false;
  relinquish(*page, e.page, out);
}

// Waiting for room is no waiting for a page: what is kept meanwhile could be what keeps the room
// from being made.
void Engine::keep_nothing_behind(PageId id, Effects& out) {
  for (const Waiter& w : waiters_)
    if (w.page == id)
      if (Page* behind = find_page(w.behind); behind != nullptr) relinquish(*behind, w.behind, out);
}

// ---- giving back ----

void Engine::on(const PageRecall& m, NodeId, Effects& out) {
  Page* page = find_page(m.page);
  if (page == nullptr || !is_sequential(page->state)) return;  // what it had is on its way home
  const PageState state = page->state;
  // The same, or less; but a reader's copy that stays may be recalled before the engine hears that
  // its content has been sent.
  const bool leaving = state == PageState::seq_closing || state == PageState::seq_sending;
  if (leaving && page->next == Access::none) return;
  const bool early = state == PageState::seq_asked || page->flush_number != m.turn;
  if (early && planted(Bug::early_recall_dropped)) return;
  // Of an older copy of this node, or of the one whose grant has not come yet? The grant will tell.
  if (state != PageState::seq_asked && is_older(m.turn, page->flush_number)) return;
  if (page->recalled && is_older(m.turn, page->departure_number)) return;
  page->recalled = true;
  page->departure_number = m.turn;
  page->keep = m.keep;
  relinquish(*page, m.page, out);
}

// Gives back what is recalled, when it may go.
void Engine::relinquish(Page& page, PageId id, Effects& out) {
  const bool meant = page.departure_number == page.flush_number || planted(Bug::late_recall_obeyed);
  if (!page.recalled || !meant) return;
  switch (page.state) {
    case PageState::seq_read:
    case PageState::seq_upgrading:
    case PageState::seq_write:
    case PageState::own_seq_read:
    case PageState::own_seq_write:
      break;
    default:
      return;
  }
  if (is_kept(page, id)) {
    if (page.timed && !planted(Bug::tenure_never_ends)) out.push(Hasten{});
    return;
  }
  close(page, id, page.keep, out);
}

void Engine::close(Page& page, PageId id, Access keep, Effects& out) {
  const bool writable =
      page.state == PageState::seq_write || page.state == PageState::own_seq_write;
  page.recalled = page.held = page.timed = false;
  page.next = keep;
  page.written = page.state == PageState::seq_write;
  if (keep == Access::none) ++counters_.invalidations;
  const bool evicted = !is_home(id) && cache_.find(id)->evicting;
  if (planted(Bug::eviction_loses_content) && evicted) page.written = false;
  set_state(page, id, is_home(id) ? PageState::own_seq_closing : PageState::seq_closing);
  if (planted(Bug::returned_before_closed) && !is_home(id)) send_return(page, id, out);
  out.change(id, writable ? Access::write : Access::read, keep);
}

void Engine::send_return(const Page& page, PageId id, Effects& out) {
  const bool late = planted(Bug::late_recall_obeyed) && page.departure_number != 0;
  const PageReturn message{id, late ? page.departure_number : page.flush_number, page.next, {}};
  if (page.written) {
    ++counters_.diffs;
    out.push(SendPage{home_of(id), id, message, true});
  } else {
    out.push(Send{home_of(id), message});
  }
}

// No thread of this node has the access any more, and what they wrote is in the frame.
void Engine::closed(Page& page, PageId id, Effects& out) {
  if (is_home(id)) {
    set_state(page, id,
              page.next == Access::read ? PageState::own_seq_read : PageState::own_seq_none);
    sharings_.at(id).give_back(config_.self, page.flush_number, page.next);
    advance(id, out);
    return serve(id, out);
  }
  if (page.discard) return returned(page, id, out);
  if (!planted(Bug::returned_before_closed)) send_return(page, id, out);
  if (!page.written || planted(Bug::returned_before_closed)) return returned(page, id, out);
  set_state(page, id, PageState::seq_sending);  // its frame is needed until then
}

void Engine::on(const PageSent& e, Effects& out) {
  Page* page = find_page(e.page);
  if (page != nullptr && page->state == PageState::seq_sending) returned(*page, e.page, out);
}

void Engine::returned(Page& page, PageId id, Effects& out) {
  page.written = page.discard = false;
  if (page.next == Access::read) {
    set_state(page, id, PageState::seq_read);
    relinquish(page, id, out);
    return serve(id, out);
  }
  if (page.asked) return set_state(page, id, PageState::seq_asked);  // it was upgrading
  set_state(page, id, PageState::absent);
  became_absent(id, out);
}

// The region goes, here and at the home: nobody needs to hear of its copies.
void Engine::discard(Page& page, PageId id, Effects& out) {
  if (page.state != PageState::seq_read && page.state != PageState::seq_write) return;
  close(page, id, Access::none, out);
  page.discard = true;
  page.written = false;
}

// ---- at home ----

void Engine::on(const PageRequest& m, NodeId from, Effects& out) {
  DSM_CHECK_WITH(is_home(m.page) && is_sequential_at(m.page),
                 "a sequential page is asked for at its home", {"page", m.page.value},
                 {"from", from.value});
  sharings_.try_emplace(m.page, config_.self).first->second.ask({from, m.wanted, m.has_copy});
  advance(m.page, out);
}

void Engine::advance(PageId id, Effects& out) {
  Sharing& sharing = sharings_.at(id);
  std::vector<Sharing::Recall> recalls;
  for (;;) {
    recalls.clear();
    const auto grant = sharing.next(turns_, recalls, planted(Bug::granted_before_last_return));
    for (const Sharing::Recall& r : recalls) {
      if (r.holder.node != config_.self) {
        out.push(Send{r.holder.node, PageRecall{id, r.holder.turn, r.keep}});
        continue;
      }
      Page& own = home_page(id).page;
      own.recalled = true;
      own.departure_number = own.flush_number;
      own.keep = r.keep;
      relinquish(own, id, out);
    }
    if (!grant) return;
    const NodeId node = grant->holder.node;
    const Access access = grant->holder.access;
    const Turn turn = grant->holder.turn;
    if (node == config_.self) {
      Page& own = home_page(id).page;
      own.flush_number = turn;
      open(own, id, grant->content ? Access::none : Access::read, access, out);
    } else if (grant->content) {
      out.push(SendPage{node, id, PageGrant{id, turn, access, {}}, false});
    } else {
      out.push(Send{node, PageGrant{id, turn, access, {}}});
    }
  }
}

// Asked for, or because the node needed the room. What comes when the region has gone is nobody's.
void Engine::on(const PageReturn& m, NodeId from, Effects& out) {
  const Region* region = layout_.region_of(m.page);
  const auto it = sharings_.find(m.page);
  if (it == sharings_.end() || being_punched(region->id())) return;
  Sharing& sharing = it->second;
  const Sharing::Holder* holder = sharing.holder(from);
  if (holder == nullptr || holder->turn != m.turn) return;
  if (m.body.empty()) {
    if (holder->access == Access::write && !planted(Bug::return_overtakes_content))
      return sharing.give_back_behind(from, m.turn);
    sharing.give_back(from, m.turn, m.kept);
    return advance(m.page, out);
  }
  sharing.filling = Sharing::Holder{from, m.kept, m.turn, false};
  out.push(FillPage{m.page, m.body, true});
}

void Engine::on(const Filled& e, Effects& out) {
  Sharing& sharing = sharings_.at(e.page);
  if (!sharing.filling && planted(Bug::return_overtakes_content)) return;
  const Sharing::Holder from = *std::exchange(sharing.filling, std::nullopt);
  sharing.give_back(from.node, from.turn, from.access);
  advance(e.page, out);
}

bool Engine::is_resting_at_home(PageId id) const {
  const PageState state = find_page(id)->state;
  if (state == PageState::own_seq_opening || state == PageState::own_seq_closing) return false;
  const auto it = sharings_.find(id);
  return it == sharings_.end() || (it->second.queue().empty() && !it->second.filling);
}

std::string Engine::broken_sequential_invariant() const {
  const auto at = [](const char* what, PageId id, PageState state) {
    return std::string(what) + ": page " + std::to_string(id.value) + " is " + name_of(state);
  };
  for (const Chunk& chunk : cache_.chunks()) {
    if (chunk.number == Chunk::unused) continue;
    const PageId first = cache_.first_page(chunk);
    for (PageId id = first; id < first + config_.chunk_pages; ++id) {
      const Page& page = cache_.page(chunk, id);
      if (planted(Bug::sequential_read_one_sided)) continue;
      if (page.state != PageState::absent && is_sequential(page.state) != is_sequential_at(id))
        return at("a state of another policy", id, page.state);
    }
  }
  for (const auto& [id, sharing] : sharings_) {
    const PageState state = state_of(id);
    std::size_t writers = 0;
    for (const Sharing::Holder& h : sharing.holders()) writers += h.access == Access::write;
    if (writers > 0 && sharing.holders().size() > 1 && !planted(Bug::granted_before_last_return))
      return at("a writer is not alone", id, state);
    const Sharing::Holder* own = sharing.holder(config_.self);
    const Access access = own == nullptr ? Access::none : own->access;
    const bool fits = state == PageState::own_seq_none    ? access == Access::none
                      : state == PageState::own_seq_read  ? access == Access::read
                      : state == PageState::own_seq_write ? access == Access::write
                                                          : access != Access::none;
    if (!fits) return at("the directory and the home disagree", id, state);
    if (sharing.filling && access != Access::none) return at("filled while in use", id, state);
  }
  for (const Waiter& w : waiters_) {
    const Page* page = find_page(w.page);
    if (page == nullptr || page->asked) continue;
    if (page->state == PageState::own_seq_none || page->state == PageState::own_seq_read)
      return at("a thread waits for nothing", w.page, page->state);
  }
  return {};
}

}  // namespace dsm::core
