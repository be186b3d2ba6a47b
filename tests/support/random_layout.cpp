// What a random program works on: nodes, regions, fields and whose they are, teams, bindings.
#include <algorithm>
#include <utility>

#include "support/generator.hpp"

namespace dsm::sim {

void Generator::choose_config() {
  Random& r = random_;
  core::Config& c = program_.config;
  c.nodes = shape_.nodes != 0 ? shape_.nodes : r.pick(2u, 2u, 3u, 3u, 4u, 4u, 4u, 5u);
  const std::uint32_t pages = shape_.pages != 0 ? shape_.pages : r.pick(1u, 2u, 4u, 8u, 16u);
  const std::uint32_t locks = shape_.locks != 0 ? shape_.locks : r.between(1, 4);
  program_.repeats_stores = true;
  program_.page_bytes = r.pick(64u, 64u, 128u, 256u);
  c.space_pages = pages + 8;
  c.chunk_pages = r.pick(1u, 2u, 4u);
  const bool small_cache = r.one_in(3);
  c.cache_chunks = small_cache ? r.between(core::cache_chunks_min, 4) : 32;
  c.mark_ring_slots = r.one_in(4) ? 4 : 64;
  c.marks_by_message = r.one_in(8);
  if (r.one_in(4)) c.disseminate = 1;
  c.fetch_window = r.pick(0u, 1u, 4u, 16u);
  c.read_ahead = ahead_random_.pick(0u, 2u, 4u, 16u);
  c.push_after = push_random_.pick(0u, 1u, 1u, 2u);
  c.private_pages = !without_random_.one_in(8);
  c.lends_locks = !without_random_.one_in(8);
  c.pushed_pages = push_random_.one_in(4) ? 1 : 64;
  c.push_samples = push_random_.pick(1u, 2u, 5u, 1000u);
  using core::Watching;
  c.watching = watch_random_.pick(Watching::by_traps, Watching::by_traps, Watching::by_either,
                                  Watching::by_scans);
  c.stretch_pages_least = 1;
  c.stretch_pages = watch_random_.pick(1u, 2u, 4u, 64u);
  c.watch_costs = {};
  c.watch_costs.change = watch_random_.pick(0u, 5'000u, 20'000u);
  c.watch_costs.told = 0;
  for (std::uint32_t i = 0; i < locks; ++i) program_.locks.push_back(LockId(i * 7 + r.below(7)));
  threads_ = r.pick(1u, 1u, 2u, 3u);
  phases_ = r.between(1, 5);
  if (c.push_after > 0 && push_random_.one_in(2)) {
    phases_ = push_random_.between(4, 12);
    exchanges_ = push_random_.one_in(2);
  }
  all_join_ = threads_ == 1 || !r.one_in(3);
  owners_ = r.pick(Owners::rotating, Owners::stable, Owners::home);
  hot_fields_ = r.pick(2u, 8u, ~0u);
  write_percent_ = r.pick(20u, 50u, 50u, 80u);
  c.migrate_after = move_random_.pick(0u, 0u, 1u, 2u);
  if (c.migrate_after == 0 || !move_random_.one_in(2)) return;
  owners_ = Owners::drifting;
  phases_ = move_random_.between(8, 24);
  stay_ = move_random_.between(5, 9);
  c.push_after = std::max(c.push_after, 1u);
  c.watching = core::Watching::by_traps;
  all_may_read_ = move_random_.one_in(2);
}

// The first regions last. Those behind them are dropped and given out again in a share of the
// programs (make).
void Generator::place_regions() {
  const std::uint32_t n = program_.config.nodes;
  const std::uint64_t pages = program_.config.space_pages - 8;
  const auto homes = [&](std::uint64_t count) {
    switch (random_.below(4)) {
      case 0:
        return core::Homes::block(count, n);
      case 1:
        return core::Homes::cyclic(random_.between(1, 2), n);
      case 2:
        return core::Homes::on(NodeId(random_.below(n)));
      default: {
        std::vector<NodeId> each;
        for (std::uint64_t i = 0; i < count; ++i) each.push_back(NodeId(random_.below(n)));
        return core::Homes::of(each);
      }
    }
  };
  const std::uint64_t scoped = random_.one_in(2) ? pages : random_.below(pages + 1);
  const auto lasting = [&](std::uint64_t first, std::uint64_t count, core::Policy policy) {
    if (count == 0) return;
    program_.regions.emplace_back(RegionId(lasting_), PageRun{PageId(first), count}, homes(count),
                                  policy);
    ++lasting_;
  };
  lasting(0, scoped, core::Policy::scope);
  const bool bound = bound_random_.one_in(3);
  lasting(scoped, pages - scoped, bound ? core::Policy::bound : core::Policy::release);
  if (all_join_ && n * 8 <= program_.page_bytes &&
      random_.one_in(3)) {  // each node has 8 bytes of each page
    for (std::uint32_t id = 0; id < 3; ++id) {
      const std::uint64_t count = random_.between(1, 4);
      program_.regions.emplace_back(RegionId(lasting_ + id),
                                    PageRun{PageId(pages + random_.below(4)), count}, homes(count),
                                    random_.pick(core::Policy::scope, core::Policy::release));
    }
  }
}

void Generator::cut_fields() {
  const auto locks = static_cast<std::uint32_t>(program_.locks.size());
  by_lock_.resize(locks);
  at_home_.resize(program_.config.nodes);
  const std::uint32_t phase_share = random_.pick(1u, 2u, 4u);
  const std::uint32_t batons = random_.below(4);
  by_baton_.resize(batons);
  for (std::uint32_t b = 0; b < batons; ++b)
    program_.batons.push_back({true, random_.below(locks), 0, 0});
  for (std::uint32_t page = 0; page < lasting_pages(); ++page) {
    const core::Region& region = region_of(page);
    const std::uint32_t baton_share = region.policy() == core::Policy::release ? batons : 0;
    std::uint32_t offset = 0;
    while (offset < program_.page_bytes) {
      const std::uint32_t room = 8 - offset % 8;  // a field stays within one word, as a store does
      const auto length = static_cast<std::uint8_t>(std::min(random_.between(1, 8), room));
      const Field field{page, static_cast<std::uint16_t>(offset), length};
      const std::uint32_t lock = random_.below(locks + phase_share + baton_share);
      if (lock < locks) {
        by_lock_[lock].push_back(field);
      } else if (lock >= locks + phase_share) {
        by_baton_[lock - locks - phase_share].push_back(field);
      } else {
        at_home_[region.home(PageId(page)).value].push_back(
            static_cast<std::uint32_t>(phase_fields_.size()));
        phase_fields_.push_back(field);
      }
      offset += length;
    }
  }
}

// In a third of the programs. Its pages are few, so that many want them.
void Generator::place_sequential_region() {
  if (!races_.one_in(3)) return;
  core::Config& c = program_.config;
  const std::uint64_t pages = races_.pick(1u, 2u, 2u, 3u, 6u);
  std::vector<NodeId> homes;
  for (std::uint64_t i = 0; i < pages; ++i) homes.push_back(NodeId(races_.below(c.nodes)));
  sequential_ = static_cast<std::uint32_t>(program_.regions.size());
  program_.regions.emplace_back(RegionId(sequential_), PageRun{PageId(c.space_pages), pages},
                                core::Homes::of(homes), core::Policy::sequential);
  c.space_pages += pages;
  c.cache_chunks = std::max(c.cache_chunks, 2 * threads_ + 1);  // two pages for each, and a pin
  races_percent_ = races_.pick(10u, 40u, 80u);
}

// In one program of three. Some of the locks' fields become the teams'.
void Generator::choose_teams() {
  Random& r = team_random_;
  const std::uint32_t n = program_.config.nodes;
  if (!r.one_in(3)) return;
  teams_join_ = r.one_in(3);
  const std::uint32_t splits = teams_join_ ? 1 : std::min(threads_, 2u);
  for (std::uint32_t split = 0; split < splits; ++split) {
    const std::uint32_t colours = r.pick(1u, 2u, 2u, 3u);
    const bool backwards = r.one_in(2);
    std::vector<std::uint32_t> colour_of;
    for (std::uint32_t node = 0; node < n; ++node) colour_of.push_back(r.below(colours));
    team_of_.emplace_back(n);
    for (std::uint32_t colour = 0; colour < colours; ++colour) {
      std::vector<NodeId> members;
      for (std::uint32_t node = 0; node < n; ++node)
        if (colour_of[node] == colour) members.push_back(NodeId(node));
      if (members.empty()) continue;
      if (backwards) std::reverse(members.begin(), members.end());
      for (const NodeId member : members)
        team_of_[split][member.value] = static_cast<std::uint32_t>(teams_.size());
      program_.teams.push_back(members);
      teams_.emplace_back();
    }
  }
  for (std::vector<Field>& fields : by_lock_) {
    std::erase_if(fields, [&](const Field& field) {
      if (r.one_in(2)) return false;
      teams_[r.below(teams_.size())].fields.push_back(field);
      return true;
    });
  }
}

// Locks' fields in a region of the bound policy. Who reads them without the lock does so behind a
// barrier. All that is bound to a lock is pushed, or pulled, or each part by chance.
void Generator::bind_fields() {
  for (std::uint32_t lock = 0; lock < by_lock_.size(); ++lock) {
    const std::uint32_t pulled_percent = pull_random_.pick(0u, 50u, 100u);
    for (const Field& field : by_lock_[lock]) {
      if (region_of(field.page).policy() != core::Policy::bound) continue;
      const bool pull = pull_random_.below(100) < pulled_percent;
      program_.bindings.push_back({lock,
                                   {PageId(field.page), field.offset, field.length},
                                   pull ? core::Refresh::pull : core::Refresh::push});
    }
  }
}

}  // namespace dsm::sim
