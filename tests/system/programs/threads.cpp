// Eight threads of each node: faulting on the same and on other pages, while others lock, unlock
// and wait in barriers.
#include <atomic>
#include <mutex>

#include "scenario.hpp"

using namespace scenario;  // NOLINT: a test program

namespace {

constexpr int threads_per_node = 8;
std::size_t number(int i) {
  return static_cast<std::size_t>(i);
}

// All threads read the same pages at the same time, right after they were invalidated.
void together() {
  constexpr std::size_t pages = 60;
  const std::size_t step = dsm::page_size() / sizeof(std::uint64_t);
  auto words = dsm::allocate<std::uint64_t>(pages * step, dsm::Placement::cyclic());
  dsm::Barrier everyone(threads_per_node);
  in_threads(threads_per_node, [&](int t) {
    for (std::uint64_t round = 1; round <= 12; ++round) {
      if (t == 0)
        for (std::size_t p = number(me()); p < pages; p += number(nodes()))
          words[p * step + round] = mix(round, p);
      everyone.arrive_and_wait();
      for (std::size_t i = 0; i < pages; ++i) {
        const std::size_t p = t % 2 == 0 ? i : pages - 1 - i;
        same_at(words[p * step + round], mix(round, p), "word of page", p);
      }
      // And all write to the same pages, each its own word.
      const std::size_t slot = 100 + number(me() * threads_per_node + t);
      for (std::size_t p = 0; p < pages; ++p) words[p * step + slot] += round;
      everyone.arrive_and_wait();
    }
    for (int i = 0; i < nodes() * threads_per_node; ++i)
      for (std::size_t p = number(t); p < pages; p += threads_per_node)
        same_at(words[p * step + 100 + number(i)], 78u, "sum in page", p);
  });
}

// Half of the threads fault all the time; the others take locks, which takes pages away from under
// them.
void against_locks() {
  constexpr std::size_t pages = 32, locks = 4;
  constexpr std::uint64_t locker_turns = 40;
  const std::size_t step = dsm::page_size() / sizeof(std::uint64_t);
  auto words = dsm::allocate<std::uint64_t>(pages * step, dsm::Placement::cyclic());
  std::atomic<int> lockers{threads_per_node / 2};
  in_threads(threads_per_node, [&](int t) {
    const std::size_t self = number(me() * threads_per_node + t);
    if (t % 2 == 0) {
      std::uint64_t rounds = 0;
      for (; lockers.load() > 0 || rounds < 5; ++rounds)
        for (std::size_t p = 0; p < pages; ++p) {
          std::uint64_t& own = words[p * step + 100 + self];
          same_at(own, rounds, "own word of page", p);
          own = rounds + 1;
        }
      for (std::size_t p = 0; p < pages; ++p) words[p * step + 100 + self] = 77;
    } else {
      for (std::uint64_t i = 0; i < locker_turns; ++i) {
        const std::size_t which = mix(self, i) % locks;
        dsm::Lock lock(which);
        std::scoped_lock hold(lock);
        for (std::size_t p = which; p < pages; p += locks * 2) ++words[p * step + which];
      }
      lockers.fetch_sub(1);
    }
  });
  dsm::barrier();
  std::vector<std::uint64_t> taken(locks);
  for (std::size_t self = 0; self < number(nodes()) * threads_per_node; ++self)
    for (std::uint64_t i = 0; self % 2 == 1 && i < locker_turns; ++i) ++taken[mix(self, i) % locks];
  for (std::size_t l = 0; l < locks; ++l)
    for (std::size_t p = l; p < pages; p += locks * 2)
      same_at(words[p * step + l], taken[l], "count in page", p);
  for (std::size_t self = 0; self < number(nodes()) * threads_per_node; self += 2)
    for (std::size_t p = 0; p < pages; ++p)
      same_at(words[p * step + 100 + self], 77u, "last word of page", p);
}

// A thread of one node waits in the barrier while its node holds a lock, and others of the node go
// on locking.
void lock_across_barrier() {
  auto words = dsm::allocate<std::uint64_t>(4000, dsm::Placement::on(0));
  for (std::uint64_t round = 1; round <= 30; ++round) {
    dsm::Lock held(round % number(nodes()) + 50), free_for_all(7);
    const bool holds = round % number(nodes()) == number(me());
    if (holds) {
      held.lock();
      words[1000 + me()] = round;
    }
    std::atomic<bool> passed{false};
    std::thread other([&] {
      while (!passed.load()) {
        std::scoped_lock hold(free_for_all);
        ++words[0];
        ++words[3999];
      }
    });
    dsm::barrier();
    passed.store(true);
    other.join();
    if (holds) {
      words[1500 + me()] = round;
      held.unlock();
    }
    std::scoped_lock again(held);
    const std::size_t holder = round % number(nodes());
    same_at(words[1500 + holder], words[1000 + holder],
            "what the holder wrote after the barrier, node", holder);
    if (round % 2 == 0) {
      std::scoped_lock hold(free_for_all);
      same(words[0], words[3999], "the other counter");
    }
  }
}

// Threads come and go; each faults, locks, and ends.
void short_lived() {
  auto words = dsm::allocate<std::uint64_t>(8 * dsm::page_size() / sizeof(std::uint64_t),
                                            dsm::Placement::cyclic());
  for (int round = 0; round < 40; ++round) {
    in_threads(threads_per_node, [&](int t) {
      dsm::Lock lock(number(t) % 3);
      std::scoped_lock hold(lock);
      ++words[number(t) % 3 * 700];
    });
  }
  dsm::barrier();
  const std::uint64_t per_round[] = {3, 3, 2};
  for (std::size_t l = 0; l < 3; ++l)
    same_at(words[l * 700], per_round[l] * 40 * number(nodes()), "counter", l);
}

}  // namespace

int main(int argc, char** argv) {
  return run(argc, argv,
             {{"together", together},
              {"against_locks", against_locks},
              {"lock_across_barrier", lock_across_barrier},
              {"short_lived", short_lived}});
}
