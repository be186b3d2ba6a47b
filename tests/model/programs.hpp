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

// Three nodes, two pages, two locks: what every node does, round after round. Nobody races, so
// every read is held against the one value that it may see.
struct Rounds {
  const char* name;
  const char* what;  // of one round
  void (*append)(Script& script, std::uint32_t round);
  std::uint32_t push_after = 0;  // barriers bring pages after so many (core::Config)
};
const std::vector<Rounds>& round_kinds();
Program rounds_of(const Rounds& kind, std::uint32_t rounds, core::Policy policy);

}  // namespace dsm::sim
