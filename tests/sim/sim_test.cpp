// Random programs by seed: each sees what it may see, every step keeps the invariants, and a seed
// gives the same run twice.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "support/runs.hpp"

namespace dsm::sim {
namespace {

// As many as the build was configured for, unless the environment says otherwise.
std::uint64_t seeds() {
  const char* text = std::getenv("DSM_SIM_SEEDS");
  const std::uint64_t n = text == nullptr ? 0 : std::strtoull(text, nullptr, 10);
  return n == 0 ? SIM_SEEDS : n;
}

void expect_ok(std::uint64_t first, std::uint64_t count, const Shape& shape) {
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    const Outcome run = run_seed(seed, shape);
    ASSERT_TRUE(run.ok()) << "seed " << seed << ": " << run.failure
                          << "\nreplay: " << replay_command(seed, shape, core::Bug::none);
  }
}

TEST(Simulation, RandomProgramsSeeWhatTheyMay) {
  expect_ok(1, seeds(), Shape{});
}

TEST(Simulation, ProgramsOfThePromisedShape) {
  expect_ok(1, seeds() / 10 + 1, figure_shape);
}

TEST(Simulation, ManyNodes) {
  Shape shape;
  shape.nodes = 16;
  shape.operations = 800;
  expect_ok(1, seeds() / 50 + 1, shape);
}

TEST(Simulation, LongPrograms) {
  Shape shape;
  shape.operations = 5000;
  expect_ok(1, seeds() / 100 + 1, shape);
}

TEST(Simulation, AnotherSeedIsAnotherRun) {
  const Program program = random_program(1, figure_shape);
  Simulator one(program, Physics::by_seed(1), 1), two(program, Physics::by_seed(1), 2);
  one.run();
  two.run();
  EXPECT_EQ(one.failure(), "");
  EXPECT_EQ(two.failure(), "");
  EXPECT_NE(one.fingerprint(), two.fingerprint());
}

}  // namespace
}  // namespace dsm::sim
