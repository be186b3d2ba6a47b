#include "model/explorer.hpp"

#include <unordered_set>
#include <utility>

#include "support/simulator.hpp"

namespace dsm::sim {
namespace {

struct Frame {
  Simulator simulator;
  std::size_t next = 0;
};

std::vector<std::string> tell(const std::vector<Frame>& stack) {
  std::vector<std::string> path;
  for (const Frame& frame : stack)
    if (frame.next > 0) path.push_back(frame.simulator.describe(frame.next - 1));
  return path;
}

}  // namespace

// Every script begins with a region and a barrier: these in one order, until all threads stand
// behind it.
Simulator ready(const Program& program, core::Bug bug) {
  Physics physics = Physics::exact();
  physics.at_once_percent = 0;  // every effect is an action of its own
  Simulator simulator(program, physics, 1, bug);
  for (;;) {
    std::size_t choice = 0;
    while (choice < simulator.choices() && simulator.is_past_first_join(choice)) ++choice;
    if (choice == simulator.choices()) return simulator;
    simulator.perform(choice);
  }
}

Exploration explore(const Program& program, std::uint64_t states_max, core::Bug bug) {
  Exploration result;
  std::unordered_set<std::uint64_t> seen;
  std::vector<Frame> stack;
  const auto failed = [&](const Simulator& simulator) {
    if (simulator.failure().empty()) return false;
    result.failure = simulator.failure();
    result.path = tell(stack);
    return true;
  };
  stack.push_back({ready(program, bug)});
  if (failed(stack.back().simulator)) return result;
  seen.insert(stack.back().simulator.hash());
  while (!stack.empty()) {
    Frame& frame = stack.back();
    if (frame.simulator.choices() == 0) {
      ++result.ends;
      result.outcomes.insert(frame.simulator.registers());
      result.finals.insert(frame.simulator.hash());
      frame.simulator.finish();
      if (failed(frame.simulator)) return result;
    }
    if (frame.next == frame.simulator.choices()) {
      stack.pop_back();
      continue;
    }
    Simulator after = frame.simulator;
    after.perform(frame.next++);
    ++result.transitions;
    if (failed(after)) return result;
    if (!seen.insert(after.hash()).second) continue;
    if (seen.size() > states_max) {
      result.states = seen.size();
      return result;
    }
    stack.push_back({std::move(after)});
  }
  result.states = seen.size();
  result.complete = true;
  return result;
}

}  // namespace dsm::sim
