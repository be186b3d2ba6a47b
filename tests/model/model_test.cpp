// All interleavings of small programs.
#include <gtest/gtest.h>

#include <cstdio>
#include <string>

#include "model/explorer.hpp"

namespace dsm::sim {
namespace {

using core::Bug;

constexpr std::uint64_t states_max = 400'000;

std::string lines(const std::vector<std::string>& path) {
  std::string text;
  for (const std::string& line : path) text += "  " + line + "\n";
  return text;
}

void expect_right(const char* name, const Script& script) {
  const Program program = script.finish();
  const Exploration e = explore(program, states_max);
  std::printf("%-40s %8llu states %8llu transitions %5llu ends\n", name,
              static_cast<unsigned long long>(e.states),
              static_cast<unsigned long long>(e.transitions),
              static_cast<unsigned long long>(e.ends));
  EXPECT_EQ(e.failure, "") << lines(e.path);
  EXPECT_TRUE(e.complete) << "more than " << states_max << " states";
  EXPECT_GT(e.ends, 0u);
}

void expect_found(const Script& script, Bug bug) {
  const Program program = script.finish();
  const Exploration e = explore(program, states_max, bug);
  EXPECT_NE(e.failure, "") << name_of(bug) << " was planted and no interleaving shows it";
}

// A word goes from its home to a reader that had the page before.
Script home_to_reader() {
  Script s(2, {0}, 1);
  s.node(0).acquire(0).write(0, 0).release(0);
  s.node(1).read(0, 8).acquire(0).read(0, 0).release(0);
  return s;
}

// ... and from a writer to the home.
Script writer_to_home() {
  Script s(2, {0}, 1);
  s.node(1).acquire(0).write(0, 0).release(0);
  s.node(0).acquire(0).read(0, 0).release(0);
  return s;
}

// Two nodes write neighbouring bytes of one page between two barriers, and read each other's.
Script two_writers_and_a_barrier() {
  Script s(2, {0}, 1);
  s.node(0).write(0, 0);
  s.node(1).write(0, 1);
  s.join_all();
  s.node(0).read(0, 1);
  s.node(1).read(0, 0);
  return s;
}

// Two threads of a node and two locks share a page that another node is home to.
Script two_threads_and_two_locks() {
  Script s(2, {0}, 2);
  s.node(1, 0);
  s.node(1, 1);
  s.node(1, 0).acquire(0).write(0, 0).release(0);
  s.node(1, 1).acquire(1).write(0, 8).release(1);
  s.node(0).acquire(1).read(0, 8).release(1);
  return s;
}

// One thread's READ is under way when another's lock says that the page is old.
Script a_notice_meets_a_fetch() {
  Script s(2, {0}, 1);
  s.node(1, 0);
  s.node(1, 1);
  s.node(0).acquire(0).write(0, 0).release(0);
  s.node(1, 0).read(0, 8);
  s.node(1, 1).acquire(0).read(0, 0).release(0);
  return s;
}

// The home of one page reads the other.
Script two_pages_and_two_homes() {
  Script s(2, {0, 1}, 1);
  s.node(0).acquire(0).write(0, 0).read(1, 0).release(0);
  s.node(1).acquire(0).write(1, 0).read(0, 0).release(0);
  return s;
}

// The token goes around three nodes.
Script three_nodes_and_a_lock() {
  Script s(3, {0}, 1);
  s.node(1).acquire(0).write(0, 0).release(0);
  s.node(2).acquire(0).read(0, 0).release(0);
  return s;
}

// A sequential page: each stores a word and looks at the other's, without a lock.
Script two_nodes_race() {
  Script s(2, {0}, 0, core::Policy::sequential);
  s.node(0).write(0, 0).read(0, 8);
  s.node(1).write(0, 8).read(0, 0);
  return s;
}

// ... on two pages, with two homes.
Script two_nodes_race_on_two_pages() {
  Script s(2, {0, 1}, 0, core::Policy::sequential);
  s.node(0).write(0, 0).read(1, 8);
  s.node(1).write(1, 8).read(0, 0);
  return s;
}

// Two nodes that are not its home.
Script three_nodes_race() {
  Script s(3, {0}, 0, core::Policy::sequential);
  s.node(1).write(0, 0);
  s.node(2).read(0, 0);
  return s;
}

// One needs two pages at once.
Script two_nodes_across_a_border() {
  Script s(2, {0, 1}, 0, core::Policy::sequential);
  s.node(0).write(0, 60, 8);
  s.node(1).write(1, 8);
  return s;
}

TEST(Model, HomeToReader) {
  expect_right("home to reader", home_to_reader());
}
TEST(Model, WriterToHome) {
  expect_right("writer to home", writer_to_home());
}
TEST(Model, TwoWritersAndABarrier) {
  expect_right("two writers and a barrier", two_writers_and_a_barrier());
}
TEST(Model, TwoThreadsAndTwoLocks) {
  expect_right("two threads and two locks", two_threads_and_two_locks());
}
TEST(Model, ANoticeMeetsAFetch) {
  expect_right("a notice meets a fetch", a_notice_meets_a_fetch());
}
TEST(Model, TwoPagesAndTwoHomes) {
  expect_right("two pages and two homes", two_pages_and_two_homes());
}
TEST(Model, ThreeNodesAndALock) {
  expect_right("three nodes and a lock", three_nodes_and_a_lock());
}

TEST(Model, TwoNodesRace) {
  expect_right("two nodes race", two_nodes_race());
}
TEST(Model, TwoNodesRaceOnTwoPages) {
  expect_right("two nodes race on two pages", two_nodes_race_on_two_pages());
}
TEST(Model, ThreeNodesRace) {
  expect_right("three nodes race", three_nodes_race());
}
TEST(Model, TwoNodesAcrossABorder) {
  expect_right("two nodes across a border", two_nodes_across_a_border());
}

// The model would notice.
TEST(ModelFinds, AMissingFence) {
  expect_found(home_to_reader(), Bug::missing_fence);
}
TEST(ModelFinds, APageSharedAndNotWritten) {
  expect_found(home_to_reader(), Bug::shared_not_written);
}
TEST(ModelFinds, AMarkLost) {
  expect_found(home_to_reader(), Bug::mark_lost);
}
TEST(ModelFinds, AFetchNotPoisoned) {
  expect_found(a_notice_meets_a_fetch(), Bug::fetch_not_poisoned);
}
TEST(ModelFinds, AReleaseBeforeAcks) {
  expect_found(writer_to_home(), Bug::release_before_acks);
}
TEST(ModelFinds, ALostNotice) {
  expect_found(home_to_reader(), Bug::lost_notice);
}
TEST(ModelFinds, ADiffByBlend) {
  expect_found(two_writers_and_a_barrier(), Bug::diff_by_blend);
}
TEST(ModelFinds, ASequentialReadThatIsOneSided) {
  expect_found(two_nodes_race(), Bug::sequential_read_one_sided);
}
TEST(ModelFinds, AGrantBeforeTheLastReturn) {
  expect_found(two_nodes_race(), Bug::granted_before_last_return);
}
TEST(ModelFinds, AReturnBeforeThePageIsClosed) {
  expect_found(two_nodes_race(), Bug::returned_before_closed);
}
TEST(ModelFinds, AnEarlyRecallDropped) {
  expect_found(three_nodes_race(), Bug::early_recall_dropped);
}

}  // namespace
}  // namespace dsm::sim
