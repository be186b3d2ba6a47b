// Random programs are written with locks and barriers first (random_program.cpp); this puts other
// kinds of synchronisation into a share of them, at places where they can neither race nor
// deadlock. Programs that get none stay as they were.
#pragma once

#include <cstdint>
#include <vector>

#include "support/program.hpp"
#include "support/random.hpp"

namespace dsm::sim {

// Locks for readers and writers, and time-outs of locks.
void weave(Program& program, std::uint64_t seed);
// Behind that, in this order.
void weave_conditions(Program& program, std::uint64_t seed);
void weave_semaphores(Program& program, std::uint64_t seed);
void weave_atomics(Program& program, std::uint64_t seed);

// A few bytes of one word of a page.
struct Field {
  std::uint32_t page = 0;
  std::uint16_t offset = 0;
  std::uint8_t length = 0;
};
// Doubles the pages. The new halves of those that are there from the first join to the end, as
// fields, two in each word.
std::vector<Field> widen_pages(Program& program, Random& random);

}  // namespace dsm::sim
