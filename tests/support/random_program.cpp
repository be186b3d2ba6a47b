// Random programs without data races (program.hpp): what their threads do.
#include <algorithm>
#include <utility>

#include "support/generator.hpp"
#include "support/weave.hpp"

namespace dsm::sim {

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

// Page after page, as far as the lock's fields go.
void Generator::sweep(std::uint32_t lock) {
  std::uint32_t behind = 0;
  for (const Field& field : by_lock_[lock]) {
    if (field.page < behind) continue;
    access(field, ahead_random_.one_in(4));
    behind = field.page + 1;
  }
}

// One thread of a node writes all of a page's fields that are not locks'.
void Generator::drifting_access() {
  const Field& field = phase_fields_[move_random_.below(phase_fields_.size())];
  if (all_may_read_ && phase_ % 2 == 1) return access(field, false);
  const std::uint32_t writer = (field.page + phase_ / stay_) % program_.config.nodes;
  if (writer == node_ && thread_ == 0) access(field, true);
}

void Generator::phase_access() {
  if (!in_phase_ || phase_fields_.empty()) return;
  if (owners_ == Owners::drifting) return drifting_access();
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
    case Owners::drifting:
      break;
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
        if (program_.config.read_ahead > 0 && ahead_random_.one_in(8)) {
          sweep(held.back());
        } else {
          locked_access(held[random_.below(held.size())]);
        }
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
  std::uint32_t exchanged = 0;
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
    if (exchanges_ && !push_random_.one_in(20)) {
      phase_access();
      if (!in_phase_ || phase_fields_.empty() || ++exchanged > budget) break;
      continue;
    }
    if (owners_ == Owners::drifting && !move_random_.one_in(10)) {
      phase_access();
      if (!in_phase_ || phase_fields_.empty() || ++exchanged > 4 * budget) break;
      continue;
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

Program random_program(std::uint64_t seed, const Shape& shape) {
  Generator generator(seed, shape);
  Program program = generator.make();
  weave(program, seed);
  weave_conditions(program, seed);
  weave_semaphores(program, seed);
  weave_atomics(program, seed);
  // Where races are looked for no home moves.
  if (!generator.drifts() && Random(seed ^ 0x72616365).one_in(2))
    program.config.find_races = program.config.atomics_by_message = true;
  return program;
}

}  // namespace dsm::sim
