// Litmus tests of sequential regions: what no run may show between nodes, and what runs do show.
// Each under many physics; operations 0 and 1 of each node's first thread add the region.
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "support/simulator.hpp"

namespace dsm::sim {
namespace {

constexpr std::uint64_t physics_many = 400;

struct Load {
  std::uint32_t node = 0, op = 0, thread = 0;
};

// Which of the loads found a store (1) and which the zero of the beginning (0), as text, over many
// runs. Each word is stored once.
std::set<std::string> outcomes(const Script& script, const std::vector<Load>& loads) {
  const Program program = script.finish();
  std::set<std::string> all;
  for (std::uint64_t seed = 1; seed <= physics_many; ++seed) {
    Simulator simulator(program, Physics::by_seed(seed), seed);
    simulator.record_spans();
    simulator.run();
    EXPECT_EQ(simulator.failure(), "") << "physics " << seed;
    std::string outcome;
    for (const Load& l : loads) outcome += simulator.found(l.node, l.thread, l.op) != 0 ? '1' : '0';
    all.insert(outcome);
  }
  return all;
}

Script pages(std::uint32_t nodes, const std::vector<std::uint32_t>& homes) {
  return Script(nodes, homes, 0, core::Policy::sequential);
}

// Each stores its own word and then looks at the other's: at least one sees the other.
TEST(Litmus, StoreBuffering) {
  for (const std::uint32_t y : {0u, 1u}) {  // the second word's page: on one page, and on two
    Script s = pages(2, {0, 1});
    s.node(0).read(y, 8).write(0, 0).read(y, 8);
    s.node(1).read(0, 0).write(y, 8).read(0, 0);
    const auto seen = outcomes(s, {{0, 4}, {1, 4}});
    EXPECT_FALSE(seen.contains("00"));
    EXPECT_TRUE(seen.contains("01") || seen.contains("10"));
    EXPECT_GT(seen.size(), 1u) << "the nodes do not race";
  }
}

// Threads of one node keep what their processor does: a store may wait in its buffer while the next
// load is made.
TEST(Litmus, StoreBufferingWithinANode) {
  Script s = pages(2, {0, 0});
  s.node(0, 0);
  s.node(0, 1);
  s.node(0, 0).write(0, 0).read(1, 0);
  s.node(0, 1).write(1, 0).read(0, 0);
  EXPECT_TRUE(outcomes(s, {{0, 3, 0}, {0, 2, 1}}).contains("00"));
}

// Data, then a flag: who sees the flag sees the data. No lock.
TEST(Litmus, MessagePassing) {
  Script s = pages(3, {0, 1});
  s.node(0).write(0, 0).write(1, 0);
  s.node(2).read(0, 8).read(1, 0).read(0, 0);
  const auto seen = outcomes(s, {{2, 3}, {2, 4}});
  EXPECT_FALSE(seen.contains("10"));
  EXPECT_TRUE(seen.contains("11") && seen.contains("00"));
}

// A third node hears of the data by the second's flag.
TEST(Litmus, MessagePassingThroughAnother) {
  Script s = pages(3, {0, 1, 2});
  s.node(0).write(0, 0);
  s.node(1).read(0, 0).write(1, 0);
  s.node(2).read(0, 8).read(1, 0).read(0, 0);
  const auto seen = outcomes(s, {{1, 2}, {2, 3}, {2, 4}});
  EXPECT_FALSE(seen.contains("110"));
  EXPECT_TRUE(seen.contains("111"));
}

// Two readers do not see two independent stores in different orders.
TEST(Litmus, IndependentReadsOfIndependentWrites) {
  Script s = pages(4, {0, 1});
  s.node(0).write(0, 0);
  s.node(1).write(1, 0);
  s.node(2).read(1, 8).read(0, 0).read(1, 0);
  s.node(3).read(0, 8).read(1, 0).read(0, 0);
  const auto seen = outcomes(s, {{2, 3}, {2, 4}, {3, 3}, {3, 4}});
  EXPECT_FALSE(seen.contains("1010"));
  EXPECT_GT(seen.size(), 3u) << "the nodes do not race";
}

// Who looks twice does not see a word go back.
TEST(Litmus, Coherence) {
  Script s = pages(3, {0});
  s.node(1).write(0, 0);
  s.node(2).read(0, 0).read(0, 0).read(0, 0);
  const auto seen = outcomes(s, {{2, 2}, {2, 3}, {2, 4}});
  for (const char* back : {"100", "101", "110", "010"}) EXPECT_FALSE(seen.contains(back)) << back;
  EXPECT_TRUE(seen.contains("111") && seen.contains("000"));
}

}  // namespace
}  // namespace dsm::sim
