// A node's end of the TCP rendezvous. Used through rendezvous.hpp.
#pragma once

#include <memory>

#include "dsm/launch/rendezvous.hpp"
#include "dsm/launch/rendezvous_server.hpp"

namespace dsm::launch {

// Connects, authenticates both ways, joins, and waits for all others. `served` is the server that
// this node runs for the job, or null; it lives as long as the client and ends after it.
Result<std::unique_ptr<Rendezvous>> join_over_tcp(const Job& job, const Agreement& agreement,
                                                  std::unique_ptr<RendezvousServer> served);

}  // namespace dsm::launch
