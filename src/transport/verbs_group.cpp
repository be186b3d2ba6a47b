#include "transport/verbs_group.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "transport/handshake.hpp"

namespace dsm::transport {
namespace {

// 239.192.0.0/14: addresses that stay within an organisation.
constexpr std::uint32_t group_prefix = 0xefc00000;
constexpr std::uint32_t group_mask = 0x0003ffff;

// In network order.
std::uint32_t group_of(std::string_view job_key) {
  const LinkKey key = link_key(job_key, "verbs multicast group");
  std::uint32_t value;
  std::memcpy(&value, key.data(), sizeof value);
  return htonl(group_prefix | (value & group_mask));
}

// An IPv4 address as a GID.
std::array<std::uint8_t, 16> mapped(std::uint32_t address) {
  std::array<std::uint8_t, 16> gid{};
  gid[10] = gid[11] = 0xff;
  std::memcpy(gid.data() + 12, &address, sizeof address);
  return gid;
}

Status no_group(const std::string& why) {
  return Status(Code::unavailable, why);
}

}  // namespace

Result<VerbsGroup> VerbsGroup::join(const VerbsDevice& device, ibv_qp* pair,
                                    std::string_view job_key) {
  if (!device.port().ethernet)
    return no_group("on InfiniBand its groups are the subnet manager's, reached by librdmacm only");
  if (device.limits().groups == 0) return no_group("the device has no multicast groups");
  ibv_gid_entry own{};
  if (::ibv_query_gid_ex(device.context(), device.port_number(), device.gid_index(), &own, 0) != 0)
    return no_group(std::string("its GID cannot be asked for: ") + std::strerror(errno));
  const GidDescription gid{.bytes = device.port().gid};
  if (own.gid_type != IBV_GID_TYPE_ROCE_V2 || !gid.is_ipv4() || own.ndev_ifindex == 0)
    return no_group("it takes RoCE v2 and an IPv4 address: choose such a GID (DSM_VERBS=gid=)");

  VerbsGroup group;
  const std::uint32_t address = group_of(job_key);
  group.port_ = {.ethernet = true, .gid = mapped(address), .mtu = device.port().mtu};
  std::memcpy(group.gid_.raw, group.port_.gid.data(), group.port_.gid.size());
  group.membership_ = Fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ip_mreqn membership{};
  membership.imr_multiaddr.s_addr = address;
  membership.imr_ifindex = static_cast<int>(own.ndev_ifindex);
  if (!group.membership_ || ::setsockopt(group.membership_.get(), IPPROTO_IP, IP_ADD_MEMBERSHIP,
                                         &membership, sizeof membership) != 0)
    return no_group(std::string("its interface joins no IP group: ") + std::strerror(errno));
  if (const int failed = ::ibv_attach_mcast(pair, &group.gid_, 0))
    return no_group(std::string("the device joins no group: ") + std::strerror(failed));
  group.pair_ = pair;
  return group;
}

VerbsGroup::VerbsGroup(VerbsGroup&& other) noexcept
    : pair_(std::exchange(other.pair_, nullptr)),
      gid_(other.gid_),
      port_(other.port_),
      membership_(std::move(other.membership_)) {}

VerbsGroup& VerbsGroup::operator=(VerbsGroup&& other) noexcept {
  std::swap(pair_, other.pair_);
  std::swap(gid_, other.gid_);
  std::swap(port_, other.port_);
  std::swap(membership_, other.membership_);
  return *this;
}

VerbsGroup::~VerbsGroup() {
  if (pair_) ::ibv_detach_mcast(pair_, &gid_, 0);
}

}  // namespace dsm::transport
