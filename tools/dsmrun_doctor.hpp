// dsmrun --doctor: what this machine offers to libdsm, and what would mend the rest.
#pragma once

namespace dsm::run {

// Prints a line for each finding. Returns 0 when jobs can run here, 1 otherwise.
int examine_machine();

}  // namespace dsm::run
