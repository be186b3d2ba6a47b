// What is fetched ahead of whom: core::Streams, and the engine's fetches event by event.
#include <gtest/gtest.h>

#include <vector>

#include "dsm/core/engine.hpp"

namespace dsm::core {
namespace {

constexpr std::uint32_t chunk_pages = 64;

// Node 0 of two; the pages are at home on node 1.
class Reader {
 public:
  explicit Reader(std::uint32_t most, std::uint32_t chunks = 16, std::uint32_t slots = 512,
                  Homes homes = Homes::on(NodeId(1)))
      : engine_(config(most, chunks, slots)) {
    engine_.step(AddRegion{Region(RegionId(0), {PageId(0), 1024}, std::move(homes))}, effects_);
  }

  // A thread comes to the page; the runs that are asked for.
  std::vector<PageRun> comes_to(std::uint64_t page, Access wanted = Access::read) {
    effects_.clear();
    engine_.step(Fault{Ticket(page), PageId(page), wanted}, effects_);
    std::vector<PageRun> runs;
    for (const Effect& effect : effects_.list())
      if (const auto* fetch = std::get_if<Fetch>(&effect)) runs.push_back(fetch->run);
    EXPECT_EQ(engine_.broken_invariant(), "");
    return runs;
  }
  // Everything that was asked for, and what is mapped of it.
  std::vector<PageRun> arrives(const std::vector<PageRun>& runs) {
    effects_.clear();
    for (const PageRun& run : runs) engine_.step(Fetched{run}, effects_);
    return maps();
  }
  // The runs that the last step maps; they are.
  std::vector<PageRun> maps() {
    std::vector<PageRun> runs;
    for (const Effect& effect : effects_.list())
      if (const auto* change = std::get_if<Change>(&effect)) runs.push_back(change->run);
    for (const PageRun& run : runs) engine_.step(Changed{run}, effects_);
    EXPECT_EQ(engine_.broken_invariant(), "");
    return runs;
  }
  // Comes to it, and whatever that brings is there.
  std::vector<PageRun> reads(std::uint64_t page) {
    auto runs = comes_to(page);
    maps();
    arrives(runs);
    return runs;
  }
  // A lock's notices name the pages.
  void hears_of(PageRun run) {
    Token token;
    PageSet pages;
    pages.runs = {run};
    effects_.clear();
    engine_.step(Acquire{Ticket(2000), LockId(1)}, effects_);
    token.recent[0].scope.note(pages, Seq(1));
    token.turn = Seq(1);
    engine_.step(Received{NodeId(1), LockGrant{LockId(1), token, {}, {}}}, effects_);
    maps();
    EXPECT_EQ(engine_.broken_invariant(), "");
  }
  PageState state(std::uint64_t page) const { return engine_.state_of(PageId(page)); }
  const Engine& engine() const { return engine_; }
  const Effects& effects() const { return effects_; }

 private:
  static Config config(std::uint32_t most, std::uint32_t chunks, std::uint32_t slots) {
    Config c;
    c.nodes = 2;
    c.space_pages = 1024;
    c.chunk_pages = chunk_pages;
    c.cache_chunks = chunks;
    c.mark_ring_slots = slots;
    c.read_ahead = most;
    return c;
  }
  Engine engine_;
  Effects effects_;
};

using Runs = std::vector<PageRun>;
PageRun run(std::uint64_t first, std::uint64_t count) {
  return {PageId(first), count};
}

TEST(ReadAhead, WhoComesToTheNextPageIsFollowed) {
  Reader reader(256);
  EXPECT_EQ(reader.reads(10), (Runs{run(10, 1)}));
  EXPECT_EQ(reader.reads(11), (Runs{run(11, 1), run(12, 2)}));
  EXPECT_EQ(reader.state(12), PageState::fetched) << "nobody has come to it";
  EXPECT_EQ(reader.reads(12), (Runs{run(14, 4)})) << "while this window is used";
  EXPECT_EQ(reader.state(13), PageState::clean) << "mapped with the page before";
  EXPECT_EQ(reader.reads(14), (Runs{run(18, 8)}));
  EXPECT_EQ(reader.reads(18), (Runs{run(26, 16)}));
  EXPECT_EQ(reader.engine().counters().fetched_ahead, 30u);
}

TEST(ReadAhead, AWindowIsAsLargeAsItMayBe) {
  Reader reader(5);
  reader.reads(0), reader.reads(1), reader.reads(2);
  EXPECT_EQ(reader.reads(4), (Runs{run(8, 5)}));
  EXPECT_EQ(reader.reads(8), (Runs{run(13, 5)}));
}

TEST(ReadAhead, NobodyIsFollowedWhereItIsOff) {
  Reader reader(0);
  for (std::uint64_t page = 0; page < 20; ++page) EXPECT_EQ(reader.reads(page).size(), 1u);
}

TEST(ReadAhead, WhoComesHereAndThereIsNotFollowed) {
  Reader reader(256);
  for (std::uint64_t i = 0; i < 100; ++i)
    EXPECT_EQ(reader.reads(i * 389 % 1024), (Runs{run(i * 389 % 1024, 1)}));
  EXPECT_EQ(reader.engine().counters().fetched_ahead, 0u);
}

TEST(ReadAhead, WhoLeavesPagesOutIsNotFollowed) {
  Reader reader(256);
  reader.reads(0);
  EXPECT_EQ(reader.reads(1), (Runs{run(1, 1), run(2, 2)}));
  EXPECT_EQ(reader.reads(3), Runs{});
  for (std::uint64_t page = 5; page < 50; page += 2) EXPECT_EQ(reader.reads(page).size(), 1u);
}

TEST(ReadAhead, SeveralAreFollowedAtOnce) {
  Reader reader(8);
  for (const std::uint64_t start : {0u, 200u, 400u, 600u}) reader.reads(start);
  for (const std::uint64_t start : {0u, 200u, 400u, 600u})
    EXPECT_EQ(reader.reads(start + 1), (Runs{run(start + 1, 1), run(start + 2, 2)}));
}

TEST(ReadAhead, AWindowIsCutAtBordersOfChunks) {
  Reader reader(256);
  reader.reads(60), reader.reads(61);
  EXPECT_EQ(reader.reads(62), (Runs{run(64, 4)}));
  reader.reads(64);
  EXPECT_EQ(reader.reads(68), (Runs{run(76, 16)}));
  EXPECT_EQ(reader.reads(76), (Runs{run(92, 32)}));
  EXPECT_EQ(reader.reads(92), (Runs{run(124, 4), run(128, 32), run(160, 28)}));
}

TEST(ReadAhead, ARegionsEndIsTheEnd) {
  Reader reader(256);
  reader.reads(1020), reader.reads(1021);
  EXPECT_EQ(reader.reads(1022), Runs{});
  EXPECT_EQ(reader.state(1023), PageState::clean);
}

TEST(ReadAhead, OwnPagesAreLeftOut) {
  Reader reader(8, 16, 512, Homes::cyclic(1, 2));  // the odd ones are the other's
  reader.reads(1);
  EXPECT_EQ(reader.reads(3), (Runs{run(3, 1), run(5, 1)}));
  EXPECT_EQ(reader.reads(5), (Runs{run(7, 1), run(9, 1)}));
}

TEST(ReadAhead, WhoOvertakesItsPagesWaitsForThemAlone) {
  Reader reader(256);
  reader.reads(0);
  const Runs first = reader.comes_to(1);
  const Runs second = reader.comes_to(2);  // under way already
  EXPECT_EQ(second, (Runs{run(4, 4)}));
  EXPECT_EQ(reader.arrives({first[1]}), (Runs{run(2, 2)})) << "mapped when it arrives";
  EXPECT_EQ(reader.arrives(second), Runs{});
}

TEST(ReadAhead, WhoWritesMapsOnePage) {
  Reader reader(256);
  reader.reads(0), reader.reads(1);
  EXPECT_EQ(reader.comes_to(2, Access::write), (Runs{run(4, 4)}));
  EXPECT_EQ(reader.maps(), (Runs{run(2, 1)}));
  EXPECT_EQ(reader.state(2), PageState::dirty);
  EXPECT_EQ(reader.state(3), PageState::fetched);
}

TEST(ReadAhead, WhatWentUnreadIsCountedAndDoubted) {
  Reader reader(256);
  reader.reads(0), reader.reads(1), reader.reads(2), reader.reads(4);
  EXPECT_EQ(reader.state(8), PageState::fetched);
  reader.hears_of(run(8, 8));
  EXPECT_EQ(reader.state(8), PageState::absent) << "nothing need be unmapped";
  EXPECT_EQ(reader.engine().counters().fetched_ahead_unread, 8u);
  EXPECT_EQ(reader.engine().counters().invalidations, 0u);
  // Who misses it all the same is believed, with a smaller window.
  EXPECT_EQ(reader.reads(8), (Runs{run(8, 1), run(9, 4)}));
}

TEST(ReadAhead, WhatIsDoubtedEndsAWindow) {
  Reader reader(256);
  reader.reads(0), reader.reads(1), reader.reads(2), reader.reads(4);  // up to 16
  reader.hears_of(run(0, 16));
  EXPECT_EQ(reader.state(8), PageState::absent);
  EXPECT_EQ(reader.reads(0), (Runs{run(0, 8)})) << "those that were read come along";
  EXPECT_EQ(reader.state(7), PageState::clean);
  EXPECT_EQ(reader.reads(8), (Runs{run(8, 1), run(9, 2)}));
}

TEST(ReadAhead, ItTakesNobodysRoom) {
  Reader reader(256, 2);
  for (std::uint64_t page = 0; page < chunk_pages; ++page) reader.reads(page);
  EXPECT_EQ(reader.engine().cached_chunks(), 1u) << "the last one is for who asks";
  EXPECT_EQ(reader.engine().counters().evictions, 0u);
  EXPECT_FALSE(reader.reads(chunk_pages).empty());
  EXPECT_EQ(reader.engine().counters().evictions, 0u);
  EXPECT_EQ(reader.state(chunk_pages - 1), PageState::clean);
}

TEST(ReadAhead, ItLeavesMarksForWhoAsks) {
  Reader reader(4, 16, 8);
  std::size_t flushes = 0, runs = 0;
  for (std::uint64_t page = 0; runs < 6; ++page) {
    if (reader.state(page) == PageState::clean) continue;
    const Runs asked = reader.comes_to(page);
    runs += asked.size();
    for (const Effect& effect : reader.effects().list())
      if (const auto* send = std::get_if<Send>(&effect))
        flushes += std::holds_alternative<MarkFlush>(send->message);
    reader.maps();
    reader.arrives(asked);
  }
  EXPECT_EQ(flushes, 1u) << "credit is asked for before it is needed, once";
  EXPECT_EQ(runs, 6u);
  EXPECT_EQ(reader.comes_to(500).size(), 1u);
}

}  // namespace
}  // namespace dsm::core
