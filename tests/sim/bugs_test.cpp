// The tests of the simulator: each bug that can be planted is found, by random programs alone where
// a few hundred seeds are enough, else with a scenario's help (scenarios.hpp). tests/README.md has
// the table.
#include <gtest/gtest.h>

#include <string>

#include "sim/scenarios.hpp"
#include "support/runs.hpp"

namespace dsm::sim {
namespace {

using core::Bug;

class PlantedBug : public testing::TestWithParam<int> {};

TEST_P(PlantedBug, IsFound) {
  const Bug bug = static_cast<Bug>(GetParam());
  constexpr std::uint64_t random_seeds_max = 1000;
  constexpr std::uint64_t scenario_seeds_max = 2000;
  std::uint64_t seed = 1;
  while (seed <= random_seeds_max && run_seed(seed, Shape{}, bug).ok()) ++seed;
  if (seed <= random_seeds_max) {
    RecordProperty("seeds", static_cast<int>(seed));
    return;
  }
  for (const Scenario& scenario : scenarios()) {
    if (scenario.closes != bug) continue;
    for (seed = 1; seed <= scenario_seeds_max; ++seed)
      if (!run_program(scenario.program, seed, bug).ok()) {
        RecordProperty("seeds", static_cast<int>(seed));
        return;
      }
  }
  FAIL() << name_of(bug) << " was planted and nobody noticed";
}

INSTANTIATE_TEST_SUITE_P(Every, PlantedBug, testing::Range(1, core::bug_count),
                         [](const auto& tested) {
                           return std::string(name_of(static_cast<Bug>(tested.param)));
                         });

}  // namespace
}  // namespace dsm::sim
