// Locks between threads and nodes: counters, nesting, overlapping, several at once, tries, many,
// and messages passed under one.
#include <mutex>

#include "scenario.hpp"

using namespace scenario;  // NOLINT: a test program

namespace {

void counters() {
  constexpr int threads = 4, locks = 5, turns = 300;
  auto counts = dsm::allocate<std::uint64_t>(locks * 100);
  in_threads(threads, [&](int t) {
    for (int i = 0; i < turns; ++i) {
      const auto which = static_cast<std::uint64_t>((i + t) % locks);
      dsm::Lock lock(which);
      std::scoped_lock hold(lock);
      ++counts[which * 100];
    }
  });
  dsm::barrier();
  for (std::uint64_t l = 0; l < locks; ++l)
    same_at(counts[l * 100], static_cast<std::uint64_t>(nodes() * threads * turns / locks),
            "counter", l);
}

// A transfer under two locks, one inside the other; the sum stays.
void nested() {
  constexpr std::uint64_t accounts = 6;
  auto money = dsm::allocate<std::int64_t>(accounts * 700);
  dsm::Lock outer;
  for (std::uint64_t i = 0; i < 200; ++i) {
    const std::uint64_t from = mix(i, static_cast<unsigned>(me())) % accounts,
                        to = (from + 1 + i % (accounts - 1)) % accounts;
    dsm::Lock lower(std::min(from, to)), higher(std::max(from, to));
    std::unique_lock all(outer, std::defer_lock);
    if (i % 3 == 0) all.lock();
    std::scoped_lock first(lower);
    std::scoped_lock second(higher);
    money[from * 700] -= static_cast<std::int64_t>(i);
    money[to * 700] += static_cast<std::int64_t>(i);
  }
  dsm::barrier();
  std::int64_t sum = 0;
  for (std::uint64_t a = 0; a < accounts; ++a) sum += money[a * 700];
  same(sum, 0, "the sum of all accounts");
}

// Hand over hand along a chain: the scopes overlap, none contains the other.
void overlapping() {
  constexpr std::uint64_t cells = 12;
  auto cell = dsm::allocate<std::uint64_t>(cells * 300, dsm::Placement::cyclic());
  constexpr std::uint64_t walks = 60;
  for (std::uint64_t walk = 0; walk < walks; ++walk) {
    dsm::Lock held(0);
    held.lock();
    for (std::uint64_t c = 0; c < cells; ++c) {
      ++cell[c * 300];
      if (c + 1 == cells) break;
      dsm::Lock next(c + 1);
      next.lock();
      // Walkers cannot overtake one another, so cells ahead never have seen more of them.
      check(cell[(c + 1) * 300] < cell[c * 300], "a cell ahead has been passed by fewer walkers");
      held.unlock();
      held = next;
    }
    held.unlock();
  }
  dsm::barrier();
  for (std::uint64_t c = 0; c < cells; ++c)
    same_at(cell[c * 300], walks * static_cast<unsigned>(nodes()), "cell", c);
}

void scoped() {
  auto pair = dsm::allocate<std::uint64_t>(2000);
  dsm::Lock a, b;
  in_threads(2, [&](int t) {
    for (int i = 0; i < 100; ++i) {
      if ((t + me()) % 2 == 0) {
        std::scoped_lock hold(a, b);
        same(pair[0], pair[1999], "the other end");
        ++pair[0], ++pair[1999];
      } else {
        std::scoped_lock hold(b, a);
        same(pair[0], pair[1999], "the other end");
        ++pair[0], ++pair[1999];
      }
    }
  });
  dsm::barrier();
  same(pair[0], static_cast<std::uint64_t>(nodes() * 2 * 100), "the count");
}

void tries() {
  auto counts = dsm::allocate<std::uint64_t>(2);
  dsm::Lock lock;
  std::uint64_t refusals = 0;
  for (int i = 0; i < 200;) {
    if (!lock.try_lock()) {
      ++refusals;
      std::this_thread::yield();
      continue;
    }
    ++counts[0];
    lock.unlock();
    ++i;
  }
  dsm::barrier();
  same(counts[0], static_cast<std::uint64_t>(nodes() * 200), "the count");
  // While a thread of node 0 holds the lock, nobody gets it.
  if (me() == 0) lock.lock();
  dsm::barrier();
  check(!lock.try_lock(), "a held lock is not had by a try");
  dsm::barrier();
  if (me() == 0) lock.unlock();
  (void)refusals;
}

// Time-outs while a thread of node 0 holds the lock, and grants that come in time.
void timed() {
  using namespace std::chrono;
  auto counts = dsm::allocate<std::uint64_t>(2);
  dsm::Lock lock;
  for (int round = 0; round < 3; ++round) {
    if (me() == 0) lock.lock();
    dsm::barrier();
    in_threads(2, [&](int) {
      const auto start = steady_clock::now();
      check(!lock.try_lock_for(milliseconds(20)), "a held lock is not had in time");
      check(steady_clock::now() - start >= milliseconds(20), "the time was waited for");
      check(!lock.try_lock_for(seconds(0)), "no time is a try");
      check(!lock.try_lock_for(hours(-1)), "a negative time is a try");
      check(!lock.try_lock_for(duration<double, std::milli>(0.5)), "half a millisecond");
      check(!lock.try_lock_until(steady_clock::now() + milliseconds(3)), "a point in time");
      check(!lock.try_lock_until(system_clock::now() + milliseconds(3)), "another clock's");
      check(!lock.try_lock_until(steady_clock::time_point::min()), "a point in the past");
    });
    dsm::barrier();
    if (me() == 0) lock.unlock();
    // Whoever asked in vain brought the token to its node; everyone still gets the lock.
    check(lock.try_lock_for(hours(1)), "a lock that is free soon is had in an hour");
    ++counts[0];
    lock.unlock();
    check(lock.try_lock_for(hours::max()), "... and in a time too long to count");
    ++counts[0];
    lock.unlock();
    dsm::barrier();
  }
  // Time-outs of about the time that a hand-over takes: some come together with the grant.
  std::uint64_t mine = 0;
  for (std::uint64_t i = 0; i < 300; ++i) {
    if (lock.try_lock_for(microseconds(mix(i, static_cast<unsigned>(me())) % 200))) {
      ++counts[1];
      ++mine;
      lock.unlock();
    }
  }
  const std::uint64_t all = dsm::all_reduce(mine);
  same(counts[0], static_cast<std::uint64_t>(nodes() * 6), "the count");
  same(counts[1], all, "the count of those that came in time");
  std::unique_lock hold(lock, milliseconds(10'000));
  check(hold.owns_lock(), "std::unique_lock with a time-out");
}

void many() {
  constexpr std::uint64_t locks = 100000;
  auto counts = dsm::allocate<std::uint32_t>(locks);
  const std::uint64_t n = static_cast<std::uint64_t>(nodes());
  for (std::uint64_t l = static_cast<std::uint64_t>(me()); l < locks; l += n) {
    dsm::Lock lock(l);
    std::scoped_lock hold(lock);
    ++counts[l];
  }
  // Some of them by the next node.
  for (std::uint64_t l = static_cast<std::uint64_t>(me()); l < locks / 25; l += n) {
    dsm::Lock lock(l ^ 1);
    std::scoped_lock hold(lock);
    ++counts[l ^ 1];
  }
  dsm::barrier();
  for (std::uint64_t l = 0; l < locks; ++l)
    same_at(counts[l], l < locks / 25 ? 2u : 1u, "counter", l);
}

// A message goes around the ring of nodes; each adds to it, under one lock that they share.
void ring() {
  struct Message {
    std::uint64_t turn, sum, body[1000];
  };
  Message& message = dsm::allocate<Message>(1)[0];
  dsm::Lock lock;
  const std::uint64_t n = static_cast<std::uint64_t>(nodes()),
                      self = static_cast<std::uint64_t>(me());
  constexpr std::uint64_t laps = 20;
  for (std::uint64_t mine = self; mine < laps * n;) {
    std::scoped_lock hold(lock);
    if (message.turn != mine) continue;
    for (std::uint64_t i = 0; i < 1000; ++i)
      same_at(message.body[i], mine == 0 ? 0 : mix(mine, i), "word of the message", i);
    ++message.turn;
    message.sum += mine;
    for (std::uint64_t i = 0; i < 1000; ++i) message.body[i] = mix(message.turn, i);
    mine += n;
  }
  dsm::barrier();
  same(message.sum, laps * n * (laps * n - 1) / 2, "the sum");
}

}  // namespace

int main(int argc, char** argv) {
  return run(argc, argv,
             {{"counters", counters},
              {"nested", nested},
              {"overlapping", overlapping},
              {"scoped", scoped},
              {"tries", tries},
              {"timed", timed},
              {"many", many},
              {"ring", ring}});
}
