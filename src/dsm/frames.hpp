// Frames that other nodes reach through the wire: made and given back where the memory and the
// transport must both know. Any thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/mutex.hpp"
#include "base/status.hpp"
#include "base/types.hpp"
#include "dsm/memory/address_space.hpp"
#include "transport/transport.hpp"

namespace dsm {

// Zeroed frames for home pages, known to the wire's device. An error leaves none behind.
Status make_frames(memory::AddressSpace& space, transport::Transport& wire,
                   std::span<const PageRun> runs);

// Gives frames back to the kernel, as AddressSpace::punch does; those that a device keeps are
// cleared. True: it is done. False: peers must forget their keys first, and the completion says
// when; a zero cookie waits for nobody. REQUIRES: the run is closed, and not used before it is
// done.
bool give_back_frames(memory::AddressSpace& space, transport::Transport& wire, PageRun run,
                      transport::Cookie done);

// Runs whose frames peers have yet to let go. Any thread; allocates nothing in the steady state.
class Departures {
 public:
  // A number for a run that goes, and the run of a number, once.
  std::uint64_t begin(PageRun run);
  PageRun end(std::uint64_t number);

 private:
  Mutex mutex_;
  std::vector<PageRun> runs_ DSM_GUARDED_BY(mutex_);  // by number; empty ones are free
};

}  // namespace dsm
