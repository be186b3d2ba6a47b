// Starts one rank: its environment, descriptors, limits, and what ties its life to dsmrun's.
#pragma once

#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.hpp"
#include "dsm/launch/endpoint.hpp"
#include "dsm/launch/key.hpp"
#include "dsm/launch/socket.hpp"
#include "dsmrun_options.hpp"
#include "dsmrun_verdict.hpp"

namespace dsm::run {

// The job's key as 64 hexadecimal digits in a sealed memfd, which ranks inherit (see
// dsm/launch/job.hpp for why).
Result<Fd> key_descriptor(const launch::JobKey& key);

// What all ranks have in common.
struct Launch {
  const Options* options = nullptr;
  launch::Endpoint rendezvous;
  int key_fd = -1;
  sigset_t signal_mask{};               // as dsmrun found it
  rlimit descriptors{};                 // as dsmrun found it
  std::uint32_t first = 0;              // the lowest rank of this host
  std::vector<cpu_set_t> cores;         // by rank, from `first`; empty: not bound
  bool captured = false;                // output and errors go into pipes
  std::optional<std::uint32_t> reader;  // the rank that keeps standard input
};

struct Child {
  pid_t pid = -1;
  Fd out;  // its standard output and error, when captured
  Fd err;
};

// What waitpid says of a rank.
End end_of_process(std::uint32_t rank, int status);

// REQUIRES: this process has one thread, which lives as long as the rank may (a rank is killed when
// that thread ends).
Result<Child> spawn_rank(const Launch& launch, std::uint32_t rank);

}  // namespace dsm::run
