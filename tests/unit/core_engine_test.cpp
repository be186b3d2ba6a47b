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

}  // namespace
}  // namespace dsm::core
