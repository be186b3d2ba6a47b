// The release policy: everything that happened before a release is seen after the acquire that
// follows it, whatever lock or none it was written under.
#include <mutex>

#include "scenario.hpp"

using namespace scenario;  // NOLINT: a test program

namespace {

template <typename T>
std::span<T> released(std::size_t count, const dsm::Placement& placement) {
  return dsm::allocate<T>(count, placement, dsm::Policy::release);
}

std::size_t words_of_pages(std::size_t pages) {
  return pages * dsm::page_size() / sizeof(std::uint64_t);
}

// Waits, by taking the lock again and again, until the flag has the value; what `then` does is done
// under the lock.
void wait_for(dsm::Lock& lock, const std::uint64_t& flag, std::uint64_t value) {
  for (;;) {
    {
      const std::scoped_lock hold(lock);
      if (flag >= value) return;
    }
    std::this_thread::yield();
  }
}

// Data first, a flag under a lock later: node after node, many rounds.
void flags() {
  auto data = released<std::uint64_t>(words_of_pages(8), dsm::Placement::cyclic());
  auto flag = released<std::uint64_t>(1, dsm::Placement::on(0));
  dsm::Lock lock;
  constexpr std::uint64_t rounds = 20;
  for (std::uint64_t round = 0; round < rounds; ++round) {
    const std::uint64_t turn =
        round * static_cast<std::uint64_t>(nodes()) + static_cast<std::uint64_t>(me());
    wait_for(lock, flag[0], turn);
    for (std::size_t i = 0; i < data.size(); i += 37) {
      if (turn > 0) same_at(data[i], mix(turn - 1, i), "word", i);
      data[i] = mix(turn, i);
    }
    const std::scoped_lock hold(lock);
    flag[0] = turn + 1;
  }
  dsm::barrier();
}

// Node 0 tells node 1 under one lock, node 1 tells node 2 under another, and so on; the last one
// reads what node 0 wrote, and what everyone on the way added.
void chain() {
  const std::size_t each = words_of_pages(2);
  auto data =
      released<std::uint64_t>(each * static_cast<std::size_t>(nodes()), dsm::Placement::cyclic());
  auto flags = released<std::uint64_t>(words_of_pages(static_cast<std::size_t>(nodes())),
                                       dsm::Placement::cyclic());
  std::vector<dsm::Lock> locks(static_cast<std::size_t>(nodes()));
  const auto flag_of = [&](int node) -> std::uint64_t& {
    return flags[words_of_pages(static_cast<std::size_t>(node))];
  };
  for (std::uint64_t round = 1; round <= 10; ++round) {
    if (me() > 0) wait_for(locks[static_cast<std::size_t>(me() - 1)], flag_of(me() - 1), round);
    for (int before = 0; before < me(); ++before)
      for (std::size_t i = 0; i < each; i += 101)
        same_at(data[static_cast<std::size_t>(before) * each + i],
                mix(round, static_cast<std::uint64_t>(before), i), "word", i);
    for (std::size_t i = 0; i < each; i += 101)
      data[static_cast<std::size_t>(me()) * each + i] =
          mix(round, static_cast<std::uint64_t>(me()), i);
    {
      const std::scoped_lock hold(locks[static_cast<std::size_t>(me())]);
      flag_of(me()) = round;
    }
    dsm::barrier();
  }
}

// Many hand-overs without a barrier, each after writes to ever other pages: the history is cut and
// nothing is lost.
void long_history() {
  const std::size_t pages = 3000;
  auto data = released<std::uint64_t>(words_of_pages(pages), dsm::Placement::cyclic(3));
  auto turn = released<std::uint64_t>(1, dsm::Placement::on(0));
  dsm::Lock lock;
  const std::size_t step = words_of_pages(1);
  for (std::uint64_t round = 0; round < 6; ++round) {
    wait_for(lock, turn[0],
             round * static_cast<std::uint64_t>(nodes()) + static_cast<std::uint64_t>(me()));
    // every second page, so that runs do not merge
    for (std::size_t p = round % 2; p < pages; p += 2) {
      const std::uint64_t sum = data[p * step] + 1;
      if (p % 64 < 2)
        same_at(
            sum,
            round / 2 * static_cast<std::uint64_t>(nodes()) + static_cast<std::uint64_t>(me()) + 1,
            "page", p);
      data[p * step] = sum;
    }
    const std::scoped_lock hold(lock);
    ++turn[0];
  }
  dsm::barrier();
}

// One release acts on every region by its own policy: counters of the scope policy under their
// locks, notes of the release policy written before.
void mixed() {
  auto notes = released<std::uint64_t>(words_of_pages(4), dsm::Placement::cyclic());
  auto counter = dsm::allocate<std::uint64_t>(1, dsm::Placement::on(0), dsm::Policy::scope);
  auto turn = dsm::allocate<std::uint64_t>(1, dsm::Placement::on(nodes() - 1), dsm::Policy::scope);
  dsm::Lock lock;
  for (int round = 0; round < 50; ++round) {
    for (;;) {
      {
        const std::scoped_lock hold(lock);
        if (turn[0] % static_cast<std::uint64_t>(nodes()) == static_cast<std::uint64_t>(me()))
          break;
      }
      std::this_thread::yield();
    }
    const std::uint64_t number = counter[0];  // nobody else writes it in this turn
    for (std::size_t i = 0; i < notes.size(); i += 97) {
      if (number > 0) same_at(notes[i], mix(number, i), "note", i);
      notes[i] = mix(number + 1, i);
    }
    const std::scoped_lock hold(lock);
    ++counter[0];
    ++turn[0];
  }
  dsm::barrier();
  same(counter[0], 50u * static_cast<std::uint64_t>(nodes()), "the counter");
}

// Threads of one node hear and tell for one another.
void threads() {
  auto data = released<std::uint64_t>(words_of_pages(4), dsm::Placement::cyclic());
  auto turn = released<std::uint64_t>(1, dsm::Placement::on(0));
  dsm::Lock lock;
  constexpr int threads = 3;
  const auto all = static_cast<std::uint64_t>(threads * nodes());
  in_threads(threads, [&](int thread) {
    for (std::uint64_t round = 0; round < 8; ++round) {
      const std::uint64_t mine = round * all + static_cast<std::uint64_t>(thread * nodes() + me());
      wait_for(lock, turn[0], mine);
      for (std::size_t i = 0; i < data.size(); i += 61) {
        if (mine > 0) same_at(data[i], mix(mine - 1, i), "word", i);
        data[i] = mix(mine, i);
      }
      const std::scoped_lock hold(lock);
      turn[0] = mine + 1;
    }
  });
  dsm::barrier();
}

}  // namespace

int main(int argc, char** argv) {
  return run(argc, argv,
             {{"flags", flags},
              {"chain", chain},
              {"long_history", long_history},
              {"mixed", mixed},
              {"threads", threads}});
}
