// ipoib: UDP on an InfiniBand interface that the kernel drives (IP over InfiniBand), made reliable,
// with emulated one-sided operations. What Fagus ran on before its port to verbs.
//
// The interface is the one of link type InfiniBand in /sys/class/net that is up and has an address,
// or the one that DSM_IPOIB_INTERFACE names. An interface of another kind is refused, unless
// DSM_IPOIB_ANY=1, for tests: then the loopback interface serves where none is named.
#pragma once

#include <string>
#include <vector>

#include "transport/transport.hpp"

namespace dsm::transport {

extern const Backend ipoib_backend;

// What the choice is made of; the tests have interfaces of their own.
struct Interface {
  std::string name;
  bool is_infiniband = false;
  bool is_up = false;
  bool has_address = false;
  bool is_loopback = false;
};

// The index of the interface to use. `named` may be empty. An error says what to do.
Result<std::size_t> choose_interface(const std::vector<Interface>& interfaces,
                                     const std::string& named, bool any);

}  // namespace dsm::transport
