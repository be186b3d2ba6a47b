// mesh: one authenticated stream to every other node. Shared by the backends that meet over
// sockets.
//
// Every node dials the nodes of lower rank and accepts those of higher rank, all at once. What
// connects to the listening socket and is no node of the job (a port scanner, another job, a
// half-open connection) is dropped and disturbs nobody.
#pragma once

#include <sys/socket.h>

#include <functional>
#include <span>
#include <vector>

#include "base/fd.hpp"
#include "transport/transport.hpp"

namespace dsm::transport {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

struct MeshOptions {
  const char* wire;  // names the backend in messages and binds the key to it
  NodeId self;
  std::uint32_t nodes;
  std::string_view job_key;
  int timeout_ms;
  bool same_user = false;  // Unix sockets: a peer of another user is a stranger
};

// addresses[i] is where node i listens; this node's own is not used. On success stream i leads to
// node i (none to oneself), non-blocking, with nothing read beyond the handshake. An error names
// the node that is missing or that refused.
Result<std::vector<Fd>> connect_mesh(int listener, std::span<const SocketAddress> addresses,
                                     const MeshOptions& options);

}  // namespace dsm::transport
