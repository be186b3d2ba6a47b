#include "support/runs.hpp"

#include <string_view>

namespace dsm::sim {
namespace {

Outcome run_once(const Program& program, std::uint64_t seed, core::Bug bug, bool trace,
                 bool twice) {
  const Physics physics = Physics::by_seed(seed);
  Simulator simulator(program, physics, seed, bug);
  if (trace) simulator.trace_to_stdout();
  simulator.run();
  Outcome run{seed, simulator.failure(), simulator.statistics(), program.operations()};
  if (!twice || !run.ok()) return run;
  Simulator again(program, physics, seed, bug);
  again.check_steps(false);
  again.run();
  if (again.fingerprint() != simulator.fingerprint())
    run.failure = "the same seed gave two different runs";
  return run;
}

}  // namespace

Outcome run_seed(std::uint64_t seed, const Shape& shape, core::Bug bug) {
  return run_once(random_program(seed, shape), seed, bug, false, true);
}

Outcome trace_seed(std::uint64_t seed, const Shape& shape, core::Bug bug) {
  return run_once(random_program(seed, shape), seed, bug, true, false);
}

Outcome run_program(const Program& program, std::uint64_t seed, core::Bug bug) {
  return run_once(program, seed, bug, false, false);
}

std::string replay_command(std::uint64_t seed, const Shape& shape, core::Bug bug) {
  std::string text = "build/tests/sim/sim_main --seed=" + std::to_string(seed);
  const auto option = [&](const char* name, std::uint32_t value, std::uint32_t usual) {
    if (value != usual) text += std::string(" --") + name + "=" + std::to_string(value);
  };
  const Shape usual;
  option("nodes", shape.nodes, usual.nodes);
  option("pages", shape.pages, usual.pages);
  option("locks", shape.locks, usual.locks);
  option("operations", shape.operations, usual.operations);
  if (bug != core::Bug::none) text += std::string(" --bug=") + name_of(bug);
  return text + " --trace";
}

std::optional<core::Bug> bug_named(const std::string& name) {
  for (int i = 0; i < core::bug_count; ++i)
    if (name == name_of(static_cast<core::Bug>(i))) return static_cast<core::Bug>(i);
  return std::nullopt;
}

}  // namespace dsm::sim
