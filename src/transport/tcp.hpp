// tcp: streams between hosts, IPv4 and IPv6, one a pair of nodes. One-sided operations are
// emulated: the target's polling serves them (emulated_rma.hpp).
//
// send() and post() hand what they can to the socket and keep the rest, up to a limit, for poll()
// to send. poll() tries the sockets of few peers directly, which is what spinning wants, and asks
// epoll about many. A peer whose stream ends is down; keep-alive probes find a host that vanished
// while the stream is idle.
#pragma once

#include "transport/transport.hpp"

namespace dsm::transport {

extern const Backend tcp_backend;

}  // namespace dsm::transport
