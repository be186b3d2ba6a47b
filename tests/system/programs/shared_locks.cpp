// Locks for readers and writers, between threads and nodes.
#include <chrono>
#include <mutex>
#include <shared_mutex>

#include "scenario.hpp"

using namespace scenario;              // NOLINT: a test program
using namespace std::chrono_literals;  // NOLINT

namespace {

// Readers of all nodes are in it at the same time: each waits, holding it, until all have come.
void together() {
  dsm::SharedLock lock;
  for (int round = 0; round < 5; ++round) {
    const std::shared_lock hold(lock);
    dsm::barrier();
    check(lock.try_lock_shared(), "a reader lets another in");
    lock.unlock_shared();
    dsm::barrier();
  }
  dsm::barrier();
  std::unique_lock alone(lock);
}

// Writers keep two ends of an array equal; readers never see them differ.
void alone() {
  auto ends = dsm::allocate<std::uint64_t>(2000, dsm::Placement::cyclic());
  dsm::SharedLock lock;
  constexpr int threads = 3, turns = 60;
  in_threads(threads, [&](int t) {
    for (int i = 0; i < turns; ++i) {
      if ((i + t + me()) % 3 == 0) {
        const std::unique_lock hold(lock);
        same(ends[0], ends[1999], "the other end, to a writer");
        ++ends[0], ++ends[1999];
      } else {
        const std::shared_lock hold(lock);
        same(ends[0], ends[1999], "the other end, to a reader");
      }
    }
  });
  dsm::barrier();
  same(ends[0], static_cast<std::uint64_t>(nodes() * threads * turns / 3), "the count");
}

// A reader may write what is its own; the next writer sees it.
void slots() {
  const auto n = static_cast<std::size_t>(nodes()), self = static_cast<std::size_t>(me());
  auto slot = dsm::allocate<std::uint64_t>(n, dsm::Placement::on(0));
  auto seen = dsm::allocate<std::uint64_t>(n, dsm::Placement::on(nodes() - 1));
  dsm::SharedLock lock;
  for (int i = 0; i < 50; ++i) {
    {
      const std::shared_lock hold(lock);
      ++slot[self];
    }
    const std::unique_lock hold(lock);
    for (std::size_t k = 0; k < n; ++k) {
      check(slot[k] >= seen[k], "nothing that a reader wrote is lost again");
      seen[k] = slot[k];
    }
    same(seen[self], static_cast<std::uint64_t>(i + 1), "what this node wrote as a reader");
  }
  dsm::barrier();
  for (std::size_t k = 0; k < n; ++k) same_at(slot[k], 50u, "slot", k);
}

void timed() {
  auto count = dsm::allocate<std::uint64_t>(1);
  dsm::SharedLock lock;
  // To read while a thread of node 0 writes, to write while one reads: in vain, in time.
  for (const bool writes : {true, false}) {
    if (me() == 0) writes ? lock.lock() : lock.lock_shared();
    dsm::barrier();
    in_threads(2, [&](int) {
      check(!lock.try_lock(), "not to write");
      check(!lock.try_lock_for(5ms), "not to write in 5 ms");
      check(!lock.try_lock_for(-1h), "nor in less than no time");
      check(!lock.try_lock_until(std::chrono::system_clock::now() + 2ms), "nor until then");
      if (!writes) return;
      check(!lock.try_lock_shared(), "not to read");
      check(!lock.try_lock_shared_for(5ms), "not to read in 5 ms");
      check(!lock.try_lock_shared_for(0s), "nor in no time");
      check(!lock.try_lock_shared_until(std::chrono::steady_clock::now() + 2ms), "nor until then");
    });
    dsm::barrier();
    if (me() == 0) writes ? lock.unlock() : lock.unlock_shared();
    check(lock.try_lock_for(1h), "free soon");
    ++count[0];
    lock.unlock();
    dsm::barrier();
  }
  std::uint64_t mine = 0;
  for (std::uint64_t i = 0; i < 200; ++i) {
    const auto time = std::chrono::microseconds(mix(i, static_cast<unsigned>(me())) % 300);
    if (i % 2 == 0) {
      if (!lock.try_lock_for(time)) continue;
      ++count[0];
      ++mine;
      lock.unlock();
    } else if (lock.try_lock_shared_for(time)) {
      check(count[0] >= mine, "a reader sees this node's own writes");
      lock.unlock_shared();
    }
  }
  same(dsm::all_reduce(mine) + 2 * static_cast<std::uint64_t>(nodes()), count[0], "the count");
}

// While node 0 reads, a writer waits and gives up; readers that come then need not wait for node 0.
void gives_up() {
  for (std::uint64_t round = 0; round < 10; ++round) {
    dsm::SharedLock lock(50 + round);
    if (me() == 0) lock.lock_shared();
    dsm::barrier();
    if (me() != 0) check(!lock.try_lock_for(2ms), "node 0 reads");
    if (me() == nodes() - 1) {
      check(lock.try_lock_shared_for(1h), "the writers have gone");
      lock.unlock_shared();
    }
    dsm::barrier();
    if (me() == 0) lock.unlock_shared();
    const std::unique_lock hold(lock);
  }
}

void misuse() {
  dsm::SharedLock lock(3);
  refused([&] { lock.unlock(); }, {"SharedLock::unlock()", "holds shared lock 3 to write"});
  refused([&] { lock.unlock_shared(); },
          {"SharedLock::unlock_shared()", "holds shared lock 3 to read"});
  lock.lock_shared();
  refused([&] { lock.unlock(); }, {"shared lock 3 to write"});
  lock.unlock_shared();
  dsm::barrier();
  if (me() == 0) lock.lock();
  dsm::barrier();
  if (me() == 1) refused([&] { lock.unlock(); }, {"node 1", "shared lock 3"});
  if (me() == 0) refused([&] { lock.unlock_shared(); }, {"node 0", "shared lock 3 to read"});
  dsm::barrier();
  if (me() == 0) lock.unlock();
  refused([] { dsm::SharedLock wrong(std::uint64_t{1} << 63); }, {"2^63"});
  // A Lock of the same number is another one.
  dsm::Lock other(3);
  const std::scoped_lock both(lock, other);
}

void many() {
  constexpr std::uint64_t locks = 2000;
  auto counts = dsm::allocate<std::uint32_t>(locks);
  for (std::uint64_t i = 0; i < locks; ++i) {
    dsm::SharedLock lock((i * 7 + static_cast<unsigned>(me()) * 31) % locks);
    const std::unique_lock hold(lock);
    ++counts[lock.number()];
  }
  dsm::barrier();
  for (std::uint64_t i = 0; i < locks; ++i)
    same_at(counts[i], static_cast<std::uint32_t>(nodes()), "counter", i);
}

}  // namespace

int main(int argc, char** argv) {
  return run(argc, argv,
             {{"together", together},
              {"alone", alone},
              {"slots", slots},
              {"timed", timed},
              {"gives_up", gives_up},
              {"misuse", misuse},
              {"many", many}});
}
