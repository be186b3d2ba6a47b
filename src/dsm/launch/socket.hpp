// TCP sockets as values that close themselves. All are non-blocking and close-on-exec.
#pragma once

#include <chrono>

#include "base/fd.hpp"
#include "base/status.hpp"
#include "dsm/launch/endpoint.hpp"

namespace dsm::launch {

// A listening socket; port 0 chooses one. The endpoint says where it listens in fact.
struct Listener {
  Fd socket;
  Endpoint endpoint;
};
Result<Listener> listen_tcp(const Endpoint& at);

// Connects within the time-out to the first of the host's addresses that answers.
Result<Fd> connect_tcp(const Endpoint& to, std::chrono::milliseconds timeout);

// The peer of a lost machine is noticed after about this long, also when nothing is sent.
inline constexpr std::chrono::seconds silent_peer_timeout{10};
void watch_peer(int socket);

// Waits until the descriptor can be read (or written), at most for the time-out. False: it cannot
// yet.
bool wait_readable(int fd, std::chrono::milliseconds timeout);
bool wait_writable(int fd, std::chrono::milliseconds timeout);

}  // namespace dsm::launch
