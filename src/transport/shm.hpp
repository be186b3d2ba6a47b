// shm: the processes of one host and one user.
//
// Messages go through one ring a sender in the receiver's memfd; those too large for a quarter of
// the ring travel each in a memfd of its own, which the receiver maps. One-sided operations are
// copies by the poster into the peer's exposed memory, done before post() returns; their
// completions come from poll(). Nodes meet, pass descriptors and notice each other's end over
// abstract Unix sockets: nothing has a name in a file system, so nothing is left behind however a
// process ends. poll() looks at memory only; sockets are looked at after a sleep and every so many
// polls.
#pragma once

#include "transport/transport.hpp"

namespace dsm::transport {

extern const Backend shm_backend;

}  // namespace dsm::transport
