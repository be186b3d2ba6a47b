// Where regions lie and who is home to which page, against counting page by page.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <vector>

#include "dsm/core/layout.hpp"

namespace dsm::core {
namespace {

// Everything that a region says, against home() alone.
void expect_consistent(const Region& region, std::uint32_t nodes) {
  std::map<NodeId, std::uint64_t> seen;
  const PageRun run = region.run();
  for (PageId p = run.first; p < run.end(); ++p) {
    const NodeId home = region.home(p);
    ASSERT_LT(home.value, nodes);
    ASSERT_EQ(region.index_at_home(p), seen[home]++) << "page " << p.value;
    std::uint64_t same = 1;
    while (p + same < run.end() && region.home(p + same) == home) ++same;
    for (const std::uint64_t most : {std::uint64_t{1}, std::uint64_t{3}, run.count}) {
      const PageRun found = region.same_home(p, most);
      ASSERT_EQ(found.first, p);
      ASSERT_EQ(found.count, std::min(most, same)) << "page " << p.value << " at most " << most;
    }
  }
  for (std::uint32_t n = 0; n < nodes; ++n)
    ASSERT_EQ(region.pages_at(NodeId(n)), seen[NodeId(n)]) << "node " << n;
}

TEST(Homes, BlocksAreAsEqualAsWholePagesAllow) {
  for (const std::uint64_t pages : {1, 2, 3, 7, 16, 100}) {
    for (const std::uint32_t nodes : {1u, 2u, 3u, 7u, 16u}) {
      const Region region(RegionId(0), {PageId(10), pages}, Homes::block(pages, nodes));
      expect_consistent(region, nodes);
      NodeId last{};
      for (PageId p(10); p < PageId(10) + pages; ++p) {
        EXPECT_GE(region.home(p), last);
        last = region.home(p);
      }
      for (std::uint32_t n = 0; n < nodes; ++n) {
        EXPECT_GE(region.pages_at(NodeId(n)), pages / nodes);
        EXPECT_LE(region.pages_at(NodeId(n)), pages / nodes + 1);
      }
    }
  }
}

TEST(Homes, CyclicGoesAround) {
  const Region region(RegionId(0), {PageId(0), 17}, Homes::cyclic(2, 3));
  expect_consistent(region, 3);
  EXPECT_EQ(region.home(PageId(1)), NodeId(0));
  EXPECT_EQ(region.home(PageId(2)), NodeId(1));
  EXPECT_EQ(region.home(PageId(6)), NodeId(0));
  EXPECT_EQ(region.home(PageId(16)), NodeId(2));
}

TEST(Homes, OnOneNodeAndByAnyFunction) {
  expect_consistent(Region(RegionId(0), {PageId(3), 9}, Homes::on(NodeId(2))), 4);
  std::mt19937 random(3);
  for (int round = 0; round < 100; ++round) {
    std::vector<NodeId> homes(1 + random() % 40);
    for (NodeId& h : homes) h = NodeId(static_cast<std::uint32_t>(random()) % 4);
    const Region region(RegionId(0), {PageId(random() % 100), homes.size()}, Homes::of(homes));
    expect_consistent(region, 4);
    for (std::size_t i = 0; i < homes.size(); ++i)
      EXPECT_EQ(region.home(region.run().first + i), homes[i]);
  }
}

TEST(Region, HashTellsPlacementsApart) {
  const Region a(RegionId(0), {PageId(0), 8}, Homes::block(8, 2));
  const Region b(RegionId(0), {PageId(0), 8}, Homes::cyclic(1, 2));
  const Region c(RegionId(0), {PageId(8), 8}, Homes::block(8, 2));
  EXPECT_NE(a.hash(), b.hash());
  EXPECT_NE(a.hash(), c.hash());
  EXPECT_EQ(a.hash(), Region(RegionId(0), {PageId(0), 8}, Homes::block(8, 2)).hash());
}

TEST(Layout, FirstFitAndAligned) {
  Layout layout(100);
  const auto place = [&](std::uint32_t id, std::uint64_t pages, std::uint64_t align) {
    const auto run = layout.find_space(pages, align);
    EXPECT_TRUE(run.has_value());
    layout.add(Region(RegionId(id), *run, Homes::on(NodeId(0))));
    return run->first.value;
  };
  EXPECT_EQ(place(0, 10, 1), 0u);
  EXPECT_EQ(place(1, 10, 8), 16u);
  EXPECT_EQ(place(2, 6, 1), 10u);
  EXPECT_EQ(place(3, 5, 1), 26u);
  layout.remove(RegionId(1));
  EXPECT_EQ(layout.region(RegionId(1)), nullptr);
  EXPECT_EQ(layout.region_of(PageId(20)), nullptr);
  EXPECT_EQ(place(4, 10, 8), 16u) << "the gap is used again";
  EXPECT_EQ(layout.region_of(PageId(20))->id(), RegionId(4));
  EXPECT_EQ(layout.region_of(PageId(15))->id(), RegionId(2));
}

TEST(Layout, FullIsNothingAndTheLastPageCounts) {
  Layout layout(8);
  EXPECT_FALSE(layout.find_space(9, 1));
  EXPECT_FALSE(layout.find_space(0, 1));
  EXPECT_FALSE(layout.find_space(~std::uint64_t{0}, 1));
  ASSERT_TRUE(layout.find_space(8, 1));
  layout.add(Region(RegionId(0), {PageId(0), 7}, Homes::on(NodeId(0))));
  EXPECT_TRUE(layout.find_space(1, 1));
  EXPECT_FALSE(layout.find_space(2, 1));
  EXPECT_FALSE(layout.find_space(1, 16));
}

}  // namespace
}  // namespace dsm::core
