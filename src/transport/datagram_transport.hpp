// DatagramTransport: a Transport over any wire of datagrams. Messages are ReliableChannel's; one-
// sided operations are emulated (emulated_rma.hpp), their requests and replies in its in_order lane,
// so the target's polling serves them in posted order.
//
// ipoib and verbs-ud are this over their ports.
#pragma once

#include <memory>

#include "transport/datagram.hpp"
#include "transport/transport.hpp"

namespace dsm::transport {

// `name` is the backend's; REQUIRES: lives as long as the transport. The port may be wrapped by
// LossyPort (lossy_port.hpp), as the environment says.
Result<std::unique_ptr<Transport>> make_datagram_transport(std::unique_ptr<DatagramPort> port,
                                                           const Options& options,
                                                           const char* name);

}  // namespace dsm::transport
