// Semaphores: counts that nobody gets twice, producers and consumers, time-outs, misuse.
#include <atomic>
#include <chrono>
#include <mutex>

#include "scenario.hpp"

using namespace scenario;              // NOLINT: a test program
using namespace std::chrono_literals;  // NOLINT

namespace {

// Every node fills a bounded ring and empties it, without any lock but counts.
void ring() {
  constexpr std::uint64_t each = 200, room = 5;
  struct Ring {
    std::uint64_t head, tail, sum, items[room];
  };
  auto shared = dsm::allocate<Ring>(1, dsm::Placement::on(nodes() - 1));
  Ring& r = shared[0];
  dsm::Semaphore filled(0), emptied(room), putting(1), taking(1);
  const auto self = static_cast<std::uint64_t>(me());
  in_threads(2, [&](int thread) {
    for (std::uint64_t i = 0; i < each; ++i) {
      if (thread == 0) {
        emptied.acquire();
        putting.acquire();
        r.items[r.head++ % room] = mix(self, i) % 1000;
        putting.release();
        filled.release();
      } else {
        filled.acquire();
        taking.acquire();
        r.sum += r.items[r.tail++ % room];
        taking.release();
        emptied.release();
      }
    }
  });
  dsm::barrier();
  std::uint64_t sum = 0;
  for (int n = 0; n < nodes(); ++n)
    for (std::uint64_t i = 0; i < each; ++i) sum += mix(static_cast<unsigned>(n), i) % 1000;
  same(r.sum, sum, "the sum of the items");
  check(filled.try_acquire() == false, "nothing is left in the ring");
}

// Two nodes hand a page to and fro; with one node, two threads.
void ping_pong() {
  constexpr std::size_t words = 300;
  auto table = dsm::allocate<std::uint64_t>(words, dsm::Placement::on(nodes() - 1));
  dsm::Semaphore ping(1), pong(0);
  const auto play = [&](dsm::Semaphore& mine, dsm::Semaphore& other, std::uint64_t first) {
    for (std::uint64_t turn = first; turn < 60; turn += 2) {
      mine.acquire();
      for (std::size_t i = 0; i < words; ++i) {
        if (turn > 0) same_at(table[i], mix(turn - 1, i), "word", i);
        table[i] = mix(turn, i);
      }
      other.release();
    }
  };
  if (nodes() == 1) {
    in_threads(2, [&](int thread) { thread == 0 ? play(ping, pong, 0) : play(pong, ping, 1); });
  } else if (me() < 2) {
    me() == 0 ? play(ping, pong, 0) : play(pong, ping, 1);
  }
  dsm::barrier();
  for (std::size_t i = 0; i < words; ++i) same_at(table[i], mix(59, i), "last word", i);
}

// Under the release policy what was heard is passed on: each node hears of all before it.
void relay() {
  const auto count = static_cast<std::size_t>(nodes()), self = static_cast<std::size_t>(me());
  auto word = dsm::allocate<std::uint64_t>(count, dsm::Placement::cyclic(), dsm::Policy::release);
  for (std::size_t i = 0; i < count; ++i) same_at(word[i], 0u, "fresh word", i);
  dsm::barrier();
  std::vector<dsm::Semaphore> turn;
  for (std::size_t i = 0; i < count; ++i) turn.emplace_back(i == 0 ? 1 : 0, 100 + i);
  for (std::uint64_t round = 1; round <= 40; ++round) {
    turn[self].acquire();
    for (std::size_t i = 0; i < count; ++i)
      same_at(word[i], mix(i < self ? round : round - 1, i) * (i < self || round > 1), "word", i);
    word[self] = mix(round, self);
    turn[(self + 1) % count].release();
  }
}

// A count of three: never more than three in it; and a release of many lets many in.
void room() {
  auto inside = dsm::allocate<int>(2);
  dsm::Semaphore three(3), gate(0);
  dsm::Lock lock;
  in_threads(3, [&](int) {
    for (int i = 0; i < 30; ++i) {
      three.acquire();
      {
        const std::scoped_lock hold(lock);
        inside[1] = std::max(inside[1], ++inside[0]);
      }
      {
        const std::scoped_lock hold(lock);
        --inside[0];
      }
      three.release();
    }
  });
  dsm::barrier();
  same(inside[0], 0, "who is left inside");
  check(inside[1] >= 1 && inside[1] <= 3, "three at most are in it");
  if (me() == 0) gate.release(2 * nodes());
  gate.acquire();
  gate.acquire();
  dsm::barrier();
  check(!gate.try_acquire(), "as many came in as were let in");
}

void timed() {
  dsm::Semaphore none(0, 3), some(0, 4);
  for (const auto time : {-5ms, 0ms, 1ms, 20ms}) {
    const auto begun = std::chrono::steady_clock::now();
    check(!none.try_acquire_for(time), "there is none");
    check(std::chrono::steady_clock::now() - begun >= time, "it waits as long as it is told");
    check(!none.try_acquire_until(std::chrono::system_clock::now() + time), "nor until then");
  }
  dsm::barrier();
  // What timed out has left nothing behind.
  if (me() == 0) none.release();
  dsm::barrier();
  if (me() == nodes() - 1) check(none.try_acquire(), "the only one is free");
  dsm::barrier();
  // Time-outs and grants at once: nothing is lost or given twice.
  int got = 0;
  std::atomic<bool> done{false};
  in_threads(2, [&](int thread) {
    if (thread == 0) {
      for (int i = 0; i < 100; ++i) some.release();
      done = true;
    } else {
      for (int i = 0; i < 200; ++i) {
        const auto time = std::chrono::microseconds(
            mix(static_cast<unsigned>(i), static_cast<unsigned>(me())) % 400);
        got += some.try_acquire_for(time) ? 1 : 0;
      }
    }
  });
  dsm::barrier();
  int left = 0;
  if (me() == 0)
    while (some.try_acquire()) ++left;
  same(dsm::all_reduce(got + left), 100 * nodes(), "what was released");
  if (me() == 0) some.release();
  if (me() == nodes() - 1) check(some.try_acquire_for(1h), "it comes");
}

void misuse() {
  refused([] { dsm::Semaphore wrong(-1); }, {"from 0 to 2147483647", "not -1"});
  refused([] { dsm::Semaphore wrong(dsm::Semaphore::max() + 1); }, {"not 2147483648"});
  refused([] { dsm::Semaphore wrong(1, std::uint64_t{1} << 63); }, {"2^63"});
  dsm::Semaphore full(dsm::Semaphore::max(), 9);
  refused([&] { full.release(0); }, {"Semaphore::release()", "at least one", "not 0"});
  refused([&] { full.release(-3); }, {"Semaphore::release()", "not -3"});
  refused([&] { full.release(); }, {"release() of 1", "semaphore 9", "more than 2147483647"});
  refused([&] { full.release(dsm::Semaphore::max()); }, {"semaphore 9", "more than"});
  dsm::barrier();
  if (me() == 0) full.acquire();
  dsm::barrier();
  if (me() == nodes() - 1) full.release();
  // Made with another count elsewhere, or here.
  dsm::Semaphore first(2, 11), other(3, 11);
  if (me() == 0) check(first.try_acquire(), "the first to come decides");
  dsm::barrier();
  refused([&] { other.acquire(); }, {"acquire()", "semaphore 11", "count of 3", "with 2"});
  refused([&] { (void)other.try_acquire(); }, {"try_acquire()", "count of 3"});
  refused([&] { (void)other.try_acquire_for(1s); }, {"try_acquire()", "count of 3"});
  refused([&] { other.release(); }, {"release()", "count of 3", "with 2"});
  dsm::barrier();
  if (me() == nodes() - 1) check(first.try_acquire() && !first.try_acquire(), "one was left");
  // A Lock of the same number is another thing.
  dsm::Lock lock(11);
  const std::scoped_lock hold(lock);
}

}  // namespace

int main(int argc, char** argv) {
  return run(argc, argv,
             {{"ring", ring},
              {"ping_pong", ping_pong},
              {"relay", relay},
              {"room", room},
              {"timed", timed},
              {"misuse", misuse}});
}
