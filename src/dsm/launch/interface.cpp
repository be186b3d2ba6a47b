#include "dsm/launch/interface.hpp"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "base/fd.hpp"
#include "dsm/launch/numbers.hpp"

namespace dsm::launch {
namespace {

constexpr const char* discard_port = "9";  // any would do: nothing is sent

using Addresses = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

Addresses resolve(const std::string& host, int flags) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_DGRAM;
  hints.ai_flags = AI_NUMERICSERV | flags;
  addrinfo* found = nullptr;
  if (::getaddrinfo(host.c_str(), discard_port, &hints, &found) != 0) found = nullptr;
  return Addresses(found, &::freeaddrinfo);
}

std::string text_of(const sockaddr* address) {
  char text[NI_MAXHOST];
  const socklen_t size =
      address->sa_family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  return ::getnameinfo(address, size, text, sizeof text, nullptr, 0, NI_NUMERICHOST) == 0 ? text
                                                                                          : "";
}

// The bytes of an address, so that prefixes can be compared.
std::string bytes_of(const sockaddr* address) {
  if (address->sa_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in*>(address)->sin_addr;
    return {reinterpret_cast<const char*>(&v4), sizeof v4};
  }
  const auto& v6 = reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr;
  return {reinterpret_cast<const char*>(&v6), sizeof v6};
}

struct Local {
  std::string interface, text, bytes;
};

// Those of interfaces that are up, IPv4 first.
std::vector<Local> local_addresses() {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return {};
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owner(list, &::freeifaddrs);
  std::vector<Local> found;
  for (const int family : {AF_INET, AF_INET6})
    for (const ifaddrs* each = list; each != nullptr; each = each->ifa_next)
      if (each->ifa_addr != nullptr && each->ifa_addr->sa_family == family &&
          (each->ifa_flags & IFF_UP) != 0)
        found.push_back({each->ifa_name, text_of(each->ifa_addr), bytes_of(each->ifa_addr)});
  return found;
}

struct Network {
  std::string bytes;
  std::size_t bits = 0;

  bool contains(const std::string& address) const {
    if (address.size() != bytes.size()) return false;
    for (std::size_t i = 0; i < bits; ++i)
      if (((address[i / 8] ^ bytes[i / 8]) >> (7 - i % 8) & 1) != 0) return false;
    return true;
  }
};

// "10.0.0.0/8", or an address alone.
std::optional<Network> parse_network(std::string_view text) {
  const std::size_t slash = text.find('/');
  const auto address = resolve(std::string(text.substr(0, slash)), AI_NUMERICHOST);
  if (!address) return std::nullopt;
  Network network{bytes_of(address->ai_addr), 0};
  network.bits = 8 * network.bytes.size();
  if (slash == std::string_view::npos) return network;
  const auto bits = parse_unsigned(text.substr(slash + 1), 0, network.bits);
  if (!bits) return std::nullopt;
  network.bits = *bits;
  return network;
}

}  // namespace

Result<std::string> address_of_interface(std::string_view which) {
  const auto locals = local_addresses();
  for (const Local& local : locals)
    if (local.interface == which) return local.text;
  if (const auto network = parse_network(which))
    for (const Local& local : locals)
      if (network->contains(local.bytes)) return local.text;
  std::string all;
  for (const Local& local : locals)
    all += (all.empty() ? "" : ", ") + local.interface + " (" + local.text + ")";
  return Status(Code::invalid, "\"" + std::string(which) +
                                   "\" is no interface, address or network of this host; it has: " +
                                   (all.empty() ? "none" : all));
}

Result<std::string> address_towards(const std::string& host) {
  const auto addresses = resolve(host, 0);
  if (!addresses)
    return Status(Code::unavailable, "\"" + host + "\" is no host that this one knows");
  int error = 0;
  for (const addrinfo* a = addresses.get(); a != nullptr; a = a->ai_next) {
    const Fd socket(::socket(a->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (socket && ::connect(socket.get(), a->ai_addr, a->ai_addrlen) == 0)
      return near_address(socket.get());
    error = errno;
  }
  return Status(Code::unavailable, "no way to \"" + host + "\": " + std::strerror(error));
}

std::string near_address(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  if (::getsockname(socket, generic, &size) != 0) return {};
  if (generic->sa_family != AF_INET && generic->sa_family != AF_INET6) return {};
  return text_of(generic);
}

bool is_this_host(const std::string& host) {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) == 0 && host == name.data()) return true;
  const auto addresses = resolve(host, 0);
  const auto locals = local_addresses();
  for (const addrinfo* a = addresses.get(); a != nullptr; a = a->ai_next)
    for (const Local& local : locals)
      if (local.bytes == bytes_of(a->ai_addr)) return true;
  return false;
}

}  // namespace dsm::launch
