// Own pages that others have copies of, without traps: which of them were written is asked for by
// each publication, before it is told (A1, B6, B8).
//
// A scanned page that is watched may be written at any time. Whatever a scan finds is logged, in
// whatever state the page is by then: the kernel has forgotten it. What is written behind the scan
// is found by the next one, or belongs to a page that counts as written anyway.
//
// A scan costs little by page, and something by call, whether anything was written or not; a trap
// costs much, but only when there is a write; and a page is worth no trap that is read anew behind
// every barrier, so it is told of whether it was written or not. So each stretch keeps an account,
// in the way in which it is watched, of what the other way would have saved, and changes when that
// pays for the change.
#include <algorithm>

#include "base/check.hpp"
#include "dsm/core/engine.hpp"

namespace dsm::core {
namespace {

constexpr std::int64_t balance_max = 4'000'000;  // what is longer ago counts for no more than that
// A page that is written again so soon, twice on end, is left alone: in all iterations, of which
// one may have several barriers.
constexpr std::uint32_t soon_barriers = 8;
constexpr std::uint8_t heat_unwatched = 2, heat_max = 6;
// So many pages of a stretch that are not watched are scanned along with their neighbours rather
// than cost one more call; it does no harm, but the next write to each is noted once too often.
constexpr std::uint64_t gap_max = 2;

void add(Stretch& stretch, std::int64_t ns) {
  stretch.balance = std::clamp(stretch.balance + ns, -balance_max, balance_max);
}

}  // namespace

bool Engine::is_scanned(PageId id) {
  const Stretch* stretch = watches_.find(id);
  return stretch != nullptr && stretch->scanned;
}

// A page becomes own_watched, or is that no more.
void Engine::note_watch(PageId id, bool begins) {
  if (config_.watching == Watching::by_traps) return;
  Stretch* stretch = watches_.find(id);
  if (stretch == nullptr && begins) stretch = make_stretch(id);
  if (stretch == nullptr) return;
  stretch->watched += begins ? 1 : ~std::uint32_t{0};
}

// The pages around this one with the same home, within a part of the space that is so long.
Stretch* Engine::make_stretch(PageId id) {
  const Region& region = *layout_.region_of(id);
  const std::uint64_t most = config_.stretch_pages;
  const PageId least = std::max(region.run().first, PageId(id.value / most * most));
  const PageId end = std::min(region.run().end(), PageId((id.value / most + 1) * most));
  PageRun run{id, 1};
  while (run.first > least && region.home(PageId(run.first.value - 1)) == config_.self) {
    run.first = PageId(run.first.value - 1);
    ++run.count;
  }
  while (run.end() < end && region.home(run.end()) == config_.self) ++run.count;
  if (run.count < config_.stretch_pages_least) return nullptr;
  Stretch stretch;
  stretch.run = run;
  stretch.counted = publications_made_;
  for (PageId p = run.first; p < run.end(); ++p)
    stretch.watched += homes_.at(region, p).page.state == PageState::own_watched ? 1 : 0;
  if (config_.watching == Watching::by_scans) watches_.due.push_back(run.first);
  return &watches_.stretches.emplace(run.first, stretch).first->second;
}

// Scans would have saved so much here.
void Engine::count_for_scans(Stretch& stretch, std::int64_t ns) {
  const auto scans = static_cast<std::int64_t>(publications_made_ - stretch.counted);
  stretch.counted = publications_made_;
  const WatchCosts& costs = config_.watch_costs;
  add(stretch, -std::min(balance_max, scans * (costs.call + costs.page * stretch.watched)));
  add(stretch, ns);
  if (stretch.balance >= cost_of_changing(stretch)) want_change(stretch);
}

// The first write to a page that is watched.
void Engine::note_trap(PageId id) {
  Stretch* const stretch = watches_.find(id);
  if (config_.watching == Watching::by_either && stretch != nullptr)
    count_for_scans(*stretch, config_.watch_costs.saved);
}

// A page that nobody had a copy of has a reader. Where it was private it is told of though nobody
// may have written it, and is fetched again.
void Engine::note_reader(PageId id, bool was_private) {
  if (config_.watching == Watching::by_traps) return;
  Stretch* stretch = watches_.find(id);
  if (stretch == nullptr) stretch = make_stretch(id);
  if (stretch == nullptr || config_.watching != Watching::by_either) return;
  if (stretch->scanned && !was_private) {
    add(*stretch, config_.watch_costs.told);
  } else if (!stretch->scanned && was_private) {
    count_for_scans(*stretch, config_.watch_costs.told);
  }
}

std::int64_t Engine::cost_of_changing(const Stretch& stretch) const {
  return std::min(balance_max, config_.watch_costs.change +
                                   config_.watch_costs.told * std::int64_t{stretch.watched});
}

void Engine::want_change(const Stretch& stretch) {
  std::vector<PageId>& due = watches_.due;
  if (stretch.refused || std::find(due.begin(), due.end(), stretch.run.first) != due.end()) return;
  due.push_back(stretch.run.first);
}

// At a publication, which tells of what was watched until now. A stretch with a page under way is
// left for the next.
void Engine::change_watches(Effects& out) {
  for (const PageId first : std::exchange(watches_.due, {})) {
    Stretch& stretch = watches_.stretches.at(first);
    const bool room = stretch.scanned || watches_.scanned.size() < scanned_stretches_max;
    if (!room || !change_watch(stretch, out)) watches_.due.push_back(first);
  }
}

// The edge lets the program write all of it meanwhile. So what was watched counts as written from
// here on, also for a publication that is about to scan it and will find nothing.
bool Engine::change_watch(Stretch& stretch, Effects& out) {
  const PageRun run = stretch.run;
  const Region& region = *layout_.region_of(run.first);
  for (PageId id = run.first; id < run.end(); ++id) {
    const PageState state = homes_.at(region, id).page.state;
    if (state != PageState::own_private && state != PageState::own_watched &&
        state != PageState::own_written)
      return false;
  }
  for (PageId id = run.first; id < run.end(); ++id) {
    HomePage& home = homes_.at(region, id);
    Page& page = home.page;
    const bool watched = page.state == PageState::own_watched;
    if (watched && !planted(Bug::watch_changed_under_scan)) log_.append(id);
    page.private_next = page.state == PageState::own_private || (watched && may_be_private(home));
    if (watched && !page.private_next) dirty_.push_back(id);
    home.rest = home.heat = 0;
    set_state(page, id, PageState::own_opening);
  }
  stretch.changing = true;
  out.push(Watch{run, !stretch.scanned, true});
  return true;
}

void Engine::on(const WatchChanged& e, Effects& out) {
  Stretch* const stretch = watches_.find(e.run.first);
  if (stretch == nullptr || !stretch->changing) return;  // its region goes
  stretch->changing = false;
  stretch->refused = stretch->scanned == e.scanned;
  stretch->scanned = e.scanned;
  stretch->balance = 0;
  stretch->counted = publications_made_;
  std::vector<PageId>& scanned = watches_.scanned;
  const auto place = std::lower_bound(scanned.begin(), scanned.end(), e.run.first);
  const bool listed = place != scanned.end() && *place == e.run.first;
  if (e.scanned && !listed) scanned.insert(place, e.run.first);
  if (!e.scanned && listed) scanned.erase(place);
  for (PageId id = e.run.first; id < e.run.end(); ++id) changed(id, out);
}

// What may have been written without a trap. A page that is on its way to being watched is told of
// when it is.
std::vector<PageRun> Engine::pages_to_scan() {
  std::vector<PageRun> runs;
  const WatchCosts& costs = config_.watch_costs;
  for (const PageId first : watches_.scanned) {
    Stretch& stretch = watches_.stretches.at(first);
    if (stretch.watched == 0) continue;
    std::int64_t calls = 0;
    const auto scan = [&](PageRun run) {
      const bool near = !runs.empty() && run.first - runs.back().end() <= (calls > 0 ? gap_max : 0);
      if (near) {
        runs.back().count = run.end() - runs.back().first;
      } else {
        runs.push_back(run);
        ++calls;
      }
    };
    if (stretch.watched == stretch.run.count && !planted(Bug::fresh_watch_not_scanned)) {
      scan(stretch.run);
    } else {
      // Of one home and in a row, so they are that at home too.
      const HomePage* home = &homes_.at(*layout_.region_of(first), first);
      for (PageId id = first; id < stretch.run.end(); ++id, ++home) {
        if (home->page.state != PageState::own_watched) continue;
        if (planted(Bug::fresh_watch_not_scanned) && home->watched_since == epoch()) continue;
        scan({id, 1});
      }
    }
    add(stretch, -(costs.call * calls + costs.page * std::int64_t{stretch.watched}));
    if (config_.watching == Watching::by_either && stretch.balance <= -cost_of_changing(stretch))
      want_change(stretch);
  }
  return runs;
}

// Comes before the marks are read: a page without readers is private from here on, and counts as
// written when one is found there (B8).
void Engine::on(const Written& e, Effects&) {
  const auto asked = std::find_if(publications_.begin(), publications_.end(),
                                  [&](const Publication& p) { return p.id == e.id; });
  const bool at_barrier = asked != publications_.end() && asked->kind == Publication::Kind::barrier;
  for (const PageRun& run : e.runs) {
    for (PageId id = run.first; id < run.end(); ++id) {
      const Region* region = layout_.region_of(id);
      if (region == nullptr || region->home(id) != config_.self || being_punched(region->id()))
        continue;
      log_.append(id);
      HomePage& home = homes_.at(*region, id);
      // Watched by traps since, it is so still: it would trap where it counts as open.
      Stretch* const stretch = watches_.find(id);
      if (home.page.state != PageState::own_watched || stretch == nullptr || !stretch->scanned)
        continue;
      add(*stretch, config_.watch_costs.saved);
      if (may_be_private(home)) {
        set_state(home.page, id, PageState::own_private);
      } else if (at_barrier) {
        found_written(home, id);
      }
    }
  }
}

// It is protected anew already, which costs its next writer a fault in the kernel. As with traps,
// readers keep no copies of what is written again and again, so it had better not be.
void Engine::found_written(HomePage& home, PageId id) {
  const bool soon = epoch() - home.watched_since <= soon_barriers;
  home.watched_since = epoch();
  home.heat = soon ? std::min<std::uint8_t>(static_cast<std::uint8_t>(home.heat + 1), heat_max)
                   : std::uint8_t{0};
  if (home.heat < heat_unwatched) return;
  home.rest = static_cast<std::uint8_t>(1u << home.heat);
  set_state(home.page, id, PageState::own_written);
  dirty_.push_back(id);
}

// The stretches around these pages end. REQUIRES: those that are scanned go as a whole.
void Engine::forget_watches(PageRun run, Effects& out) {
  for (auto it = watches_.stretches.begin(); it != watches_.stretches.end();) {
    const PageRun stretch = it->second.run;
    if (stretch.first >= run.end() || run.first >= stretch.end()) {
      ++it;
      continue;
    }
    if (it->second.scanned) {
      out.push(Watch{stretch, false, false});
      for (PageId id = stretch.first; id < stretch.end(); ++id)
        if (state_of(id) == PageState::own_watched)
          set_state(home_page(id).page, id, PageState::own_private);
    }
    std::erase(watches_.scanned, stretch.first);
    std::erase(watches_.due, stretch.first);
    it = watches_.stretches.erase(it);
  }
}

std::string Engine::broken_watch() const {
  std::map<PageId, std::uint32_t> watched;
  std::vector<PageId> scanned;
  for (const auto& [first, stretch] : watches_.stretches) {
    const Region* region = layout_.region_of(first);
    if (region == nullptr) return "a stretch lies in no region";
    std::uint32_t count = 0;
    for (PageId id = first; id < stretch.run.end(); ++id) {
      if (region->home(id) != config_.self) return "a stretch has another node's page";
      const PageState state = homes_.at(*region, id).page.state;
      count += state == PageState::own_watched ? 1 : 0;
      if (stretch.changing && state != PageState::own_opening)
        return "page " + std::to_string(id.value) + " is " + name_of(state) +
               " while the way changes in which it is watched";
    }
    if (count != stretch.watched) return "a stretch miscounts its watched pages";
    if (stretch.scanned) scanned.push_back(first);
  }
  return scanned == watches_.scanned ? "" : "scanned stretches are listed wrongly";
}

}  // namespace dsm::core
