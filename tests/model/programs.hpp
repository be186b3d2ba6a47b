// Programs whose every interleaving is tried.
#pragma once

#include <string>
#include <vector>

#include "support/program.hpp"

namespace dsm::sim {

struct Named {
  const char* name;
  Script (*script)();
};

// Two or three nodes, a few operations: small enough to be tried without a reduction.
const std::vector<Named>& small_programs();
const Named& small_program(const std::string& name);

// Two threads of a node and two locks: too many states for that.
Script two_threads_and_two_locks();

}  // namespace dsm::sim
