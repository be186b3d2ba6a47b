#include "dsm/core/engine.hpp"

#include <algorithm>
#include <type_traits>

#include "base/check.hpp"

namespace dsm::core {

thread_local TransitionHook transition_hook = nullptr;

namespace {

// A page under way to another state: nothing else may begin with it (PROTOCOL.md D17).
bool is_busy(PageState state) {
  switch (state) {
    case PageState::fetching:
    case PageState::mapping:
    case PageState::opening:
    case PageState::settling:
    case PageState::protecting:
    case PageState::diffing:
    case PageState::unmapping:
    case PageState::seq_asked:
    case PageState::seq_opening:
    case PageState::seq_upgrading:
    case PageState::seq_closing:
    case PageState::seq_sending:
      return true;
    default:
      return false;
  }
}

}  // namespace

Engine::Engine(const Config& config)
    : config_(config),
      layout_(config.space_pages),
      cache_(config.cache_chunks, config.chunk_pages),
      barrier_(config.self, config.nodes, config.disseminate),
      marks_(config.nodes) {
  DSM_CHECK_WITH(config.nodes >= 1 && config.nodes <= nodes_max && config.self.value < config.nodes,
                 "a rank lies in its job", {"self", config.self.value}, {"nodes", config.nodes});
  DSM_CHECK_WITH(config.cache_chunks >= cache_chunks_min, "a cache holds at least two chunks",
                 {"chunks", config.cache_chunks});
  moves_.given.resize(config.nodes);
  if (!config.find_races) return;
  DSM_CHECK(config.page_bytes > 0, "who looks for races knows how long a page is");
  clock_ = Clock(config.self, config.nodes);
  races_ = RaceFinder(config.page_bytes);
}

void Engine::step(const Event& event, Effects& effects) {
  const auto dispatch = [&](const auto& e) {
    if constexpr (std::is_same_v<std::decay_t<decltype(e)>, Received>) {
      std::visit([&](const auto& message) { on(message, e.from, effects); }, e.message);
    } else {
      on(e, effects);
    }
  };
  std::visit(dispatch, event);
  settle(effects);
}

// Whatever has become possible by this step: scopes that can be published, locks that can be
// entered, a barrier that can be left.
void Engine::settle(Effects& out) {
  while (finish_publications(out)) {
  }
  finish_entering(out);
  finish_teams(out);
  finish_entering_shared(out);
  finish_entering_semaphores(out);
  if (exiting_ && departures_.all_before(exit_departures_)) finish_exit(out);
  if (!moves_.batches.empty()) advance_moves(out);
  if (!drops_.empty()) finish_drops(out);
  if (starved_) retry_absent(out);
}

NodeId Engine::home_of(PageId page) const {
  const Region* region = layout_.region_of(page);
  return region == nullptr ? no_node : region->home(page);
}

Page* Engine::find_page(PageId page) {
  return const_cast<Page*>(static_cast<const Engine*>(this)->find_page(page));
}

const Page* Engine::find_page(PageId page) const {
  const Region* region = layout_.region_of(page);
  if (region != nullptr && region->home(page) == config_.self)
    return &homes_.at(*region, page).page;
  const Chunk* chunk = cache_.find(page);
  return chunk == nullptr ? nullptr : &cache_.page(*chunk, page);
}

HomePage& Engine::home_page(PageId page) {
  const Region* region = layout_.region_of(page);
  DSM_CHECK_WITH(region != nullptr && region->home(page) == config_.self,
                 "this node is the page's home", {"page", page.value},
                 {"self", config_.self.value});
  return homes_.at(*region, page);
}

bool Engine::may_be_private(const HomePage& home) const {
  return config_.private_pages && home.sharers == 0;
}

PageState Engine::state_of(PageId page) const {
  const Page* p = find_page(page);
  return p == nullptr ? PageState::absent : p->state;
}

namespace {

void note_transition([[maybe_unused]] PageState from, [[maybe_unused]] PageState to) {
#if DSM_PLANTED_BUGS
  if (transition_hook != nullptr)
    transition_hook("page", static_cast<int>(from), static_cast<int>(to));
#endif
}

}  // namespace

void Engine::set_state(Page& page, PageId id, PageState next) {
  if (page.state < PageState::own_private) {
    Chunk* chunk = cache_.find(id);
    DSM_CHECK_WITH(chunk != nullptr, "a copy lies in a cached chunk", {"page", id.value});
    return set_state(*chunk, page, next);
  }
  note_transition(page.state, next);
  const bool watched = next == PageState::own_watched;
  if ((page.state == PageState::own_watched) != watched) note_watch(id, watched);
  page.state = next;
}

void Engine::set_state(Chunk& chunk, Page& page, PageState next) {
  note_transition(page.state, next);
  if (next == PageState::absent || next == PageState::unmapping) page.covered = page.steady = false;
  chunk.busy = chunk.busy + (is_busy(next) ? 1 : 0) - (is_busy(page.state) ? 1 : 0);
  chunk.present = chunk.present + (next != PageState::absent ? 1 : 0) -
                  (page.state != PageState::absent ? 1 : 0);
  page.state = next;
}

bool Engine::counts_as_dirty(PageId id) const {
  const Page* page = find_page(id);
  return page != nullptr && counts_as_dirty(*page);
}

bool Engine::counts_as_dirty(const Page& page) {
  switch (page.state) {
    case PageState::dirty:
    case PageState::own_written:
      return true;
    case PageState::opening:
    case PageState::settling:
    case PageState::own_comparing:
      return !page.flush;
    case PageState::own_opening:
      return !page.flush && !page.private_next;
    default:
      return false;
  }
}

void Engine::forget_clean() {
  std::erase_if(dirty_, [&](PageId id) { return !counts_as_dirty(id); });
}

bool Engine::holds(LockId lock) const {
  const auto it = locks_.find(lock);
  return it != locks_.end() && it->second.queue.is_held();
}

bool Engine::has_token(LockId lock) const {
  const auto it = locks_.find(lock);
  if (it == locks_.end()) return false;
  const sync::LockState s = it->second.queue.state();
  return s != sync::LockState::away && s != sync::LockState::asked;
}

std::vector<LockId> Engine::known_locks() const {
  std::vector<LockId> ids;
  for (const auto& [id, lock] : locks_) ids.push_back(id);
  return ids;
}

std::vector<Engine::MarkAt> Engine::marks() const {
  std::vector<MarkAt> all;
  for (const auto& [page, marks] : homes_.marked())
    for (const Homeland::Mark& m : marks) all.push_back({page, m.reader, m.epoch});
  return all;
}

bool Engine::has_mark(PageId page, NodeId reader) const {
  const auto it = homes_.marked().find(page);
  return it != homes_.marked().end() &&
         std::any_of(it->second.begin(), it->second.end(),
                     [&](const Homeland::Mark& m) { return m.reader == reader; });
}

}  // namespace dsm::core
