// verbs: messages by UD send and receive, made reliable (reliable_channel.hpp), and one-sided
// operations by RDMA over one RC queue pair a peer. Needs no connection manager and no subnet
// manager of its own: what nodes must know of each other travels in their addresses.
//
// verbs-ud: the same messages, and one-sided operations made of them; no RDMA. What Fagus did as it
// was published.
//
// In a build without libibverbs both say that they are not in it.
#pragma once

#include "transport/transport.hpp"

namespace dsm::transport {

extern const Backend verbs_backend;
extern const Backend verbs_ud_backend;

}  // namespace dsm::transport
