#include "transport/ipoib.hpp"

#include <ifaddrs.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netdb.h>
#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "transport/datagram_transport.hpp"
#include "transport/udp_port.hpp"

namespace dsm::transport {
namespace {

constexpr std::size_t mtu_unknown = 1500;

struct Found {
  Interface about;
  sockaddr_storage address{};
  socklen_t size = 0;
  std::size_t mtu = mtu_unknown;
};

std::size_t number_in(const std::string& path, std::size_t otherwise) {
  std::ifstream file(path);
  std::size_t value = 0;
  return file >> value ? value : otherwise;
}

// `family`: AF_INET or AF_INET6 only; AF_UNSPEC: IPv4 where an interface has both.
Result<std::vector<Found>> find_interfaces(int family) {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0)
    return Status(Code::unavailable, std::string("ipoib: getifaddrs: ") + std::strerror(errno));
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner(list, ::freeifaddrs);
  std::vector<Found> found;
  for (const ifaddrs* each = list; each; each = each->ifa_next) {
    const std::string name = each->ifa_name;
    auto at = std::find_if(found.begin(), found.end(),
                           [&](const Found& f) { return f.about.name == name; });
    if (at == found.end()) {
      const std::string folder = "/sys/class/net/" + name;
      found.push_back(
          {.about = {.name = name,
                     .is_infiniband = number_in(folder + "/type", 0) == ARPHRD_INFINIBAND,
                     .is_up = (each->ifa_flags & IFF_UP) != 0,
                     .is_loopback = (each->ifa_flags & IFF_LOOPBACK) != 0},
           .mtu = number_in(folder + "/mtu", mtu_unknown)});
      at = found.end() - 1;
    }
    if (!each->ifa_addr) continue;
    const int kind = each->ifa_addr->sa_family;
    if ((kind != AF_INET && kind != AF_INET6) || (family != AF_UNSPEC && kind != family)) continue;
    const bool better =
        !at->about.has_address || (kind == AF_INET && at->address.ss_family == AF_INET6);
    if (!better) continue;
    at->about.has_address = true;
    at->size = kind == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    std::memcpy(&at->address, each->ifa_addr, at->size);
    if (kind == AF_INET)
      reinterpret_cast<sockaddr_in&>(at->address).sin_port = 0;
    else
      reinterpret_cast<sockaddr_in6&>(at->address).sin6_port = 0;
  }
  return found;
}

std::string variable(const char* name) {
  const char* const text = std::getenv(name);
  return text ? text : "";
}

bool any_allowed() {
  return variable("DSM_IPOIB_ANY") == "1";
}

// A bind host chooses the kind of address, as the suite of all wires does.
Result<Found> find_interface(const std::string& bind_host) {
  const bool v6 = bind_host.find(':') != std::string::npos;
  auto found = find_interfaces(v6 ? AF_INET6 : AF_UNSPEC);
  if (!found.ok()) return found.status();
  std::vector<Interface> interfaces;
  for (const Found& each : *found) interfaces.push_back(each.about);
  const auto chosen = choose_interface(interfaces, variable("DSM_IPOIB_INTERFACE"), any_allowed());
  if (!chosen.ok()) return chosen.status();
  return found.value()[chosen.value()];
}

Status usable_ipoib() {
  const auto found = find_interface("");
  return found.ok() ? Status() : found.status();
}

Result<std::unique_ptr<Transport>> open_ipoib(const Options& options) {
  auto found = find_interface(options.bind_host);
  if (!found.ok()) return found.status();
  auto port = UdpPort::open({.wire = "ipoib",
                             .self = options.self,
                             .nodes = options.nodes,
                             .local = found->address,
                             .local_size = found->size,
                             .mtu = found->mtu,
                             .interface = found->about.name});
  if (!port.ok()) return port.status();
  return make_datagram_transport(std::move(port).value(), options, "ipoib");
}

}  // namespace

Result<std::size_t> choose_interface(const std::vector<Interface>& interfaces,
                                     const std::string& named, bool any) {
  std::string kinds;
  for (const Interface& each : interfaces)
    if (each.is_infiniband) kinds += (kinds.empty() ? "" : ", ") + each.name;
  const std::string list = kinds.empty() ? "this host has none" : "those that are: " + kinds;
  const auto usable = [](const Interface& i) -> Status {
    if (!i.is_up)
      return Status(Code::unavailable,
                    "ipoib: interface " + i.name + " is down: ip link set " + i.name + " up");
    if (!i.has_address)
      return Status(Code::unavailable, "ipoib: interface " + i.name +
                                           " has no address: ip address add ADDRESS/BITS dev " +
                                           i.name);
    return {};
  };
  if (!named.empty()) {
    for (std::size_t i = 0; i < interfaces.size(); ++i) {
      if (interfaces[i].name != named) continue;
      if (!interfaces[i].is_infiniband && !any)
        return Status(Code::invalid, "ipoib: interface " + named +
                                         " (DSM_IPOIB_INTERFACE) is not IP over InfiniBand; " +
                                         list);
      if (Status s = usable(interfaces[i]); !s.ok()) return s;
      return i;
    }
    return Status(Code::invalid,
                  "ipoib: no interface is called '" + named +
                      "' (DSM_IPOIB_INTERFACE); of IP over InfiniBand " +
                      (kinds.empty() ? "this host has none" : "there are: " + kinds));
  }
  Status why(Code::unavailable,
             "ipoib: no interface of IP over InfiniBand (link type 32): see `ip -d link`, or load "
             "the kernel's module ib_ipoib");
  for (std::size_t i = 0; i < interfaces.size(); ++i) {
    if (!interfaces[i].is_infiniband) continue;
    const Status s = usable(interfaces[i]);
    if (s.ok()) return i;
    why = s;
  }
  for (std::size_t i = 0; any && i < interfaces.size(); ++i)
    if (interfaces[i].is_loopback && usable(interfaces[i]).ok()) return i;
  return why;
}

constinit const Backend ipoib_backend{.name = "ipoib",
                                      .summary = "UDP on an interface of IP over InfiniBand",
                                      .joins_nodes = true,
                                      .usable = usable_ipoib,
                                      .open = open_ipoib};

}  // namespace dsm::transport
