#include "transport/udp_port.hpp"

#include <linux/sock_diag.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "transport/fence.hpp"

namespace dsm::transport {
namespace {

constexpr std::size_t udp_bytes = 8;
constexpr std::size_t ip4_bytes = 20;
constexpr std::size_t ip6_bytes = 40;
constexpr std::size_t payload_least = 512;
constexpr std::size_t payload_most = 65535 - ip4_bytes - udp_bytes - 1;
constexpr std::size_t receive_buffer_wanted = std::size_t{16} << 20;
constexpr std::size_t send_buffer_wanted = std::size_t{4} << 20;
// A shorter datagram is chosen when a peer could have fewer of the longest ones under way.
constexpr std::size_t slots_wanted = 24;
constexpr std::size_t batch_max = 32;      // datagrams of one recvmmsg()
constexpr std::size_t buffers_count = 64;  // taken and not recycled, at most

// What the kernel charges a socket for one datagram: never more than twice its bytes, rounded up,
// and its own header.
constexpr std::size_t charge(std::size_t payload) {
  return 2 * payload + 2048;
}

Status system_error(const char* wire, const char* call) {
  const bool few = errno == EMFILE || errno == ENFILE;
  return Status(few || errno == ENOMEM || errno == ENOBUFS ? Code::exhausted : Code::unavailable,
                std::string(wire) + ": " + call + ": " + std::strerror(errno) +
                    (few ? " (raise ulimit -n)" : ""));
}

// Asks for a buffer; as root beyond the system's limit. Returns what was given, as the kernel
// counts.
std::size_t set_buffer(int socket, int option, int forced, std::size_t wanted) {
  const int bytes = static_cast<int>(wanted);
  if (::setsockopt(socket, SOL_SOCKET, forced, &bytes, sizeof bytes) != 0)
    ::setsockopt(socket, SOL_SOCKET, option, &bytes, sizeof bytes);
  int given = 0;
  socklen_t size = sizeof given;
  if (::getsockopt(socket, SOL_SOCKET, option, &given, &size) != 0) return 0;
  return static_cast<std::size_t>(std::max(given, 0));
}

bool would_wait(int error) {
  return error == EAGAIN || error == EINTR || error == ENOBUFS || error == ENOMEM;
}

}  // namespace

UdpPort::UdpPort(const Setup& setup) : setup_(setup) {}

Result<std::unique_ptr<DatagramPort>> UdpPort::open(const Setup& setup) {
  std::unique_ptr<UdpPort> port(new UdpPort(setup));
  const Status made = port->make();
  if (!made.ok()) return made;
  return std::unique_ptr<DatagramPort>(std::move(port));
}

Status UdpPort::make() {
  const int family = setup_.local.ss_family;
  socket_ = Fd(::socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  epoll_fd_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
  if (!socket_ || !epoll_fd_) return system_error(setup_.wire, "socket and epoll");
  if (::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&setup_.local), setup_.local_size) !=
      0)
    return system_error(setup_.wire, "bind");
  epoll_event event{.events = EPOLLIN, .data = {}};
  if (::epoll_ctl(epoll_fd_.get(), EPOLL_CTL_ADD, socket_.get(), &event) != 0)
    return system_error(setup_.wire, "epoll_ctl");

  set_buffer(socket_.get(), SO_SNDBUF, SO_SNDBUFFORCE, send_buffer_wanted);
  buffer_bytes_ = set_buffer(socket_.get(), SO_RCVBUF, SO_RCVBUFFORCE, receive_buffer_wanted);
  const std::size_t headers = (family == AF_INET ? ip4_bytes : ip6_bytes) + udp_bytes;
  const std::size_t longest =
      std::clamp(setup_.mtu > headers ? setup_.mtu - headers : 0, payload_least, payload_most);
  const std::size_t senders = std::max<std::size_t>(1, setup_.nodes - 1);
  const std::size_t share = buffer_bytes_ / senders / slots_wanted;
  const std::size_t affordable = share > charge(payload_least) ? (share - 2048) / 2 : payload_least;
  payload_ = std::min(longest, affordable);

  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  if (::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&bound), &size) != 0)
    return system_error(setup_.wire, "getsockname");
  Writer writer(address_);
  if (family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(bound);
    writer.put(std::uint8_t{4});
    writer.put(static_cast<std::uint16_t>(v4.sin_port));
    writer.put_bytes(std::as_bytes(std::span(&v4.sin_addr, 1)));
  } else {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(bound);
    writer.put(std::uint8_t{6});
    writer.put(static_cast<std::uint16_t>(v6.sin6_port));
    writer.put_bytes(std::as_bytes(std::span(&v6.sin6_addr, 1)));
  }
  writer.put(static_cast<std::uint32_t>(payload_));

  for (std::size_t i = 0; i < buffers_count; ++i) {
    buffers_.push_back(std::make_unique_for_overwrite<std::byte[]>(payload_ + 1));
    free_.push_back(static_cast<std::uint32_t>(i));
  }
  headers_.resize(batch_max);
  places_.resize(batch_max);
  return {};
}

Result<UdpPort::Peer> UdpPort::decode(ByteView bytes, NodeId node) const {
  Reader reader(bytes);
  Peer peer;
  const auto family = reader.get<std::uint8_t>();
  const auto port = reader.get<std::uint16_t>();
  if (family == 4) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(peer.address);
    v4.sin_family = AF_INET;
    v4.sin_port = port;
    const ByteView host = reader.get_bytes(sizeof v4.sin_addr);
    if (reader.ok()) std::memcpy(&v4.sin_addr, host.data(), host.size());
    peer.size = sizeof v4;
  } else {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(peer.address);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = port;
    const ByteView host = reader.get_bytes(sizeof v6.sin6_addr);
    if (reader.ok()) std::memcpy(&v6.sin6_addr, host.data(), host.size());
    // A link's own addresses are told apart by this node's interface.
    v6.sin6_scope_id = reinterpret_cast<const sockaddr_in6&>(setup_.local).sin6_scope_id;
    peer.size = sizeof v6;
  }
  const auto payload = reader.get<std::uint32_t>();
  const std::string name =
      std::string(setup_.wire) + ": the address of node " + std::to_string(node.value);
  if (!reader.done() || (family != 4 && family != 6) || payload < payload_least)
    return Status(Code::invalid, name + " is none: does it use " + setup_.wire + " too?");
  if (peer.address.ss_family != setup_.local.ss_family)
    return Status(
        Code::invalid,
        name + (family == 4 ? " is IPv4, this node's is IPv6" : " is IPv6, this node's is IPv4") +
            ": give both interfaces addresses of one kind");
  peer.payload = std::min<std::size_t>(payload, payload_);
  return peer;
}

Status UdpPort::connect(std::span<const Bytes> addresses) {
  for (std::uint32_t i = 0; i < addresses.size(); ++i) {
    auto peer = decode(addresses[i], NodeId(i));
    if (!peer.ok()) return peer.status();
    peers_.push_back(*peer);
  }
  slots_ = buffer_bytes_ / charge(payload_);
  return {};
}

std::string UdpPort::how_to_enlarge() const {
  return ": sysctl -w net.core.rmem_max=" + std::to_string(receive_buffer_wanted) + " (now " +
         std::to_string(buffer_bytes_) + " bytes are given)";
}

Status UdpPort::send(NodeId to, ByteView header, ByteView body, Urgency) {
  const Peer& peer = peers_[to.value];
  iovec parts[] = {{const_cast<std::byte*>(header.data()), header.size()},
                   {const_cast<std::byte*>(body.data()), body.size()}};
  msghdr message{};
  message.msg_name = const_cast<sockaddr_storage*>(&peer.address);
  message.msg_namelen = peer.size;
  message.msg_iov = parts;
  message.msg_iovlen = body.empty() ? 1 : 2;
  if (::sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return {};
  const int error = errno;
  if (would_wait(error)) {
    blocked_.store(true, std::memory_order_relaxed);
    return Status::would_block();
  }
  if (error == ECONNREFUSED) return {};  // of an earlier datagram; its peer may only be late
  const char* mend = "see routes and firewalls";
  if (error == EMSGSIZE) mend = "the interface's MTU was lowered; start the job again";
  if (error == ENETDOWN || error == ENODEV) mend = "set the interface up again";
  return Status(Code::unavailable, std::string(setup_.wire) + ": interface " + setup_.interface +
                                       " sends nothing to node " + std::to_string(to.value) + ": " +
                                       std::strerror(error) + " (" + mend + ")");
}

std::size_t UdpPort::poll(std::span<Datagram> out) {
  const std::size_t wanted = std::min({out.size(), batch_max, free_.size()});
  if (wanted == 0) return 0;
  for (std::size_t i = 0; i < wanted; ++i) {
    const std::uint32_t buffer = free_[free_.size() - 1 - i];
    places_[i] = {buffers_[buffer].get(), payload_ + 1};
    headers_[i] = {};
    headers_[i].msg_hdr.msg_iov = &places_[i];
    headers_[i].msg_hdr.msg_iovlen = 1;
  }
  const int received = ::recvmmsg(socket_.get(), headers_.data(), static_cast<unsigned>(wanted),
                                  MSG_DONTWAIT, nullptr);
  if (received <= 0) return 0;
  for (int i = 0; i < received; ++i) {
    const std::uint32_t buffer = free_.back();
    free_.pop_back();
    // One byte more than a datagram may have: it was longer, and is none of this job's.
    const std::size_t size = headers_[static_cast<std::size_t>(i)].msg_len;
    out[static_cast<std::size_t>(i)] = {
        .bytes = ByteView(buffers_[buffer].get(), size > payload_ ? 0 : size), .buffer = buffer};
  }
  return static_cast<std::size_t>(received);
}

void UdpPort::recycle(std::span<const Datagram> datagrams) {
  for (const Datagram& each : datagrams) free_.push_back(static_cast<std::uint32_t>(each.buffer));
}

// A datagram that is there makes the descriptor readable at once.
bool UdpPort::arm(Urgency) {
  const bool wanted = blocked_.exchange(false, std::memory_order_relaxed);
  if (wanted == watching_) return true;
  epoll_event event{.events = EPOLLIN | (wanted ? EPOLLOUT : 0u), .data = {}};
  if (::epoll_ctl(epoll_fd_.get(), EPOLL_CTL_MOD, socket_.get(), &event) != 0) return false;
  watching_ = wanted;
  return true;
}

std::uint64_t UdpPort::overruns() const {
  std::array<std::uint32_t, SK_MEMINFO_VARS> values{};
  socklen_t size = sizeof values;
  if (::getsockopt(socket_.get(), SOL_SOCKET, SO_MEMINFO, values.data(), &size) != 0) return 0;
  return values[SK_MEMINFO_DROPS];
}

}  // namespace dsm::transport
