// Random programs without data races (program.hpp).
#include <algorithm>
#include <utility>

#include "support/program.hpp"
#include "support/random.hpp"
#include "support/weave.hpp"

namespace dsm::sim {
namespace {

// Who uses the phase fields, phase after phase.
enum class Owners : std::uint8_t {
  rotating,  // another thread in each phase
  stable,    // the same thread always; everyone reads in the odd phases
  home,      // the page's home writes in even phases, everyone reads in the odd ones
};

class Generator {
 public:
  Generator(std::uint64_t seed, const Shape& shape)
      : random_(seed),
        races_(seed ^ 0x7261636573),
        team_random_(seed ^ 0x7465616d),
        bound_random_(seed ^ 0x626f756e64),
        pull_random_(seed ^ 0x70756c6c),
        shape_(shape) {}

  Program make();

 private:
  void choose_config();
  void place_regions();
  void cut_fields();
  void place_sequential_region();
  void racy_access();
  void write_thread_phase(std::uint32_t node, std::uint32_t thread, std::uint32_t phase,
                          std::uint32_t budget);
  void scope();
  void try_scope();
  void access(const Field& field, bool may_write);
  void locked_access(std::uint32_t lock);
  void phase_access();
  void pinned_access();
  void try_scope_on(std::uint32_t lock);
  void baton();
  std::uint32_t lasting_pages() const {
    return static_cast<std::uint32_t>(program_.regions[lasting_ - 1].run().end().value);
  }
  const core::Region& region_of(std::uint32_t page) const {
    return program_.regions[program_.regions[0].run().contains(PageId(page)) ? 0 : 1];
  }
  void choose_teams();
  void bind_fields();
  void team_access();
  void team_barrier();
  void put(Op op) { ops_->push_back(op); }

  Random random_;
  Random races_;        // what sequential regions need: programs without one stay as they are
  Random team_random_;  // so that programs without teams do not change
  Random bound_random_;
  Random pull_random_;
  Shape shape_;
  Program program_;
  Owners owners_ = Owners::rotating;
  std::uint32_t threads_ = 1;  // of each node
  std::uint32_t phases_ = 1;
  std::uint32_t lasting_ = 0;  // regions that are there from the first barrier to the end
  bool all_join_ =
      true;  // barriers are for all threads of a node; otherwise thread 0 arrives alone
  bool lone_lock_ = false;  // the last lock may be held across a barrier
  std::uint32_t write_percent_ = 50;
  std::uint32_t sequential_ = 0;     // the sequential region; 0: none
  std::uint32_t races_percent_ = 0;  // of the operations are in it
  std::uint32_t hot_fields_ = ~0u;   // so many of a lock's fields are used
  std::vector<std::vector<Field>> by_lock_;
  std::vector<std::vector<Field>> by_baton_;
  std::vector<Field> phase_fields_;
  std::vector<std::vector<std::uint32_t>> at_home_;  // phase fields, by the node that is home

  // Teams: those of split s meet by the threads numbered s alone, or each by all threads of its
  // members. A team's fields change hands at its barriers.
  struct Team {
    std::vector<Field> fields;
    std::uint32_t rounds = 0;         // barriers in this phase
    std::uint32_t rounds_before = 0;  // in earlier ones
  };
  std::vector<std::vector<std::uint32_t>> team_of_;  // [split][node]: the team
  bool teams_join_ = false;
  std::vector<Team> teams_;
  static constexpr std::uint32_t no_team = ~std::uint32_t{0};
  std::uint32_t team_ = no_team;  // of the thread being written
  std::uint32_t team_round_ = 0;

  // of the thread being written
  std::vector<Op>* ops_ = nullptr;
  std::uint32_t node_ = 0, thread_ = 0, phase_ = 0;
  std::uint32_t frozen_ =
      0;  // in this phase nobody takes this lock, so everyone may read what belongs to it
  bool in_phase_ = false;  // phase fields may be used
  bool pinned_ = false;
};

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
  for (std::uint32_t i = 0; i < locks; ++i) program_.locks.push_back(LockId(i * 7 + r.below(7)));
  threads_ = r.pick(1u, 1u, 2u, 3u);
  phases_ = r.between(1, 5);
  all_join_ = threads_ == 1 || !r.one_in(3);
  owners_ = r.pick(Owners::rotating, Owners::stable, Owners::home);
  hot_fields_ = r.pick(2u, 8u, ~0u);
  write_percent_ = r.pick(20u, 50u, 50u, 80u);
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

// No lock, no order: anybody, anywhere.
void Generator::racy_access() {
  const PageRun run = program_.regions[sequential_].run();
  const std::uint64_t bytes = run.count * program_.page_bytes;
  const auto length = static_cast<std::uint8_t>(races_.pick(1u, 4u, 8u, 8u));
  std::uint64_t at = races_.one_in(2) ? 8 * races_.below(3) : races_.below(bytes);
  if (run.count > 1 && races_.one_in(4))  // across a border
    at = (1 + races_.below(run.count - 1)) * program_.page_bytes - 1 - races_.below(7);
  at = std::min(at, bytes - length);
  put({races_.below(100) < write_percent_ ? Do::write : Do::read, length,
       static_cast<std::uint16_t>(at % program_.page_bytes),
       static_cast<std::uint32_t>(run.first.value + at / program_.page_bytes)});
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

// Field i belongs in round j to user (i + j) % (users + 1); the user that does not exist leaves its
// share to be read by all.
void Generator::team_access() {
  const Team& team = teams_[team_];
  if (team.fields.empty()) return;
  const std::vector<NodeId>& members = program_.teams[team_];
  const auto rank = static_cast<std::uint32_t>(
      std::find(members.begin(), members.end(), NodeId(node_)) - members.begin());
  const std::uint32_t each = teams_join_ ? threads_ : 1;
  const auto users = static_cast<std::uint32_t>(members.size()) * each;
  const std::uint32_t me = rank * each + (teams_join_ ? thread_ : 0);
  const std::uint32_t i =
      team_random_.below(std::min<std::size_t>(team.fields.size(), hot_fields_));
  const std::uint32_t user = (i + team.rounds_before + team_round_) % (users + 1);
  if (user == me || user == users) access(team.fields[i], user == me);
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

void Generator::team_barrier() {
  put({teams_join_ ? Do::team_join : Do::team_arrive, 0, 0, 0, team_});
  ++team_round_;
}

void Generator::access(const Field& field, bool may_write) {
  const bool writes = may_write && random_.below(100) < write_percent_;
  put({writes ? Do::write : Do::read, field.length, field.offset, field.page});
}

void Generator::locked_access(std::uint32_t lock) {
  const std::vector<Field>& fields = by_lock_[lock];
  if (!fields.empty())
    access(fields[random_.below(std::min<std::size_t>(fields.size(), hot_fields_))], true);
}

void Generator::phase_access() {
  if (!in_phase_ || phase_fields_.empty()) return;
  const std::uint32_t writers = program_.config.nodes * (all_join_ ? threads_ : 1);
  const std::uint32_t me = node_ * (all_join_ ? threads_ : 1) + thread_;
  const auto count = static_cast<std::uint32_t>(phase_fields_.size());
  const auto nth = [&](std::uint32_t share) {  // field number i belongs to share i % (writers + 1)
    const std::uint32_t each = writers + 1;
    const std::uint32_t index = share + each * random_.below(count / each + 1);
    return index < count ? &phase_fields_[index] : nullptr;
  };
  switch (owners_) {
    case Owners::rotating: {
      // Share s belongs to writer (s + phase) % (writers + 1); the writer that does not exist
      // leaves its share to be read.
      const std::uint32_t writer = random_.one_in(3) ? writers : me;
      const Field* f = nth((writer + (writers + 1) * phase_ - phase_) % (writers + 1));
      if (f != nullptr) access(*f, writer == me);
      break;
    }
    case Owners::stable: {
      const bool reading = phase_ % 2 == 1;
      const Field* f = nth(reading ? random_.below(writers + 1) : me);
      if (f != nullptr) access(*f, !reading);
      break;
    }
    case Owners::home: {
      if (phase_ % 2 == 1) {
        access(phase_fields_[random_.below(count)], false);
      } else if (thread_ == 0 && !at_home_[node_].empty()) {
        access(phase_fields_[at_home_[node_][random_.below(at_home_[node_].size())]], true);
      }
      break;
    }
  }
}

void Generator::pinned_access() {
  // One thread of a node, one chunk, nothing waited for meanwhile: pins cannot make a cache too
  // small.
  if (pinned_ || thread_ != 0 || !in_phase_ || phase_fields_.empty()) return;
  const std::uint32_t pages = lasting_pages();
  const std::uint32_t page = random_.below(pages);
  const std::uint32_t chunk = program_.config.chunk_pages;
  const std::uint32_t count = random_.between(1, std::min(chunk - page % chunk, pages - page));
  put({Do::pin, 0, 0, page, count});
  for (std::uint32_t i = random_.below(3); i > 0; --i) phase_access();
  put({Do::unpin, 0, 0, page, count});
}

// Locks are waited for in rising order only, so programs cannot deadlock.
void Generator::scope() {
  const auto locks = static_cast<std::uint32_t>(program_.locks.size()) - (lone_lock_ ? 1 : 0);
  const std::uint32_t first = random_.below(locks);
  if (first == frozen_) return;
  std::vector<std::uint32_t> held;
  put({Do::acquire, 0, 0, 0, first});
  held.push_back(first);
  for (std::uint32_t i = random_.below(5); i > 0; --i) {
    const std::uint32_t top = *std::max_element(held.begin(), held.end());
    switch (random_.below(9)) {
      case 0:  // nested
        if (held.size() < 3 && top + 1 < locks) {
          const std::uint32_t next = random_.between(top + 1, locks - 1);
          if (next == frozen_) break;
          held.push_back(next);
          put({Do::acquire, 0, 0, 0, next});
        }
        break;
      case 1:  // overlapping: released in any order
        if (held.size() > 1) {
          const std::size_t which = random_.below(held.size());
          put({Do::release, 0, 0, 0, held[which]});
          held.erase(held.begin() + static_cast<std::ptrdiff_t>(which));
        }
        break;
      case 2:
        phase_access();
        break;
      case 3: {
        const std::uint32_t other = random_.below(program_.locks.size());
        if (std::find(held.begin(), held.end(), other) == held.end()) try_scope_on(other);
        break;
      }
      default:
        locked_access(held[random_.below(held.size())]);
        break;
    }
  }
  while (!held.empty()) {
    const std::size_t which = random_.below(held.size());
    put({Do::release, 0, 0, 0, held[which]});
    held.erase(held.begin() + static_cast<std::ptrdiff_t>(which));
    if (!held.empty() && random_.one_in(2)) locked_access(held.back());
  }
}

void Generator::try_scope() {
  try_scope_on(random_.below(program_.locks.size()));
}

void Generator::try_scope_on(std::uint32_t lock) {
  if (lock == frozen_) return;
  const std::size_t at = ops_->size();
  put({Do::try_acquire, 0, 0, 0, lock});
  for (std::uint32_t i = random_.below(3); i > 0; --i) locked_access(lock);
  put({Do::release, 0, 0, 0, lock});
  (*ops_)[at].skip = static_cast<std::uint32_t>(ops_->size() - at);
}

// Takes a baton if it lies at some lock, uses what belongs to it outside of any scope, and lays it
// down at the same lock or another.
void Generator::baton() {
  if (program_.batons.empty()) return;
  const std::uint32_t baton = random_.below(program_.batons.size());
  const auto locks = static_cast<std::uint32_t>(program_.locks.size()) - (lone_lock_ ? 1 : 0);
  const std::uint32_t here = random_.below(locks), there = random_.below(locks);
  if (here == frozen_ || there == frozen_) return;
  const auto use = [&] {
    for (std::uint32_t i = random_.below(4); i > 0 && !by_baton_[baton].empty(); --i)
      access(by_baton_[baton][random_.below(by_baton_[baton].size())], true);
  };
  put({Do::acquire, 0, 0, 0, here});
  put({Do::take, 0, 0, 0, baton, 0, here});
  put({Do::release, 0, 0, 0, here});
  const std::size_t at = ops_->size();
  put({Do::if_has, 0, 0, 0, baton});
  use();
  put({Do::acquire, 0, 0, 0, there});
  if (random_.one_in(2)) use();
  put({Do::give, 0, 0, 0, baton, 0, there});
  put({Do::release, 0, 0, 0, there});
  (*ops_)[at].skip = static_cast<std::uint32_t>(ops_->size() - at);
}

void Generator::write_thread_phase(std::uint32_t node, std::uint32_t thread, std::uint32_t phase,
                                   std::uint32_t budget) {
  node_ = node;
  thread_ = thread;
  phase_ = phase;
  ops_ = &program_.nodes[node][thread];
  in_phase_ = all_join_ || thread == 0;
  const std::size_t split = teams_join_ ? 0 : thread;
  team_ = split < team_of_.size() ? team_of_[split][node] : no_team;
  team_round_ = 0;
  const std::uint32_t rounds = team_ == no_team ? 0 : teams_[team_].rounds;
  const std::size_t begin = ops_->size(), end = begin + budget;
  while (ops_->size() < end) {
    if (sequential_ != 0 && races_.below(100) < races_percent_) {
      racy_access();
      continue;
    }
    if (team_ != no_team) {
      const std::size_t done = ops_->size() - begin;
      if (team_round_ < rounds && done > budget * (team_round_ + 1) / (rounds + 1)) team_barrier();
      if (team_random_.one_in(2)) {
        team_access();
        continue;
      }
    }
    switch (random_.below(12)) {
      case 0:
        pinned_access();
        break;
      case 1:
        if (random_.one_in(2)) {
          try_scope();
        } else {
          baton();
        }
        break;
      case 2:
        if (frozen_ < by_lock_.size() && !by_lock_[frozen_].empty())
          access(by_lock_[frozen_][random_.below(by_lock_[frozen_].size())], false);
        break;
      case 3:
      case 4:
      case 5:
      case 6:
        phase_access();
        break;
      default:
        scope();
        break;
    }
  }
  while (team_round_ < rounds) team_barrier();
}

Program Generator::make() {
  choose_config();
  place_regions();
  cut_fields();
  choose_teams();
  bind_fields();
  const std::uint32_t n = program_.config.nodes;
  const auto locks = static_cast<std::uint32_t>(program_.locks.size());
  lone_lock_ = locks > 1 && random_.one_in(3);
  program_.nodes.assign(n, std::vector<std::vector<Op>>(threads_));
  const auto everyone = [&](Op op) {
    for (auto& threads : program_.nodes)
      for (auto& ops : threads) ops.push_back(op);
  };
  const auto first_threads = [&](Op op) {
    for (auto& threads : program_.nodes) threads[0].push_back(op);
  };
  const std::uint32_t transient = static_cast<std::uint32_t>(program_.regions.size()) - lasting_;
  place_sequential_region();
  for (std::uint32_t i = 0; i < lasting_; ++i) first_threads({Do::add_region, 0, 0, 0, i});
  if (sequential_ != 0) first_threads({Do::add_region, 0, 0, 0, sequential_});
  everyone({Do::join});

  const std::uint32_t each = std::max(1u, shape_.operations / (n * threads_ * phases_));
  std::uint32_t region = 0;  // the transient one that is there; 0 = none
  for (std::uint32_t phase = 0; phase < phases_; ++phase) {
    const std::uint32_t lone_node = lone_lock_ ? random_.below(n) : n;
    // Not the lone lock; and only where no thread runs on through the barriers.
    frozen_ = all_join_ && locks > 2 && random_.one_in(2) ? random_.below(locks - 1) : locks;
    for (Team& team : teams_) {
      team.rounds_before += team.rounds;
      team.rounds = team_random_.below(4);
    }
    for (std::uint32_t node = 0; node < n; ++node) {
      for (std::uint32_t thread = 0; thread < threads_; ++thread)
        write_thread_phase(node, thread, phase, each);
      if (node == lone_node) {  // this thread alone waits for the last lock in this phase, and
                                // takes it through the barrier
        ops_ = &program_.nodes[node][0];
        put({Do::acquire, 0, 0, 0, locks - 1});
        locked_access(locks - 1);
      }
      if (region != 0) {
        const PageRun run = program_.regions[region].run();
        ops_ = &program_.nodes[node][0];
        const auto page = static_cast<std::uint32_t>(run.first.value + random_.below(run.count));
        if (phase % 2 == 0)
          access({page, static_cast<std::uint16_t>(node * 8),
                  static_cast<std::uint8_t>(random_.between(1, 8))},
                 true);
        else
          access({page, static_cast<std::uint16_t>(random_.below(n) * 8), 8}, false);
      }
    }
    if (phase + 1 < phases_) {
      if (all_join_)
        everyone({Do::join});
      else
        first_threads({Do::arrive});
    }
    if (lone_node < n) {
      ops_ = &program_.nodes[lone_node][0];
      locked_access(locks - 1);
      put({Do::release, 0, 0, 0, locks - 1});
    }
    if (sequential_ != 0 && all_join_ && phase + 1 < phases_ && races_.one_in(4)) {
      first_threads({Do::drop_region, 0, 0, 0, sequential_});
      everyone({Do::join});
      first_threads({Do::add_region, 0, 0, 0, sequential_});
      everyone({Do::join});
    }
    if (transient > 0 && phase + 1 < phases_ && random_.one_in(2)) {
      if (region != 0) {
        first_threads({Do::drop_region, 0, 0, 0, region});
        everyone({Do::join});
      }
      region = region == 0 || random_.one_in(2) ? lasting_ + random_.below(transient) : 0;
      if (region != 0) {
        first_threads({Do::add_region, 0, 0, 0, region});
        everyone({Do::join});
      }
    }
  }
  // After a last barrier everyone may read everything.
  everyone({Do::join});
  for (std::uint32_t node = 0; node < n; ++node) {
    ops_ = &program_.nodes[node][0];
    for (std::uint32_t i = 0; i < 4 && !phase_fields_.empty(); ++i)
      access(phase_fields_[random_.below(phase_fields_.size())], false);
    for (std::uint32_t i = 0; i < 4; ++i) {
      const auto& fields = by_lock_[random_.below(locks)];
      if (!fields.empty()) access(fields[random_.below(fields.size())], false);
    }
    for (const auto& fields : by_baton_)
      if (!fields.empty()) access(fields[random_.below(fields.size())], false);
    for (const Team& team : teams_)
      if (!team.fields.empty()) access(team.fields[team_random_.below(team.fields.size())], false);
  }
  return std::move(program_);
}

}  // namespace

Program random_program(std::uint64_t seed, const Shape& shape) {
  Program program = Generator(seed, shape).make();
  weave(program, seed);
  weave_conditions(program, seed);
  weave_semaphores(program, seed);
  weave_atomics(program, seed);
  if (Random(seed ^ 0x72616365).one_in(2))
    program.config.find_races = program.config.atomics_by_message = true;
  return program;
}

}  // namespace dsm::sim
