// How many one-way trips stand on the critical path (PROTOCOL.md F), for what exists: in simulated
// time where a trip takes 1,000 ticks and everything else none, the time is the count.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

#include "support/simulator.hpp"

namespace dsm::sim {
namespace {

class Film {
 public:
  explicit Film(const Script& script)
      : program_(script.finish()), simulator_(program_, Physics::exact(), 1) {
    simulator_.record_spans();
    simulator_.run();
    EXPECT_EQ(simulator_.failure(), "");
  }
  // Trips from the start to the end of the first thread's operation number `op` (0 and 1 add the
  // region).
  double of(std::uint32_t node, std::uint32_t op) const {
    const auto span = simulator_.span(node, 0, op);
    return trips(span.begun, span.ended);
  }
  // From the last node's arrival to the last node's exit; `op` is node 0's, `others` everyone
  // else's.
  double barrier(std::uint32_t op, std::uint32_t others) const {
    return barrier(op, others, 0, program_.node_count() - 1);
  }
  // The same of nodes first to last.
  double barrier(std::uint32_t op, std::uint32_t others, std::uint32_t first,
                 std::uint32_t last) const {
    std::uint64_t begun = 0, ended = 0;
    for (std::uint32_t node = first; node <= last; ++node) {
      const auto span = simulator_.span(node, 0, node == 0 ? op : others);
      begun = std::max(begun, span.begun);
      ended = std::max(ended, span.ended);
    }
    return trips(begun, ended);
  }
  std::uint64_t faults() const { return simulator_.statistics().faults; }
  double from_start_to_end(std::uint32_t node, std::uint32_t op, std::uint32_t other,
                           std::uint32_t other_op) const {
    return trips(simulator_.span(node, 0, op).begun, simulator_.span(other, 0, other_op).ended);
  }

 private:
  static double trips(std::uint64_t from, std::uint64_t to) {
    return static_cast<double>(to - from) / static_cast<double>(exact_trip);
  }
  Program program_;
  Simulator simulator_;
};

TEST(Trips, ReadMiss) {
  Script s(2, {0});
  s.node(1).read(0, 0);
  EXPECT_EQ(Film(s).of(1, 2), 2);
}

TEST(Trips, ReadMissOfADistantMiddleIsTheSame) {
  Script s(3, {0, 0, 2});
  s.node(1).read(1, 5).read(2, 5);
  const Film film(s);
  EXPECT_EQ(film.of(1, 2), 2);
  EXPECT_EQ(film.of(1, 3), 2);
}

TEST(Trips, FirstWriteOfAnAbsentPage) {
  Script s(2, {0});
  s.node(1).write(0, 0).write(0, 1);
  const Film film(s);
  EXPECT_EQ(film.of(1, 2), 2);
  EXPECT_EQ(film.of(1, 3), 0);
}

TEST(Trips, OwnPages) {
  Script s(2, {0});
  s.node(0).write(0, 0).read(0, 0);
  const Film film(s);
  EXPECT_EQ(film.of(0, 2), 0);
  EXPECT_EQ(film.of(0, 3), 0);
}

// The home's answer to the mark comes first where the wire cannot order them.
TEST(Trips, ReadMissWhereTheMarkIsAMessage) {
  Script s(2, {0});
  s.config().marks_by_message = true;
  s.node(1).read(0, 0);
  EXPECT_EQ(Film(s).of(1, 2), 4);
}

TEST(Trips, LockLastHeldHere) {
  Script s(2, {0});
  s.node(1).acquire(0).release(0).acquire(0).release(0);
  EXPECT_EQ(Film(s).of(1, 4), 0);
}

TEST(Trips, FreeLockAtItsManager) {
  Script s(2, {0});
  s.node(1).acquire(0).release(0);
  EXPECT_EQ(Film(s).of(1, 2), 2);
}

TEST(Trips, FreeLockAtItsManagerWhoseOwnPagesAreWritten) {
  Script s(3, {0});
  s.node(0).acquire(0).write(0, 0).release(0);
  s.join_all();
  s.node(1).read(0, 0).acquire(0).release(0);
  EXPECT_EQ(Film(s).of(1, 4), 2);
}

TEST(Trips, FreeLockCachedElsewhere) {
  Script s(3, {0});
  s.node(1).acquire(0).release(0);
  s.join_all();
  s.node(2).acquire(0).release(0);
  EXPECT_EQ(Film(s).of(2, 3), 3);
}

TEST(Trips, SharedLockThatThisNodeMayTake) {
  Script s(3, {0});
  s.node(1).lock_exclusive(0).unlock_exclusive(0).lock_shared(0).unlock_shared(0).lock_exclusive(0);
  s.unlock_exclusive(0);
  const Film film(s);
  EXPECT_EQ(film.of(1, 2), 2) << "the first time, from its manager";
  EXPECT_EQ(film.of(1, 4), 0);
  EXPECT_EQ(film.of(1, 6), 0);
}

TEST(Trips, SharedLockThatOthersReadToo) {
  Script s(3, {0});
  s.node(1).lock_shared(0).unlock_shared(0);
  s.join_all();
  s.node(2).lock_shared(0).unlock_shared(0);
  EXPECT_EQ(Film(s).of(2, 3), 2);
}

// The sole reader becomes the writer in as many as anybody gets a free lock; others' permissions
// are fetched back first, all at once.
TEST(Trips, SharedLockFromReadingToWriting) {
  Script alone(3, {0});
  alone.node(1).lock_shared(0).unlock_shared(0).lock_exclusive(0).unlock_exclusive(0);
  EXPECT_EQ(Film(alone).of(1, 4), 2);
  Script s(4, {0});
  for (std::uint32_t node = 1; node < 4; ++node) s.node(node).lock_shared(0).unlock_shared(0);
  s.join_all();
  s.node(1).lock_exclusive(0).unlock_exclusive(0);
  EXPECT_EQ(Film(s).of(1, 5), 4);
}

// Node 1 reads for twenty trips; node 2 would write, and gives up after five at most; node 3, which
// comes in between, need not wait for node 1.
TEST(Trips, AWriterThatGaveUpHoldsNobodyUp) {
  Script s(4, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
  s.config().chunk_pages = 1;
  s.node(1).lock_shared(0);
  for (std::uint32_t page = 0; page < 10; ++page) s.read(page, 0);
  s.unlock_shared(0);
  s.node(2).read(0, 0).timed_exclusive(0, 1).unlock_exclusive(0);
  s.node(3).read(0, 0).read(1, 0).lock_shared(0).unlock_shared(0);
  const Film film(s);
  EXPECT_GT(film.from_start_to_end(1, 2, 1, 12), 20);
  EXPECT_LT(film.from_start_to_end(1, 2, 3, 4), 2 + 5 + 4);
}

// A release waits for the manager's word, and whoever it lets in does not wait for that.
TEST(Trips, Semaphores) {
  Script s(3, {0});
  const std::uint32_t semaphore = s.semaphore(0, 1);
  s.node(1).acquire_semaphore(semaphore).release_semaphore(semaphore);
  s.write(0, 8).release_semaphore(semaphore);
  const Film film(s);
  EXPECT_EQ(film.of(1, 2), 2) << "a free count";
  EXPECT_EQ(film.of(1, 3), 2);
  EXPECT_EQ(film.of(1, 5), 2 + 2) << "its diffs first";
  Script waiting(3, {0});
  const std::uint32_t other = waiting.semaphore(0, 0);
  waiting.node(2).acquire_semaphore(other);
  waiting.node(1).read(0, 0).read(0, 0).release_semaphore(other);
  EXPECT_EQ(Film(waiting).from_start_to_end(1, 4, 2, 2), 2);
}

// The holder spends six trips with the lock, so that the other node is in the queue when it
// releases.
Script held_and_wanted(bool writes) {
  Script s(3, {0, 0, 0, 0});
  s.config().chunk_pages = 1;
  s.node(1).acquire(0).read(0, 0).read(1, 0).read(2, 0);
  if (writes) s.write(2, 8);
  s.release(0);
  s.node(2).acquire(0).release(0);
  return s;
}

TEST(Trips, HandOverWithNothingUnsent) {
  EXPECT_EQ(Film(held_and_wanted(false)).from_start_to_end(1, 6, 2, 2), 1);
}

TEST(Trips, HandOverWithDiffsUnsent) {
  EXPECT_EQ(Film(held_and_wanted(true)).from_start_to_end(1, 7, 2, 2), 1 + 2);
}

TEST(Trips, HandOverByTheHomeItselfSendsNoDiff) {
  Script s(3, {1, 0, 0, 0});
  s.config().chunk_pages = 1;
  s.node(1).acquire(0).read(1, 0).read(2, 0).read(3, 0).write(0, 8).release(0);
  s.node(2).read(0, 0).acquire(0).read(0, 8).release(0);
  EXPECT_EQ(Film(s).from_start_to_end(1, 7, 2, 3), 1);
}

std::uint32_t ceil_log2(std::uint32_t n) {
  return static_cast<std::uint32_t>(std::bit_width(n - 1));
}

class BarrierTrips : public testing::TestWithParam<std::uint32_t> {};

TEST_P(BarrierTrips, WithNothingUnsent) {
  const std::uint32_t n = GetParam();
  Script s(n, {0});
  s.join_all();
  EXPECT_EQ(Film(s).barrier(2, 2), ceil_log2(n));
}

TEST_P(BarrierTrips, WithDiffsUnsent) {
  const std::uint32_t n = GetParam();
  Script s(n, {0});
  for (std::uint32_t node = 1; node < n; ++node) s.node(node).write(0, node);
  s.join_all();
  EXPECT_EQ(Film(s).barrier(2, 3), ceil_log2(n) + 2);
}

// Among many by a tree and back.
TEST(Trips, BarrierOfMoreThanMeetByDissemination) {
  for (const std::uint32_t n : {sync::dissemination_nodes_max + 1, 64u}) {
    Script s(n, {0});
    s.join_all();
    const double trips = Film(s).barrier(2, 2);
    EXPECT_LE(trips, 2 * ceil_log2(n)) << n << " nodes";
    EXPECT_GT(trips, ceil_log2(n)) << n << " nodes";
  }
}

// A barrier that invalidates the copies of n - 1 readers takes no trip more.
TEST_P(BarrierTrips, WithEveryReaderInvalidated) {
  const std::uint32_t n = GetParam();
  Script s(n, {0});
  for (std::uint32_t node = 1; node < n; ++node) s.node(node).read(0, 0);
  s.join_all();
  s.node(0).write(0, 0);
  s.join_all();
  for (std::uint32_t node = 1; node < n; ++node) s.node(node).read(0, 0);
  const Film film(s);
  EXPECT_EQ(film.barrier(4, 4), ceil_log2(n));
  for (std::uint32_t node = 1; node < n; ++node) EXPECT_EQ(film.of(node, 5), 2) << "node " << node;
}

// What a barrier brings to n - 1 readers takes no trip more; and behind a few of them nobody traps,
// as many more as there may be.
TEST_P(BarrierTrips, WithPushes) {
  const std::uint32_t n = GetParam();
  const auto film = [n](std::uint32_t barriers) {
    Script s(n, {0});
    s.config().push_after = 1;
    for (std::uint32_t i = 0; i < barriers; ++i) {
      s.node(0).write(0, 0, 8).arrive();
      for (std::uint32_t node = 1; node < n; ++node) s.node(node).read(0, 32, 1).arrive();
    }
    return s;
  };
  const Film eight(film(8)), sixteen(film(16));
  const std::uint32_t last = 2 + 2 * 7 + 1;
  EXPECT_EQ(eight.barrier(last, last), ceil_log2(n));
  EXPECT_EQ(sixteen.faults(), eight.faults());
}

// A page that both write costs the way home of the one that is not its home, as ever, and no trap.
TEST(Trips, BarrierOfTwoWhoShareAPage) {
  const auto film = [](std::uint32_t barriers) {
    Script s(2, {0});
    s.config().push_after = 1;
    for (std::uint32_t i = 0; i < barriers; ++i) {
      s.node(0).write(0, 0, 8).arrive();
      s.node(1).write(0, 8, 8).arrive();
    }
    return s;
  };
  const Film eight(film(8)), sixteen(film(16));
  const std::uint32_t last = 2 + 2 * 7 + 1;
  EXPECT_LE(eight.barrier(last, last), 1 + 2) << "less, where the home is the last to arrive";
  EXPECT_EQ(sixteen.faults(), eight.faults());
}

// The manager's answer before the lock goes; and, when nobody notifies, another for the time-out.
TEST(Trips, WaitThatTimesOut) {
  Script s(2, {0});
  s.node(1).acquire(1).wait(1, 1).release(1);
  EXPECT_NEAR(Film(s).of(1, 3), 2 + 2, 0.01);
}

// With what is bound aboard; a hand-over sends nothing home.
TEST(Trips, BoundDataComesWithTheLock) {
  Script from_manager(3, {1}, 1, core::Policy::bound);
  from_manager.bind(0, 0, 8, 24);
  from_manager.node(0).acquire(0).write(0, 8, 8).release(0);
  from_manager.join_all();
  from_manager.node(1).acquire(0).read(0, 8, 8).release(0);
  const Film first(from_manager);
  EXPECT_EQ(first.of(1, 3), 2);
  EXPECT_EQ(first.of(1, 4), 0);
  Script from_elsewhere(3, {2}, 1, core::Policy::bound);
  from_elsewhere.bind(0, 0, 8, 24);
  from_elsewhere.node(1).acquire(0).write(0, 8, 8).release(0);
  from_elsewhere.join_all();
  from_elsewhere.node(2).acquire(0).read(0, 8, 8).release(0);
  const Film second(from_elsewhere);
  EXPECT_EQ(second.of(2, 3), 3);
  EXPECT_EQ(second.of(2, 4), 0);
}

// Who does not have the page fetches it before it can put the data in.
TEST(Trips, BoundDataOfAnAbsentPage) {
  Script s(2, {0}, 1, core::Policy::bound);
  s.bind(0, 0, 8, 24);
  s.node(1).acquire(0).read(0, 8, 8).release(0);
  const Film film(s);
  EXPECT_EQ(film.of(1, 2), 2 + 2);
  EXPECT_EQ(film.of(1, 3), 0);
}

// Pulled: the grant, and a READ; where the page is absent its fetch goes beside it.
TEST(Trips, BoundDataIsRead) {
  for (const bool has_page : {true, false}) {
    Script s(2, {0}, 1, core::Policy::bound);
    s.bind(0, 0, 8, 24, core::Refresh::pull);
    if (has_page) s.node(1).write(0, 0, 8);
    s.node(1).acquire(0).read(0, 8, 8).release(0);
    const Film film(s);
    const std::uint32_t op = has_page ? 3 : 2;
    EXPECT_EQ(film.of(1, op), 2 + 2);
    EXPECT_EQ(film.of(1, op + 1), 0);
  }
}

// The barrier of a team of so many, among more nodes, costs what one of a job of that size does.
TEST_P(BarrierTrips, OfATeam) {
  const std::uint32_t size = GetParam();
  std::vector<std::uint32_t> members;
  for (std::uint32_t n = 1; n <= size; ++n) members.push_back(n);
  for (const bool unsent : {false, true}) {
    Script s(size + 2, {0});
    const std::uint32_t team = s.team(members);
    for (const std::uint32_t node : members) {
      s.node(node);
      if (unsent) s.write(0, node);
      s.team_arrive(team);
    }
    const std::uint32_t op = unsent ? 3 : 2;
    EXPECT_EQ(Film(s).barrier(op, op, 1, size), ceil_log2(size) + (unsent ? 2 : 0));
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, BarrierTrips, testing::Values(2u, 3u, 4u, 5u, 8u, 16u));

TEST(Trips, SequentialMisses) {
  Script s(4, {0}, 1, core::Policy::sequential);
  s.node(1).write(0, 0);
  s.join_all();
  s.node(2).read(0, 0);
  s.join_all();
  s.node(3).read(0, 0);
  s.join_all();
  s.node(1).write(0, 0);
  const Film film(s);
  EXPECT_EQ(film.of(1, 2), 2) << "the home alone has it";
  EXPECT_EQ(film.of(2, 3), 4) << "another node writes it";
  EXPECT_EQ(film.of(3, 4), 2) << "others read it, too";
  EXPECT_EQ(film.of(1, 6), 4) << "any number of readers give it back at once";
}

}  // namespace
}  // namespace dsm::sim
