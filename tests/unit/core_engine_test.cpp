// core::Engine, event by event.
#include <gtest/gtest.h>

#include "dsm/core/engine.hpp"

namespace dsm::core {
namespace {

// A reader leaves the mark, or takes it back, while the page is at home here; the ring is read when
// it is at home elsewhere.
TEST(Engine, AMarkOfARegionThatHasGoneIsNobodys) {
  Config config;
  config.self = NodeId(1);
  config.nodes = 3;
  config.space_pages = 8;
  Engine engine(config);
  Effects effects;
  const PageRun run{PageId(3), 1};
  engine.step(AddRegion{Region(RegionId(0), run, Homes::on(NodeId(1)), Policy::scope)}, effects);
  engine.step(DropRegion{Ticket(5), RegionId(0)}, effects);
  engine.step(Punched{run}, effects);
  engine.step(AddRegion{Region(RegionId(1), run, Homes::on(NodeId(2)), Policy::scope)}, effects);
  for (const bool added : {true, false})
    engine.step(Marked{NodeId(0), run, Epoch(0), added}, effects);
  EXPECT_TRUE(engine.marks().empty());
  EXPECT_EQ(engine.broken_invariant(), "");
}

// Those who wait for room, and for a mark, take empty chunks from one another: each time in one
// step, or they would keep one another, and the wire, from what they wait for.
TEST(Engine, AChunkThatNothingCameIntoGoesAtOnce) {
  Config config;
  config.nodes = 2;
  config.space_pages = 64;
  config.chunk_pages = 4;
  config.cache_chunks = 2;
  config.mark_ring_slots = 2;
  Engine engine(config);
  Effects effects;
  engine.step(AddRegion{Region(RegionId(0), {PageId(0), 64}, Homes::on(NodeId(1)), Policy::scope)},
              effects);
  std::uint32_t ticket = 0;
  for (const std::uint64_t page : {0u, 1u, 8u, 16u, 24u, 32u})
    engine.step(Fault{Ticket(++ticket), PageId(page), Access::read}, effects);
  std::size_t fetches = 0;
  for (const Effect& effect : effects.list()) {
    EXPECT_FALSE(std::holds_alternative<Punch>(effect));
    fetches += std::holds_alternative<Fetch>(effect);
  }
  EXPECT_EQ(fetches, 2u) << "the others wait for the ring";
  EXPECT_GT(engine.counters().evictions, 1u);
  EXPECT_EQ(engine.broken_invariant(), "");
}

// The engine of one of three nodes, which are a team.
Engine member(std::uint32_t self) {
  Config config;
  config.self = NodeId(self);
  config.nodes = 3;
  config.space_pages = 8;
  Engine engine(config);
  Effects none;
  engine.step(AddTeam{TeamId(4), {NodeId(0), NodeId(1), NodeId(2)}}, none);
  return engine;
}

// What node `from` sends node `to` when it leaves its teams.
TeamLeft leave(Engine& from, NodeId to) {
  Effects effects;
  from.step(LeaveTeams{}, effects);
  for (const Effect& effect : effects.list())
    if (const auto* send = std::get_if<Send>(&effect); send != nullptr && send->to == to)
      return std::get<TeamLeft>(send->message);
  ADD_FAILURE() << "it tells nobody";
  return {};
}

bool is_refused(const Effects& effects, Ticket who) {
  for (const Effect& effect : effects.list())
    if (const auto* wake = std::get_if<Wake>(&effect); wake != nullptr && wake->who == who)
      return !wake->granted;
  return false;
}

TEST(Engine, WhoWaitsForAMemberThatHasLeftIsTold) {
  Engine here = member(0), gone = member(1);
  const TeamLeft left = leave(gone, NodeId(0));
  Effects effects;
  here.step(ArriveTeam{Ticket(5), TeamId(4), {}}, effects);
  EXPECT_FALSE(is_refused(effects, Ticket(5)));
  here.step(Received{NodeId(1), left}, effects);
  EXPECT_TRUE(is_refused(effects, Ticket(5)));
  EXPECT_EQ(here.team_left_by(TeamId(4)), NodeId(1));
  effects.clear();
  here.step(ArriveTeam{Ticket(6), TeamId(4), {}}, effects);
  EXPECT_TRUE(is_refused(effects, Ticket(6)));
  EXPECT_EQ(here.broken_invariant(), "");
}

TEST(Engine, WhoWaitsForABarrierThatALeaverWasInWaitsOn) {
  Engine here = member(0), gone = member(1);
  TeamLeft left = leave(gone, NodeId(0));
  left.passed = Epoch(1);
  Effects effects;
  here.step(ArriveTeam{Ticket(5), TeamId(4), {}}, effects);
  here.step(Received{NodeId(1), left}, effects);
  EXPECT_FALSE(is_refused(effects, Ticket(5)));
  EXPECT_EQ(here.broken_invariant(), "");
}

TEST(EngineDeathTest, MembersThatDisagreeOnWhoTheyAreDoNotMeet) {
  Engine here = member(0);
  Effects effects;
  EXPECT_DEATH(here.step(Received{NodeId(2), TeamRound{TeamId(4), 1234, Epoch(0), 0, {}}}, effects),
               "agree on who they are");
}

}  // namespace
}  // namespace dsm::core
