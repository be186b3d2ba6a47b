#include "datagram_job.hpp"

#include <arpa/inet.h>

#include <cstring>
#include <thread>

namespace dsm::transport {
namespace {

constexpr std::size_t loopback_mtu = 65536;

std::unique_ptr<DatagramPort> udp_on_loopback(std::uint32_t self, std::uint32_t nodes) {
  UdpPort::Setup setup{.wire = "udp",
                       .self = NodeId(self),
                       .nodes = nodes,
                       .local_size = sizeof(sockaddr_in),
                       .mtu = loopback_mtu,
                       .interface = "lo"};
  auto& address = reinterpret_cast<sockaddr_in&>(setup.local);
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto port = UdpPort::open(setup);
  if (!port.ok()) throw std::runtime_error(port.status().message());
  return std::move(port).value();
}

}  // namespace

ChannelNode::ChannelNode(std::uint32_t self, std::uint32_t nodes, const ChannelOptions& options) {
  auto made = std::make_unique<TestPort>(udp_on_loopback(self, nodes), options.slots,
                                         options.multicast, nodes);
  port = made.get();
  port->fan_out_branches = options.fan_out;
  auto opened = ReliableChannel::make(std::move(made), {.wire = "udp",
                                                        .self = NodeId(self),
                                                        .nodes = nodes,
                                                        .job_key = options.key,
                                                        .connect_timeout_ms = options.timeout_ms,
                                                        .dead_after = options.dead_after,
                                                        .linger = options.linger});
  if (!opened.ok()) throw std::runtime_error(opened.status().message());
  channel = std::move(opened).value();
}

std::size_t ChannelNode::poll() {
  ReliableChannel::Arrival arrivals[16];
  const std::size_t count = channel->poll(arrivals);
  for (const auto& each : std::span(arrivals).first(count)) {
    got.push_back(
        {each.kind, each.lane, each.peer,
         std::string(reinterpret_cast<const char*>(each.bytes.data()), each.bytes.size())});
    if (each.kind == ReliableChannel::Arrival::Kind::message) channel->recycle(each);
  }
  return count;
}

std::size_t ChannelNode::count(ReliableChannel::Arrival::Kind kind) const {
  std::size_t found = 0;
  for (const Got& each : got) found += each.kind == kind;
  return found;
}

void ChannelNode::inject(ByteView bytes) {
  sockaddr_in to{};
  socklen_t size = sizeof to;
  ASSERT_EQ(::getsockname(port->udp().socket(), reinterpret_cast<sockaddr*>(&to), &size), 0);
  const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::sendto(socket.get(), bytes.data(), bytes.size(), 0,
                     reinterpret_cast<const sockaddr*>(&to), size),
            static_cast<ssize_t>(bytes.size()))
      << std::strerror(errno);
}

ChannelNodes channel_nodes(std::uint32_t count, const ChannelOptions& options) {
  ChannelNodes nodes;
  for (std::uint32_t i = 0; i < count; ++i)
    nodes.push_back(std::make_unique<ChannelNode>(i, count, options));
  return nodes;
}

std::vector<Status> connect_channels(const ChannelNodes& nodes) {
  std::vector<Bytes> addresses;
  for (const auto& node : nodes) addresses.push_back(node->channel->address());
  std::vector<Status> results(nodes.size());
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < nodes.size(); ++i)
    threads.emplace_back([&, i] { results[i] = nodes[i]->channel->connect(addresses); });
  for (auto& thread : threads) thread.join();
  return results;
}

bool pump_channels(const ChannelNodes& nodes, const std::function<bool()>& done, double seconds) {
  const double end = now_seconds() + seconds;
  while (!done()) {
    std::size_t count = 0;
    for (const auto& node : nodes)
      if (node) count += node->poll();
    if (count == 0) {
      if (now_seconds() > end) return false;
      std::this_thread::yield();
    }
  }
  return true;
}

}  // namespace dsm::transport
