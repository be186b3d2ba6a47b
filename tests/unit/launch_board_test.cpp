// What the rendezvous decides, message by message.
#include "dsm/launch/board.hpp"

#include <gtest/gtest.h>

namespace dsm::launch {
namespace {

using Time = Board::Time;
constexpr Time timeout{3'000};

Join join_of(std::uint32_t rank, std::uint32_t size,
             const Agreement& agreement = {{"build", "b1"}, {"DSM_SPACE", "64"}}) {
  return Join{NodeId(rank), size, 100 + rank, "host" + std::to_string(rank), agreement};
}

Bytes value(std::uint8_t byte) {
  return Bytes{std::byte{byte}};
}

// A board that n nodes have joined.
struct Joined : Board {
  explicit Joined(std::uint32_t n) : Board(n, timeout) {
    for (std::uint32_t r = 0; r < n; ++r) EXPECT_TRUE(join(join_of(r, n), Time(0)).ok());
    EXPECT_EQ(take_effects().size(), n) << "one Welcome each";
  }
};

template <typename T>
std::vector<std::uint32_t> receivers(const std::vector<Board::Effect>& effects) {
  std::vector<std::uint32_t> ranks;
  for (const auto& effect : effects)
    if (std::holds_alternative<T>(effect.message)) ranks.push_back(effect.to.value);
  return ranks;
}

using Ranks = std::vector<std::uint32_t>;

TEST(Board, WelcomesAllWhenTheLastHasJoined) {
  Board board(3, timeout);
  ASSERT_TRUE(board.join(join_of(2, 3), Time(0)).ok());
  ASSERT_TRUE(board.join(join_of(0, 3), Time(10)).ok());
  EXPECT_TRUE(board.take_effects().empty());
  ASSERT_TRUE(board.join(join_of(1, 3), Time(20)).ok());
  EXPECT_EQ(receivers<Welcome>(board.take_effects()), (Ranks{0, 1, 2}));
  EXPECT_FALSE(board.deadline());
}

TEST(Board, NamesTheRanksThatDoNotCome) {
  Board board(8, timeout);
  board.tick(Time(100'000));
  EXPECT_FALSE(board.ended()) << "the time runs from the first who joins";
  for (const std::uint32_t r : {0u, 1u, 5u})
    ASSERT_TRUE(board.join(join_of(r, 8), Time(100'000)).ok());
  board.tick(Time(102'999));
  EXPECT_FALSE(board.ended());
  board.tick(Time(103'000));
  ASSERT_TRUE(board.ended());
  EXPECT_EQ(board.ended()->code, Code::timed_out);
  EXPECT_NE(board.ended()->text.find("ranks 2-4 and 6-7 of 8 did not join within 3 s"),
            std::string::npos)
      << board.ended()->text;
  EXPECT_EQ(receivers<Abort>(board.take_effects()), (Ranks{0, 1, 5}));
}

TEST(Board, ComparesBuildsAndSizesOfSpace) {
  Board board(3, timeout);
  ASSERT_TRUE(board.join(join_of(1, 3), Time(0)).ok());
  const Status refused = board.join(join_of(2, 3, {{"build", "b1"}, {"DSM_SPACE", "32"}}), Time(0));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.message(),
            "nodes of different builds or sizes of space: rank 2 has DSM_SPACE 32, rank 1 has "
            "DSM_SPACE 64");
  EXPECT_EQ(receivers<Abort>(board.take_effects()), (Ranks{1})) << "the job cannot go on";
  EXPECT_FALSE(board.join(join_of(0, 3), Time(0)).ok()) << "and who comes later hears why";
}

TEST(Board, ComparesSizesOfTheJob) {
  Board board(3, timeout);
  const Status refused = board.join(join_of(1, 4), Time(0));
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.message().find("rank 1 has DSM_SIZE=4, the rendezvous 3"), std::string::npos)
      << refused.message();
}

TEST(Board, RefusesStrangersWithoutHarmToTheJob) {
  Board board(2, timeout);
  ASSERT_TRUE(board.join(join_of(0, 2), Time(0)).ok());
  EXPECT_FALSE(board.join(join_of(0, 2), Time(0)).ok()) << "the same rank twice";
  EXPECT_FALSE(board.join(join_of(2, 2), Time(0)).ok()) << "a rank beyond the last";
  EXPECT_FALSE(board.ended());
  EXPECT_TRUE(board.join(join_of(1, 2), Time(0)).ok());
}

TEST(Board, AnswersALookupNowOrWhenItIsPublished) {
  Joined board(2);
  board.receive(NodeId(0), Publish{"address", value(7)});
  board.receive(NodeId(1), Lookup{1, NodeId(0), "address"});
  board.receive(NodeId(0), Lookup{5, NodeId(1), "address"});
  auto effects = board.take_effects();
  ASSERT_EQ(effects.size(), 1u);
  EXPECT_EQ(effects[0].to, NodeId(1));
  EXPECT_EQ(effects[0].message, Message(Value{1, value(7)}));

  board.receive(NodeId(1), Publish{"other", value(1)});
  EXPECT_TRUE(board.take_effects().empty());
  board.receive(NodeId(1), Publish{"address", value(8)});
  effects = board.take_effects();
  ASSERT_EQ(effects.size(), 1u);
  EXPECT_EQ(effects[0].to, NodeId(0));
  EXPECT_EQ(effects[0].message, Message(Value{5, value(8)}));
}

TEST(Board, AFenceIsFullWhenAllHaveCome) {
  Joined board(3);
  for (std::uint64_t round = 1; round <= 3; ++round) {
    board.receive(NodeId(2), Fence{round});
    board.receive(NodeId(0), Fence{round});
    EXPECT_TRUE(board.take_effects().empty());
    board.receive(NodeId(1), Fence{round});
    const auto effects = board.take_effects();
    EXPECT_EQ(receivers<FenceDone>(effects), (Ranks{0, 1, 2}));
    EXPECT_EQ(effects[0].message, Message(FenceDone{round}));
  }
  EXPECT_FALSE(board.ended());
}

TEST(Board, AFenceOutOfTurnEndsTheJob) {
  Joined twice(2);
  twice.receive(NodeId(0), Fence{1});
  twice.receive(NodeId(0), Fence{2});
  ASSERT_TRUE(twice.ended());
  EXPECT_EQ(twice.ended()->rank, NodeId(0));
}

TEST(Board, ANodeThatLeavesWhileOthersWaitForItEndsTheJob) {
  Joined board(2);
  board.receive(NodeId(0), Fence{1});
  board.receive(NodeId(1), Finish{});
  ASSERT_TRUE(board.ended());
  EXPECT_NE(board.ended()->text.find("rank 1 left the job while rank 0 waits for it in a fence"),
            std::string::npos);

  Joined other_order(2);
  other_order.receive(NodeId(1), Finish{});
  EXPECT_FALSE(other_order.ended());
  other_order.receive(NodeId(0), Fence{1});
  EXPECT_TRUE(other_order.ended());
}

TEST(Board, ANodeThatVanishesEndsTheJobForAllOthers) {
  Joined board(3);
  board.lost(NodeId(1));
  EXPECT_EQ(receivers<Abort>(board.take_effects()), (Ranks{0, 2}));
  ASSERT_TRUE(board.ended());
  EXPECT_EQ(board.ended()->text, "lost node 1 (host1, process 101)");
  board.lost(NodeId(0));
  EXPECT_EQ(board.ended()->rank, NodeId(1)) << "the first one is the reason";
}

TEST(Board, ANodeThatFinishedMayGo) {
  Joined board(2);
  board.receive(NodeId(1), Finish{});
  board.lost(NodeId(1));
  EXPECT_FALSE(board.ended());
  board.close();
  EXPECT_EQ(receivers<Farewell>(board.take_effects()), (Ranks{0}));
}

TEST(Board, AnAbortReachesAllOthersWithItsLine) {
  Joined board(2);
  board.receive(NodeId(1), Abort{no_node, Code::exhausted, "too little memory"});
  const auto effects = board.take_effects();
  ASSERT_FALSE(effects.empty());
  EXPECT_EQ(effects[0].message, Message(Abort{NodeId(1), Code::exhausted, "too little memory"}));
}

TEST(Board, AProcessThatEndsBeforeItJoinsIsNoticedAtOnce) {
  Board early(2, timeout);
  early.process_ended(NodeId(1));
  EXPECT_FALSE(early.ended()) << "a program that never joins is no job of this kind";
  ASSERT_TRUE(early.join(join_of(0, 2), Time(0)).ok());
  ASSERT_TRUE(early.ended());
  EXPECT_EQ(early.ended()->text, "rank 1 ended before it joined the job");

  Board late(2, timeout);
  ASSERT_TRUE(late.join(join_of(0, 2), Time(0)).ok());
  late.process_ended(NodeId(1));
  EXPECT_TRUE(late.ended());

  Joined after(2);
  after.process_ended(NodeId(1));
  EXPECT_FALSE(after.ended());
}

TEST(Board, WhatANodeNeverSendsEndsTheJob) {
  for (const Message& message :
       {Message(Welcome{}), Message(Value{}), Message(FenceDone{}), Message(Farewell{}),
        Message(join_of(1, 2)), Message(Lookup{1, NodeId(2), "x"})}) {
    Joined board(2);
    board.receive(NodeId(1), message);
    EXPECT_TRUE(board.ended()) << message.index();
  }
}

TEST(Board, IsBounded) {
  Joined board(2);
  for (std::size_t i = 0; i < waiting_lookups_max + 10; ++i)
    board.receive(NodeId(0), Lookup{i, NodeId(1), "never " + std::to_string(i)});
  EXPECT_FALSE(board.ended());
  for (std::size_t i = 0; i <= values_max; ++i)
    board.receive(NodeId(1), Publish{"key " + std::to_string(i), {}});
  ASSERT_TRUE(board.ended());
  EXPECT_EQ(board.ended()->code, Code::too_large);
}

TEST(RankList, IsShort) {
  EXPECT_EQ(rank_list({4}), "4");
  EXPECT_EQ(rank_list({1, 2}), "1-2");
  EXPECT_EQ(rank_list({0, 2, 3, 4, 9}), "0, 2-4 and 9");
  Ranks odd;
  for (std::uint32_t r = 1; r < 4096; r += 2) odd.push_back(r);
  EXPECT_LT(rank_list(odd).size(), 100u);
  EXPECT_NE(rank_list(odd).find("and 2032 more"), std::string::npos);
}

}  // namespace
}  // namespace dsm::launch
