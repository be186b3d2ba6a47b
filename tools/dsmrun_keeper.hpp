// The keeper: dsmrun's second process, which starts the ranks and watches over them. It serves the
// rendezvous, passes on signals and output, ends the job at the first failure, and leaves nothing
// behind.
//
// dsmrun is two processes so that kill -9 of either leaves nothing: when the front (front.hpp) dies
// the keeper kills the job; when the keeper dies its ranks die with it (PR_SET_PDEATHSIG), and the
// front kills what they had started.
#pragma once

#include <signal.h>

#include "dsm/launch/socket.hpp"
#include "dsmrun_options.hpp"

namespace dsm::run {

// `front_alive` reads as ended when the front dies. `mask` is the signal mask for the ranks.
// Returns dsmrun's exit code. REQUIRES: the signals of forwarded_signals() and SIGCHLD are blocked;
// the process has one thread.
int keep_job(const Options& options, Fd front_alive, const sigset_t& mask);

// Signals that dsmrun passes on to every rank.
sigset_t forwarded_signals();

}  // namespace dsm::run
