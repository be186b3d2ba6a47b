// Programs by hand, each the shortest film of one way to lose data.
#pragma once

#include <string>
#include <vector>

#include "dsm/core/planted.hpp"
#include "support/program.hpp"

namespace dsm::sim {

struct Scenario {
  std::string name;
  core::Bug closes = core::Bug::none;  // the planted bug that this film shows; none: a bug that was
                                       // once in the engine
  Program program;
};

const std::vector<Scenario>& scenarios();
std::vector<Scenario> bound_scenarios();  // part of them
std::vector<Scenario> push_scenarios();
std::vector<Scenario> watch_scenarios();
std::vector<Scenario> move_scenarios();

}  // namespace dsm::sim
