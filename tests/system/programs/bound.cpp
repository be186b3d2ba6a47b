// Memory that is bound to locks and travels with them.
#include <array>
#include <cstdlib>
#include <mutex>
#include <numeric>
#include <thread>

#include "heard.hpp"
#include "scenario.hpp"

using namespace scenario;  // NOLINT: a test program

namespace {

template <typename T>
std::span<T> bound_memory(std::size_t count,
                          const dsm::Placement& placement = dsm::Placement::block()) {
  return dsm::allocate<T>(count, placement, dsm::Policy::bound);
}

// How the scenario's data come to their locks' next owners.
dsm::Refresh refresh = dsm::Refresh::push;

struct Account {
  std::int64_t balance = 0;
  std::uint64_t changes = 0;
  std::array<std::uint64_t, 30> history{};
};

// Threads of all nodes; every holder sees what the last one left, all of it.
void values() {
  constexpr int threads = 3;
  constexpr std::uint64_t turns = 300;
  dsm::Bound<Account> account(dsm::Placement::on(nodes() - 1), refresh);
  in_threads(threads, [&](int t) {
    for (std::uint64_t i = 0; i < turns; ++i) {
      auto a = account.lock();
      check(a->balance == static_cast<std::int64_t>(3 * a->changes), "half of a change is here");
      for (const std::uint64_t h : a->history)
        check(h <= a->changes && a->changes <= h + a->history.size(), "an old entry is here");
      a->history[a->changes % a->history.size()] = ++a->changes;
      a->balance += 3;
      if (i % 64 == static_cast<std::uint64_t>(t)) std::this_thread::yield();
    }
  });
  dsm::barrier();
  same(account.get()->changes, static_cast<std::uint64_t>(nodes() * threads) * turns,
       "behind a barrier without the lock");
  account.free();
}

// Two locks own different bytes of every page, and what lies between is nobody's: for barriers.
void neighbours() {
  const std::size_t words = 3 * dsm::page_size() / 8;
  const auto memory = bound_memory<std::uint64_t>(words, dsm::Placement::cyclic(1));
  dsm::Lock left, right;
  const std::size_t third = words / 3;
  left.bind(memory.subspan(10, third), refresh);  // across a border of pages
  right.bind(memory.subspan(10 + third, third), refresh);
  const auto rounds = static_cast<std::uint64_t>(4 * nodes());
  for (std::uint64_t round = 0; round < rounds; ++round) {
    const std::size_t mine = words - 1 - static_cast<std::size_t>(me());
    memory[mine] = round + 1;
    for (int i = 0; i < 5; ++i) {
      const std::scoped_lock hold(left);
      const std::uint64_t before = memory[10];
      for (std::size_t w = 10; w < 10 + third; ++w) {
        same_at(memory[w], before, "left", w);
        memory[w] = before + 1;
      }
    }
    for (int i = 0; i < 3; ++i) {
      const std::scoped_lock hold(right);
      const std::uint64_t before = memory[10 + third];
      for (std::size_t w = 10 + third; w < 10 + 2 * third; ++w) {
        same_at(memory[w], before, "right", w);
        memory[w] = before + 1;
      }
    }
    dsm::barrier();
    const auto all = static_cast<std::uint64_t>(nodes()) * (round + 1);
    same(memory[10], 5 * all, "left, behind a barrier");
    same(memory[9 + 2 * third], 3 * all, "right, behind a barrier");
    for (int n = 0; n < nodes(); ++n)
      same_at(memory[words - 1 - static_cast<std::size_t>(n)], round + 1, "unbound", n);
    dsm::barrier();
  }
}

// Bound pages leave the cache and come back, with the lock and without.
void crowd() {
  const std::size_t page_words = dsm::page_size() / 8;
  constexpr std::size_t locks = 40;
  const std::size_t apart = 512 * page_words;  // a chunk each
  const auto memory = bound_memory<std::uint64_t>(locks * apart, dsm::Placement::on(nodes() - 1));
  std::vector<dsm::Lock> lock(locks);
  for (std::size_t l = 0; l < locks; ++l)
    lock[l].bind(memory.subspan(l * apart + 100, 900), refresh);
  constexpr std::uint64_t turns = 12;
  for (std::uint64_t i = 0; i < turns * locks; ++i) {
    const std::size_t l = mix(i % locks, static_cast<unsigned>(me()) + i / locks) % locks;
    const std::scoped_lock hold(lock[l]);
    const auto mine = memory.subspan(l * apart + 100, 900);
    same(mine[0], mine[899], "both ends");
    ++mine[0];
    ++mine[899];
    // Whatever of it a device holds is at home here or counted as cached; the rest is small.
    const dsm::Statistics now = dsm::statistics();
    constexpr std::uint64_t small = std::uint64_t{16} << 20;
    check(now.registered_bytes <= now.home_bytes + now.cache_limit_bytes + small,
          "a device holds " + std::to_string(now.registered_bytes >> 20) + " MiB");
  }
  dsm::barrier();
  std::uint64_t sum = 0;
  for (std::size_t l = 0; l < locks; ++l) sum += memory[l * apart + 100];
  same(sum, static_cast<std::uint64_t>(nodes()) * turns * locks, "the sum");
}

// One lock whose scope covers memory of three policies: a release acts on each by its own.
void mixed() {
  const auto bound = bound_memory<std::uint64_t>(8);
  const auto scoped = dsm::allocate<std::uint64_t>(8, dsm::Placement::on(0), dsm::Policy::scope);
  const auto released =
      dsm::allocate<std::uint64_t>(8, dsm::Placement::on(0), dsm::Policy::release);
  dsm::Lock lock;
  lock.bind(bound);
  for (int i = 0; i < 100; ++i) {
    const std::scoped_lock hold(lock);
    same(bound[3], scoped[3], "scope beside bound");
    same(bound[3], released[3], "release beside bound");
    ++bound[3];
    ++scoped[3];
    ++released[3];
    if (i == 50) bound[4] = scoped[4] = 7;
  }
  dsm::barrier();
  same(bound[3], static_cast<std::uint64_t>(100 * nodes()), "all");
  same(bound[4], 7u, "the other word");
}

// A lock that is handed over while nodes stand on both sides of a barrier.
void across_barriers() {
  const auto memory = bound_memory<std::uint64_t>(16, dsm::Placement::on(0));
  dsm::Lock lock;
  lock.bind(memory, refresh);
  std::atomic<bool> stop{false};
  std::uint64_t added = 0;
  std::thread other([&] {
    while (!stop) {
      const std::scoped_lock hold(lock);
      const std::uint64_t was = memory[0];
      for (auto& word : memory) {
        check(word == was, "an older word");
        ++word;
      }
      ++added;
    }
  });
  for (int i = 0; i < 60; ++i) dsm::barrier();
  stop = true;
  other.join();
  dsm::barrier();
  same(memory[5], dsm::all_reduce(added), "what all have added");
}

// More than one message or READ carries, some of it pushed; both ends of what is nobody's stay.
void large() {
  const std::size_t words = (std::size_t{3} << 20) / 8;
  const auto memory = bound_memory<std::uint64_t>(words, dsm::Placement::cyclic(3));
  dsm::Lock lock;
  lock.bind(memory.subspan(3, 5));
  lock.bind(memory.subspan(9, words - 20), dsm::Refresh::pull);
  constexpr std::uint64_t turns = 4;
  for (std::uint64_t i = 0; i < turns; ++i) {
    const std::scoped_lock hold(lock);
    const std::uint64_t before = memory[3];
    for (std::size_t w = 9; w < words - 11; ++w) {
      same_at(memory[w], before, "word", w);
      memory[w] = before + 1;
    }
    memory[3] = before + 1;
  }
  dsm::barrier();
  same(memory[words - 12], turns * static_cast<std::uint64_t>(nodes()), "the last word");
  same(memory[words - 11], 0u, "behind it");
  same(memory[8], 0u, "ahead of it");
}

template <void (*scenario)()>
void pulled() {
  refresh = dsm::Refresh::pull;
  scenario();
}

// DSM_DEBUG=1 tells of what is written without the lock, and of nothing that is written under it.
void unlocked() {
  ::setenv("DSM_DEBUG", "1", 1);
  dsm::Session session;
  const auto memory = bound_memory<std::uint64_t>(64, dsm::Placement::on(0));
  dsm::Lock lock(6);
  lock.bind(memory.subspan(8, 4));
  const auto heard_of = [](auto body) {
    const Heard heard;
    body();
    dsm::barrier();
    return heard.text();
  };
  dsm::barrier();
  const std::string text = heard_of([&] {
    if (me() == 1) memory[9] = memory[20] = 0x0101010101010101;
  });
  if (me() == 1) {
    for (const char* words :
         {"dsm[1]: bound memory written without its lock: node 1 (sent home by the collective call "
          "at ",
          "bound.cpp:", "wrote 8 bytes at 0x", "page 0 of its region, offset 72,", "lock 6"})
      check(text.find(words) != std::string::npos, std::string("no '") + words + "' in: " + text);
    check(text.find('\n') == text.size() - 1, "one line: " + text);
  } else {
    check(text.empty(), "nothing is to be said: " + text);
  }
  dsm::barrier();
  const std::string silent = heard_of([&] {
    for (int i = 0; i < 20; ++i) {
      const std::scoped_lock hold(lock);
      for (std::size_t w = 8; w < 12; ++w) ++memory[w];
    }
  });
  check(silent.empty(), "nothing is to be said: " + silent);
  same(memory[9], 20 * static_cast<std::uint64_t>(nodes()), "only what was written under the lock");
  dsm::barrier();
}

void misuse() {
  const auto bound = bound_memory<std::uint64_t>(600);
  const auto scoped =
      dsm::allocate<std::uint64_t>(600, dsm::Placement::block(), dsm::Policy::scope);
  dsm::Lock lock(7), other(8);
  lock.bind(bound.subspan(100, 50));
  std::uint64_t own = 0;
  refused([&] { lock.bind(bound.subspan(0, 0)); }, {"no bytes"});
  refused([&] { lock.bind(scoped.subspan(0, 4)); }, {"another policy"});
  refused([&] { lock.bind(std::span(&own, 1)); }, {"allocate() did not return"});
  refused([&] { other.bind(bound.subspan(149, 2)); }, {"bound already, to lock 7"});
  refused([&] { lock.bind(bound.subspan(120, 1)); }, {"bound already, to lock 7"});
  refused([&] { lock.bind_bytes(bound.data(), std::size_t{1} << 40); },
          {"allocate() did not return"});
  const auto large = bound_memory<std::byte>((std::size_t{16} << 20) + 1);
  refused([&] { other.bind(large); }, {"at most 16777216"});
  other.bind(bound.subspan(150, 2));
  if (nodes() > 1)
    refused([&] { lock.bind(bound.subspan(200 + static_cast<std::size_t>(me()), 1)); }, {"differ"});
  if (nodes() > 1)
    refused([&] { lock.bind(bound.subspan(300, 1), static_cast<dsm::Refresh>(me() % 2)); },
            {"differ"});
  refused([&] { lock.bind(bound.subspan(300, 1), static_cast<dsm::Refresh>(2)); },
          {"Refresh::push", "Refresh::pull"});
  dsm::barrier();
}

}  // namespace

int main(int argc, char** argv) {
  return run(argc, argv,
             {{"values", values},
              {"neighbours", neighbours},
              {"crowd", crowd},
              {"mixed", mixed},
              {"across_barriers", across_barriers},
              {"large", large},
              {"unlocked", unlocked, false},
              {"pulled_values", pulled<values>},
              {"pulled_neighbours", pulled<neighbours>},
              {"pulled_crowd", pulled<crowd>},
              {"pulled_across_barriers", pulled<across_barriers>},
              {"misuse", misuse}});
}
