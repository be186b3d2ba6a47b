// Runs of random programs by seed: each twice, and the two compared; and the hunt for a planted
// bug.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "dsm/core/planted.hpp"
#include "support/program.hpp"
#include "support/simulator.hpp"

namespace dsm::sim {

struct Outcome {
  std::uint64_t seed = 0;
  std::string failure;  // empty: the program saw what it may see, and both runs were the same
  Statistics statistics;
  std::size_t operations = 0;
  bool ok() const { return failure.empty(); }
};

// The program and the physics of this seed. The first run checks every step, the second repeats it.
Outcome run_seed(std::uint64_t seed, const Shape& shape, core::Bug bug = core::Bug::none);

// The same once, printing every event and effect.
Outcome trace_seed(std::uint64_t seed, const Shape& shape, core::Bug bug = core::Bug::none);

// One program under the physics of a seed, checked.
Outcome run_program(const Program& program, std::uint64_t seed, core::Bug bug = core::Bug::none);

// The command that shows a failing seed again.
std::string replay_command(std::uint64_t seed, const Shape& shape, core::Bug bug);

std::optional<core::Bug> bug_named(const std::string& name);

}  // namespace dsm::sim
