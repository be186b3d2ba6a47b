// sync::Barrier: any number of nodes, any order of messages, barrier after barrier.
#include <gtest/gtest.h>

#include <bit>
#include <random>
#include <vector>

#include "sync/barrier.hpp"

namespace dsm::sync {
namespace {

Bytes token(std::uint32_t rank, std::uint32_t barrier) {
  Bytes bytes;
  Writer(bytes).put(rank * 1000 + barrier);
  return bytes;
}

// Any number of nodes, several barriers, messages in any order: everyone learns every contribution
// once and by rank. `per_barrier`: messages that took.
void learn_everything(std::uint32_t n, std::uint32_t disseminate, std::uint64_t& per_barrier) {
  constexpr std::uint32_t barriers = 4;
  std::mt19937 random(n);
  std::vector<Barrier> nodes;
  for (std::uint32_t i = 0; i < n; ++i) nodes.emplace_back(NodeId(i), n, disseminate);
  struct OnWire {
    NodeId from;
    BarrierMessage message;
  };
  std::vector<OnWire> wire;
  std::vector<std::uint32_t> left(n);
  const auto post = [&](std::uint32_t from, std::vector<BarrierMessage>& messages) {
    for (BarrierMessage& m : messages) wire.push_back({NodeId(from), std::move(m)});
  };
  std::uint64_t sent = 0;
  for (std::uint32_t done = 0; done < n * barriers;) {
    std::vector<BarrierMessage> out;
    if (!wire.empty() && random() % 2 == 0) {
      std::swap(wire[random() % wire.size()], wire.back());
      OnWire w = std::move(wire.back());
      wire.pop_back();
      ++sent;
      const std::uint32_t to = w.message.to.value;
      ASSERT_TRUE(nodes[to].receive(w.from, w.message.epoch, w.message.round,
                                    std::move(w.message.known), out));
      post(to, out);
    } else {
      const std::uint32_t i = static_cast<std::uint32_t>(random()) % n;
      if (nodes[i].complete()) {
        const std::vector<Bytes> all = nodes[i].leave();
        ASSERT_EQ(all.size(), n);
        for (std::uint32_t rank = 0; rank < n; ++rank) ASSERT_EQ(all[rank], token(rank, left[i]));
        ++left[i];
        ++done;
        ASSERT_EQ(nodes[i].epoch(), Epoch(left[i]));
      } else if (!nodes[i].arrived() && left[i] < barriers) {
        for (std::uint32_t other = 0; other < n; ++other) ASSERT_GE(left[other] + 1, left[i]);
        nodes[i].arrive(token(i, left[i]), out);
        post(i, out);
      }
    }
  }
  EXPECT_TRUE(wire.empty());
  per_barrier = sent / barriers;
}

class BarrierTest : public testing::TestWithParam<std::uint32_t> {};

TEST_P(BarrierTest, EveryoneLearnsEveryContributionOnceAndByRank) {
  const std::uint32_t n = GetParam();
  const std::uint64_t rounds = static_cast<std::uint64_t>(std::bit_width(n - 1));
  std::uint64_t messages = 0;
  learn_everything(n, n, messages);
  EXPECT_EQ(messages, n * rounds);
  EXPECT_EQ(Barrier(NodeId(0), n, n).rounds(), rounds);
}

TEST_P(BarrierTest, EveryoneLearnsItByATreeToo) {
  const std::uint32_t n = GetParam();
  std::uint64_t messages = 0;
  learn_everything(n, 1, messages);
  EXPECT_EQ(messages, 2 * (n - 1));
}

INSTANTIATE_TEST_SUITE_P(Nodes, BarrierTest, testing::Range(1u, 34u));

TEST(Barrier, OfManyNodesIsATree) {
  constexpr std::uint32_t n = 3 * dissemination_nodes_max;
  std::uint64_t messages = 0;
  learn_everything(n, dissemination_nodes_max, messages);
  EXPECT_EQ(messages, 2 * (n - 1));
}

TEST(Barrier, OfATreeRefusesWhatNobodyCouldHaveSent) {
  std::vector<BarrierMessage> out;
  Barrier barrier(NodeId(2), 7, 1);  // its child is 3, its parent 0
  EXPECT_FALSE(barrier.receive(NodeId(4), Epoch(0), 0, {}, out)) << "not a child";
  EXPECT_FALSE(barrier.receive(NodeId(0), Epoch(0), 0, {}, out)) << "the parent comes last";
  EXPECT_FALSE(barrier.receive(NodeId(3), Epoch(0), 1, {}, out)) << "a child comes first";
  EXPECT_FALSE(barrier.receive(NodeId(0), Epoch(0), 2, {}, out)) << "no such round";
  EXPECT_TRUE(barrier.receive(NodeId(3), Epoch(0), 0, {{NodeId(3), {}}}, out));
  EXPECT_FALSE(barrier.receive(NodeId(3), Epoch(0), 0, {{NodeId(3), {}}}, out)) << "twice";
  EXPECT_TRUE(out.empty()) << "nothing leaves before this node arrives";
}

TEST(Barrier, RefusesWhatNobodyCouldHaveSent) {
  std::vector<BarrierMessage> out;
  Barrier barrier(NodeId(0), 4);
  EXPECT_FALSE(barrier.receive(NodeId(3), Epoch(0), 2, {}, out)) << "no such round";
  EXPECT_FALSE(barrier.receive(NodeId(1), Epoch(0), 0, {}, out)) << "not the node below";
  EXPECT_FALSE(barrier.receive(NodeId(3), Epoch(2), 0, {}, out)) << "two barriers ahead";
  EXPECT_FALSE(barrier.receive(NodeId(3), Epoch(0), 0, {{NodeId(4), {}}}, out)) << "no such rank";
  EXPECT_TRUE(barrier.receive(NodeId(3), Epoch(0), 0, {{NodeId(3), {}}}, out));
  EXPECT_FALSE(barrier.receive(NodeId(3), Epoch(0), 0, {{NodeId(3), {}}}, out)) << "twice";
  EXPECT_TRUE(out.empty());
}

TEST(Barrier, OfOneNodeIsCompleteAtOnce) {
  std::vector<BarrierMessage> out;
  Barrier barrier(NodeId(0), 1);
  EXPECT_FALSE(barrier.complete());
  barrier.arrive(token(0, 0), out);
  EXPECT_TRUE(out.empty());
  EXPECT_EQ(barrier.leave(), std::vector<Bytes>{token(0, 0)});
}

Bytes state_of(const Barrier& barrier) {
  Bytes bytes;
  Writer writer(bytes);
  barrier.encode(writer);
  return bytes;
}

TEST(Barrier, ItsStateTellsWhatCameEarly) {
  std::vector<BarrierMessage> out;
  Barrier one(NodeId(0), 3), other = one;
  EXPECT_EQ(state_of(one), state_of(other));
  ASSERT_TRUE(one.receive(NodeId(2), Epoch(0), 0, {{NodeId(2), token(2, 0)}}, out));
  EXPECT_NE(state_of(one), state_of(other));
  ASSERT_TRUE(other.receive(NodeId(2), Epoch(0), 0, {{NodeId(2), token(2, 1)}}, out));
  EXPECT_NE(state_of(one), state_of(other)) << "two contributions";
}

TEST(Barrier, WhatCameEarlyIsTheSameInAnyOrder) {
  std::vector<BarrierMessage> out;
  Barrier one(NodeId(0), 3), other = one;
  const auto first = [&](Barrier& b) {
    return b.receive(NodeId(2), Epoch(0), 0, {{NodeId(2), token(2, 0)}}, out);
  };
  const auto second = [&](Barrier& b) {
    return b.receive(NodeId(1), Epoch(0), 1, {{NodeId(1), token(1, 0)}}, out);
  };
  ASSERT_TRUE(first(one) && second(one));
  ASSERT_TRUE(second(other) && first(other));
  EXPECT_EQ(state_of(one), state_of(other));
  EXPECT_EQ(one, other);
}

}  // namespace
}  // namespace dsm::sync
