// Every order in which the actions of a simulation can happen: depth first, each state once.
//
// What interleaves are the operations of threads, stores leaving their buffers, effects one by one,
// messages, marks, READs piece by piece, their placement and completion, and the notice of changed
// protection. States are told apart by a 64-bit hash.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "dsm/core/planted.hpp"
#include "support/program.hpp"

namespace dsm::sim {

struct Exploration {
  std::uint64_t states = 0;
  std::uint64_t transitions = 0;
  std::uint64_t ends = 0;                        // states in which the program is over
  std::set<std::vector<std::uint8_t>> outcomes;  // the registers there
  std::set<std::uint64_t> finals;                // these states
  std::string failure;                           // the first that was met; empty: none
  std::vector<std::string> path;                 // to the failure, from the start of the threads
  bool complete = false;                         // false: a failure or `states_max` came first
};

class Simulator;
// The program's threads stand behind the first barrier, and every effect is an action of its own.
Simulator ready(const Program& program, core::Bug bug);

Exploration explore(const Program& program, std::uint64_t states_max,
                    core::Bug bug = core::Bug::none);

}  // namespace dsm::sim
