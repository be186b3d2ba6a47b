// How this process takes part in a job: its number, the number of nodes, where they meet, and the
// key that admits it.
//
// The key never stands on a command line, where every user of the machine reads it. dsmrun hands it
// over as an inherited descriptor of a sealed memfd (DSM_JOB_KEY_FD) rather than in the
// environment: an environment is copied into every program that a node starts, into core files and
// into whatever prints it for debugging; the descriptor is closed on exec once it has been read,
// needs no file system, and goes with the last process of the job. A file (DSM_JOB_KEY_FILE) serves
// jobs that are started by hand on several machines, and DSM_JOB_KEY what can pass nothing but
// variables.
#pragma once

#include <cstdint>

#include "base/status.hpp"
#include "base/types.hpp"
#include "dsm/launch/endpoint.hpp"
#include "dsm/launch/key.hpp"
#include "dsm/launch/settings.hpp"

namespace dsm::launch {

struct Job {
  NodeId rank{0};
  std::uint32_t size = 1;
  Endpoint rendezvous;    // empty when size == 1: a single node meets nobody
  JobKey key;             // random when nobody gave one and size == 1
  bool launched = false;  // by dsmrun, which serves the rendezvous; otherwise node 0 serves it
  std::chrono::seconds join_timeout{};
};

// No variable of the job set: one node, alone. Variables that contradict each other are errors that
// name them. Reads the key's file or descriptor, which it marks close-on-exec.
Result<Job> read_job(const Settings& settings);

}  // namespace dsm::launch
