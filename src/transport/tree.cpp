#include "transport/tree.hpp"

#include <algorithm>

#include "base/check.hpp"
#include "transport/bundle.hpp"

namespace dsm::transport {
namespace {

// Part i of as many equal ones as there can be.
template <typename T>
std::span<const T> part_of(const std::vector<T>& all, std::uint32_t parts, std::uint32_t i) {
  const std::size_t begin = all.size() * i / parts;
  return std::span(all).subspan(begin, all.size() * (i + 1) / parts - begin);
}

std::uint32_t parts_of(std::size_t count, std::uint32_t fan_out) {
  return static_cast<std::uint32_t>(std::min<std::size_t>(count, fan_out));
}

}  // namespace

Tree::Tree(NodeId self, std::uint32_t nodes, std::uint32_t fan_out, std::size_t datagram)
    : self_(self),
      fan_out_(fan_out),
      room_(std::min(datagram, Bundle::bytes_max)),
      packet_(datagram),
      named_(nodes) {
  DSM_CHECK_WITH(fan_out >= 1 && fan_out <= fan_out_max, "a tree has branches",
                 {"fan_out", fan_out});
  peers_.reserve(nodes);
  aboard_.reserve(nodes);
  entries_.reserve(Bundle::entries_max(datagram));
}

bool Tree::board(NodeId peer, std::size_t bytes, Bundle& bundle) {
  return bytes != 0 && bundle.add(peer, std::span(packet_).first(bytes));
}

Tree::Sent Tree::send(std::span<const NodeId> to, Node& node) {
  peers_.clear();
  for (const NodeId peer : to) {
    if (!named_[peer.value]) peers_.push_back(peer);
    named_[peer.value] = true;
  }
  for (const NodeId peer : peers_) named_[peer.value] = false;
  Sent sent;
  if (peers_.size() <= fan_out_) return sent;
  for (std::uint32_t i = 0; i < fan_out_; ++i) {
    const std::span<const NodeId> part = part_of(peers_, fan_out_, i);
    Bundle bundle(self_, room_, Bundle::Kind::passed_on);
    const auto child = std::find_if(part.begin(), part.end(), [&](NodeId peer) {
      return board(peer, node.next_for_child(peer, packet_), bundle);
    });
    if (child == part.end()) continue;
    aboard_.assign(1, *child);
    for (const NodeId peer : part)
      if (peer != *child && board(peer, node.next_for_other(peer, packet_), bundle))
        aboard_.push_back(peer);
    if (aboard_.size() == 1 || !node.send(*child, bundle.finish())) continue;
    for (const NodeId peer : aboard_) node.left(peer);
    ++sent.datagrams;
    sent.packets += aboard_.size();
  }
  return sent;
}

Tree::Sent Tree::pass_on(ByteView datagram, Node& node) {
  entries_.clear();
  for (std::uint32_t i = 0; i < Bundle::entries(datagram); ++i)
    if (Bundle::receiver(datagram, i) != self_) entries_.push_back(i);
  Sent sent;
  const std::uint32_t parts = parts_of(entries_.size(), fan_out_);
  for (std::uint32_t i = 0; i < parts; ++i) {
    const std::span<const std::uint32_t> part = part_of(entries_, parts, i);
    Bundle bundle(self_, room_, Bundle::Kind::passed_on);
    const auto first = std::find_if(part.begin(), part.end(), [&](std::uint32_t entry) {
      const NodeId peer = Bundle::receiver(datagram, entry);
      return board(peer, node.next_for_child(peer, packet_), bundle);
    });
    sent.dropped += part.size();
    if (first == part.end()) continue;
    std::uint32_t aboard = 0;
    for (const std::uint32_t entry : part)
      if (board(Bundle::receiver(datagram, entry), Bundle::take_at(datagram, entry, packet_),
                bundle))
        ++aboard;
    const NodeId child = Bundle::receiver(datagram, *first);
    if (aboard == 0 || !node.send(child, bundle.finish())) continue;
    node.left(child);
    ++sent.datagrams;
    ++sent.packets;
    sent.dropped -= aboard;
  }
  return sent;
}

}  // namespace dsm::transport
