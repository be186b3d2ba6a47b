// loopback: nodes within one process. As a backend of a job it has one node, and is the plainest
// example of the contract. A LoopbackFabric joins several, for tests and for programs that simulate
// a cluster.
#pragma once

#include <memory>

#include "transport/transport.hpp"

namespace dsm::transport {

// Thread-safe. Endpoints may outlive the fabric.
class LoopbackFabric {
 public:
  explicit LoopbackFabric(std::uint32_t nodes);

  // Node i's transport. REQUIRES: called once for each node.
  std::unique_ptr<Transport> endpoint(NodeId node);

  struct State;

 private:
  std::shared_ptr<State> state_;
};

extern const Backend loopback_backend;

}  // namespace dsm::transport
