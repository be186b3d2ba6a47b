// DatagramTransport: a Transport over any wire of datagrams. Messages are ReliableChannel's; one-
// sided operations are emulated (emulated_rma.hpp), their requests and replies in its in_order
// lane, so the target's polling serves them in posted order.
//
// ipoib and verbs-ud are this over their ports.
#pragma once

#include <memory>

#include "transport/datagram.hpp"
#include "transport/reliable_channel.hpp"
#include "transport/transport.hpp"

namespace dsm::transport {

// The channel of the backend `name`, over its port, as Options and the environment say: the port
// may be wrapped by LossyPort (lossy_port.hpp).
Result<std::unique_ptr<ReliableChannel>> make_channel(std::unique_ptr<DatagramPort> port,
                                                      const Options& options, const char* name);

// `name` is the backend's; REQUIRES: lives as long as the transport. The channel is
// make_channel()'s.
Result<std::unique_ptr<Transport>> make_datagram_transport(std::unique_ptr<DatagramPort> port,
                                                           const Options& options,
                                                           const char* name);

}  // namespace dsm::transport
