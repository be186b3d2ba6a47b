// Litmus tests: small programs that race, or nearly, and what each policy says of the outcome that
// a weak memory would show. docs/memory-model.md draws them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "support/program.hpp"

namespace dsm::sim {

using Registers = std::vector<std::uint8_t>;

struct Litmus {
  const char* name;
  const char* outcome;  // the weak one, in words: "r0=1 r1=0"
  bool (*weak)(const Registers&);
  std::vector<core::Policy> forbidden_by;  // the others allow it
  Script (*script)(core::Policy);

  bool forbidden(core::Policy policy) const;
};

const std::vector<Litmus>& litmus_tests();

// The policies that the tests are run under, and their names.
const std::vector<core::Policy>& litmus_policies();
const char* name_of(core::Policy policy);

}  // namespace dsm::sim
