#include "dsm/launch/endpoint.hpp"

#include "dsm/launch/numbers.hpp"

namespace dsm::launch {
namespace {

constexpr std::size_t host_max = 253;  // the longest name that DNS allows

Status wrong(std::string_view text, const char* why) {
  return Status(Code::invalid,
                "\"" + std::string(text) + "\" is not HOST:PORT or [IPV6]:PORT: " + why);
}

}  // namespace

std::string Endpoint::text() const {
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Result<Endpoint> parse_endpoint(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return wrong(text, "there is no port");

  std::string_view host = text.substr(0, colon);
  if (!host.empty() && host.front() == '[') {
    if (host.back() != ']') return wrong(text, "\"]\" and the port do not follow \"[\"");
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return wrong(text, "an IPv6 address needs brackets");
  }
  if (host.empty()) return wrong(text, "there is no host");
  if (host.size() > host_max) return wrong(text, "the host's name is too long");
  for (const char c : host)
    if (c <= ' ' || c == '[' || c == ']' || c == 0x7f)
      return wrong(text, "the host's name has a character that none can have");

  const auto port = parse_unsigned(text.substr(colon + 1), 1, 65535);
  if (!port) return wrong(text, "the port is not a number from 1 to 65535");
  return Endpoint{std::string(host), static_cast<std::uint16_t>(*port)};
}

}  // namespace dsm::launch
