// Frames that other nodes reach through the wire: made and given back where the memory and the
// transport must both know. Any thread.
#pragma once

#include <span>

#include "base/status.hpp"
#include "base/types.hpp"
#include "dsm/memory/address_space.hpp"
#include "transport/transport.hpp"

namespace dsm {

// Zeroed frames for home pages, known to the wire's device. An error leaves none behind.
Status make_frames(memory::AddressSpace& space, transport::Transport& wire,
                   std::span<const PageRun> runs);

// Gives frames back to the kernel, as AddressSpace::punch does; those that a device holds stay, and
// are cleared. REQUIRES: the run is closed.
void give_back_frames(memory::AddressSpace& space, transport::Transport& wire, PageRun run);

}  // namespace dsm
