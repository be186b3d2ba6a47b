// HOST:PORT, as a user writes it: "10.0.0.1:7000", "node3:7000", "[fe80::1%eth0]:7000". A value.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.hpp"

namespace dsm::launch {

struct Endpoint {
  std::string host;
  std::uint16_t port = 0;

  std::string text() const;
  bool operator==(const Endpoint&) const = default;
};

// Total: any text gives an endpoint or an error that says what is missing. Names are not looked up.
Result<Endpoint> parse_endpoint(std::string_view text);

}  // namespace dsm::launch
