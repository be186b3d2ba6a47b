// The front: the process that the user started and signals. It starts the keeper, passes signals
// on, stops and continues with the shell's job control, and exits with the job's code.
#pragma once

#include "dsmrun_options.hpp"

namespace dsm::run {

// Returns in two processes: in the front when the job is over, and in the keeper (see
// dsmrun_keeper.hpp). The value is the exit code of either.
int run_job(const Options& options);

}  // namespace dsm::run
