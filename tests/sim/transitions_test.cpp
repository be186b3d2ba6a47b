// transitions.md names every transition of the page and lock state machines that the engine makes,
// and the simulator reaches them all. A transition that is no longer reached, or a new one, is a
// finding: look at it, then write the table anew (build/tests/sim/sim_main --table --seeds=3000 >
// tests/sim/transitions.md).
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "support/coverage.hpp"
#include "support/runs.hpp"

namespace dsm::sim {
namespace {

std::set<std::string> names(const std::vector<Coverage::Transition>& transitions) {
  std::set<std::string> all;
  for (const auto& t : transitions) all.insert(t.machine + ": " + t.from + " -> " + t.to);
  return all;
}

TEST(Transitions, AreThoseOfTheTable) {
  std::ifstream file(DSM_TRANSITIONS);
  std::stringstream text;
  text << file.rdbuf();
  const std::set<std::string> listed = names(parse_table(text.str()));
  ASSERT_GT(listed.size(), 20u) << "no table in " << DSM_TRANSITIONS;

  Coverage coverage;
  for (std::uint64_t seed = 1; seed <= 1000; ++seed) {
    const Outcome run = run_seed(seed, Shape{});
    ASSERT_TRUE(run.ok()) << run.failure;
  }
  const std::set<std::string> taken = names(coverage.taken());
  for (const std::string& t : listed) EXPECT_TRUE(taken.contains(t)) << "no longer reached: " << t;
  for (const std::string& t : taken) EXPECT_TRUE(listed.contains(t)) << "new: " << t;
}

}  // namespace
}  // namespace dsm::sim
