// Random programs are written with locks and barriers first (random_program.cpp); this puts other
// kinds of synchronisation into a share of them, at places where they can neither race nor
// deadlock. Programs that get none stay as they were.
#pragma once

#include <cstdint>

#include "support/program.hpp"

namespace dsm::sim {

void weave(Program& program, std::uint64_t seed);

}  // namespace dsm::sim
