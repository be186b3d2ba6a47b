// Each scenario is right under many physics, and shows the planted bug that it is about.
#include <gtest/gtest.h>

#include "sim/scenarios.hpp"
#include "support/runs.hpp"

namespace dsm::sim {
namespace {

class ScenarioTest : public testing::TestWithParam<std::size_t> {};

TEST_P(ScenarioTest, IsRightUnderAnyPhysics) {
  const Scenario& scenario = scenarios()[GetParam()];
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    const Outcome run = run_program(scenario.program, seed);
    ASSERT_TRUE(run.ok()) << scenario.name << " under physics " << seed << ": " << run.failure;
  }
}

TEST_P(ScenarioTest, ShowsItsBug) {
  const Scenario& scenario = scenarios()[GetParam()];
  if (scenario.closes == core::Bug::none) return;  // its bug is no longer there to be planted
  constexpr std::uint64_t seeds_max = 5000;
  std::uint64_t seed = 1;
  while (seed <= seeds_max && run_program(scenario.program, seed, scenario.closes).ok()) ++seed;
  RecordProperty("seeds", static_cast<int>(seed));
  EXPECT_LE(seed, seeds_max) << scenario.name << " does not show " << name_of(scenario.closes);
}

INSTANTIATE_TEST_SUITE_P(Every, ScenarioTest, testing::Range(std::size_t{0}, scenarios().size()),
                         [](const auto& tested) { return scenarios()[tested.param].name; });

}  // namespace
}  // namespace dsm::sim
