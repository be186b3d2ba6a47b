// The Unix socket between two nodes of one host: passes descriptors, each with a record that says
// what it is for. When it closes, the peer is gone.
#pragma once

#include "base/fd.hpp"
#include "base/status.hpp"

namespace dsm::transport {

struct ControlRecord {
  enum class Kind : std::uint32_t {
    inbox = 1,     // the memfd of the sender's rings
    bell = 2,      // the eventfd that wakes the sender of the record
    exposure = 3,  // exposed memory `id`: `size` bytes of the memfd from `offset`
    large = 4,     // the memfd of large message `id`: `size` bytes
  };
  Kind kind{};
  std::uint32_t id = 0;
  std::uint64_t size = 0;
  std::uint64_t offset = 0;
};

// would_block when the socket is full, peer_lost when it is closed. The descriptor stays the
// caller's. Any thread, one at a time.
Status send_control(int socket, const ControlRecord& record, int fd);

// The same, waiting for room up to a time limit.
Status send_control_waiting(int socket, const ControlRecord& record, int fd, int timeout_ms);

enum class Received { record, nothing, closed };

// Takes one record off the socket without waiting. A record that is none, or comes without its
// descriptor, closes.
Received receive_control(int socket, ControlRecord& record, Fd& fd);

}  // namespace dsm::transport
