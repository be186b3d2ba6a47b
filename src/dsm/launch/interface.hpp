// Which of this host's addresses others are given. Addresses are numeric text: "10.0.0.7",
// "fe80::1%eth0". Pure but for asking the kernel; any thread.
#pragma once

#include <string>
#include <string_view>

#include "base/status.hpp"

namespace dsm::launch {

// An address of this host, named by its interface ("eth1"), by itself, or by its network
// ("10.0.0.0/8"), which may be written alike on every host. IPv4 comes first. An error lists the
// addresses that there are.
Result<std::string> address_of_interface(std::string_view which);

// The address from which this host would talk to another. Nothing is sent.
Result<std::string> address_towards(const std::string& host);

// The near address of a connected socket; empty when it has none.
std::string near_address(int socket);

// True when the name or address is this host's own.
bool is_this_host(const std::string& host);

}  // namespace dsm::launch
