#include "support/wire_simulator.hpp"

#include <algorithm>
#include <cstring>

#include "transport/bundle.hpp"

namespace dsm::transport {
namespace {

constexpr std::size_t size_least = 16;  // a message's number and size

std::byte filling(std::uint64_t number, std::size_t at) {
  return static_cast<std::byte>(sim::mix(number * 1000003 + at / 8) >> (at % 8 * 8));
}

Bytes content(std::uint64_t number, std::size_t size) {
  Bytes bytes(size);
  const std::uint64_t head[2] = {number, size};
  std::memcpy(bytes.data(), head, sizeof head);
  for (std::size_t i = sizeof head; i < size; ++i) bytes[i] = filling(number, i);
  return bytes;
}

}  // namespace

// Where a tree grows.
class WireSimulator::Here final : public Tree::Node {
 public:
  Here(WireSimulator& net, std::uint32_t node) : net_(net), node_(node) {}

  std::size_t next_for_child(NodeId peer, std::span<std::byte> out) override {
    return answers(peer) ? sealed(peer, link(peer).next_in_bundle(net_.now_, out), out) : 0;
  }
  std::size_t next_for_other(NodeId peer, std::span<std::byte> out) override {
    return answers(peer) ? sealed(peer, link(peer).next_relayed(net_.now_, out), out) : 0;
  }
  bool send(NodeId child, ByteView datagram) override {
    net_.transmit(node_, child.value, datagram);
    return true;
  }
  void left(NodeId peer) override { link(peer).left(net_.now_); }

 private:
  Reliable& link(NodeId peer) { return net_.link(node_, peer.value); }
  bool answers(NodeId peer) {
    const bool is_peer = peer.value < net_.setup_.nodes && peer.value != node_;
    return is_peer && !link(peer).down() && link(peer).answers();
  }
  std::size_t sealed(NodeId peer, std::size_t size, std::span<std::byte> packet) {
    if (size != 0) seal(net_.keys_[node_][peer.value], packet.first(size));
    return size;
  }

  WireSimulator& net_;
  const std::uint32_t node_;
};

WireSimulator::WireSimulator(const Setup& setup)
    : setup_(setup), random_(setup.seed), nodes_(setup.nodes), keys_(setup.nodes) {
  Nonce nonce{};
  nonce[0] = static_cast<unsigned char>(setup.seed);
  const LinkKey key = link_key("the simulator's", "simulated");
  for (std::uint32_t i = 0; i < setup.nodes; ++i) {
    for (std::uint32_t j = 0; j < setup.nodes; ++j) {
      keys_[i].push_back(seal_key(key, setup.nodes, NodeId(i), nonce, NodeId(j), nonce));
      nodes_[i].links.push_back(
          i == j ? nullptr
                 : std::make_unique<Reliable>(Reliable::Setup{.self = NodeId(i),
                                                              .nodes = setup.nodes,
                                                              .datagram = setup.datagram,
                                                              .slots = setup.slots,
                                                              .dead_after = setup.dead_after,
                                                              .bug = setup.bug},
                                              *nodes_[i].pool));
    }
    if (setup.fan_out != 0)
      nodes_[i].tree =
          std::make_unique<Tree>(NodeId(i), setup.nodes, setup.fan_out, setup.datagram);
    nodes_[i].next_poll = Time(random_.below(50'000));
  }
  for (std::uint32_t i = 0; i < setup.nodes; ++i) {
    for (std::uint32_t j = 0; j < setup.nodes; ++j) {
      if (i == j) continue;
      link(i, j).greet(now_);
      flush(i, j, false);
    }
  }
}

void WireSimulator::complain(std::string what) {
  if (broken_.empty()) broken_ = std::move(what) + " at " + std::to_string(now_.count()) + " ns";
}

bool WireSimulator::chance(double probability) {
  return static_cast<double>(random_.next() >> 11) * 0x1.0p-53 < probability;
}

WireSimulator::Expected& WireSimulator::expected(std::uint32_t from, std::uint32_t to, Lane lane) {
  return expected_[{from, to, lane}];
}

std::size_t WireSimulator::missing() const {
  std::size_t count = 0;
  for (const auto& entry : expected_) count += entry.second.missing.size();
  return count;
}

ReliableCounters WireSimulator::counters() const {
  ReliableCounters sum;
  for (const Node& node : nodes_)
    for (const auto& each : node.links)
      if (each) sum += each->counters();
  return sum;
}

bool WireSimulator::send(std::uint32_t from, std::uint32_t to, Lane lane, std::size_t size) {
  if (!queue(from, to, lane, size)) return false;
  if (!nodes_[from].stopped) flush(from, to, false);
  return true;
}

std::size_t WireSimulator::send_each(std::uint32_t from, std::span<const std::uint32_t> to,
                                     Lane lane, std::size_t size) {
  std::size_t taken = 0;
  for (const std::uint32_t peer : to) taken += queue(from, peer, lane, size) ? 1 : 0;
  if (nodes_[from].stopped) return taken;
  if (nodes_[from].tree) {
    std::vector<NodeId> receivers;
    for (const std::uint32_t peer : to)
      if (!link(from, peer).down()) receivers.push_back(NodeId(peer));
    Here here(*this, from);
    planted_ += nodes_[from].tree->send(receivers, here).datagrams;
  } else {
    send_bundle(from);
  }
  for (std::uint32_t peer = 0; peer < setup_.nodes; ++peer)
    if (peer != from) flush(from, peer, false);
  return taken;
}

void WireSimulator::send_bundle(std::uint32_t from) {
  Bytes room(setup_.datagram), packet(setup_.datagram);
  Bundle bundle(NodeId(from), room);
  for (std::uint32_t peer = 0; peer < setup_.nodes; ++peer) {
    if (peer == from || link(from, peer).down()) continue;
    const std::size_t size = link(from, peer).next_in_bundle(now_, packet);
    if (size == 0) return;
    const std::span<std::byte> sealed = std::span(packet).first(size);
    seal(keys_[from][peer], sealed);
    if (!bundle.add(NodeId(peer), sealed)) return;
  }
  const ByteView datagram = bundle.finish();
  for (std::uint32_t peer = 0; peer < setup_.nodes; ++peer) {
    if (peer != from && !link(from, peer).down()) link(from, peer).left(now_);
    transmit(from, peer, datagram);
  }
  ++bundles_;
}

bool WireSimulator::queue(std::uint32_t from, std::uint32_t to, Lane lane, std::size_t size) {
  Expected& those = expected(from, to, lane);
  size = std::max(size, size_least);
  const Bytes bytes = content(those.sent, size);
  const ByteView view(bytes);
  const std::size_t cut = random_.below(static_cast<std::uint32_t>(size) + 1);
  if (!link(from, to).send(lane, view.first(cut), view.subspan(cut), false)) return false;
  those.missing[those.sent++] = size;
  return true;
}

void WireSimulator::flush(std::uint32_t node, std::uint32_t peer, bool drained) {
  Bytes packet(setup_.datagram);
  while (const std::size_t size = link(node, peer).next(now_, drained, packet)) {
    const std::span<std::byte> datagram = std::span(packet).first(size);
    seal(keys_[node][peer], datagram);
    link(node, peer).left(now_);
    transmit(node, peer, datagram);
  }
}

void WireSimulator::transmit(std::uint32_t from, std::uint32_t to, ByteView bytes) {
  const WireFaults& faults = setup_.faults;
  if (nodes_[from].cut || nodes_[to].cut || chance(faults.loss)) return;
  const int copies = chance(faults.duplicate) ? 2 : 1;
  for (int i = 0; i < copies; ++i) {
    Datagram datagram{.to = to, .bytes = Bytes(bytes.begin(), bytes.end()), .copy = i != 0};
    if (chance(faults.corrupt)) {
      if (random_.one_in(4))
        datagram.bytes.resize(random_.below(datagram.bytes.size()));
      else
        datagram.bytes[random_.below(datagram.bytes.size())] ^=
            static_cast<std::byte>(1u << random_.below(8));
    }
    const auto spread =
        static_cast<std::uint32_t>((faults.delay_most - faults.delay_least).count());
    const Time delay = faults.delay_least + Time(random_.below(std::uint64_t{spread} + 1));
    wire_.emplace(now_ + delay, std::move(datagram));
  }
}

void WireSimulator::arrive(Datagram datagram) {
  Node& node = nodes_[datagram.to];
  if (node.cut) return;
  const std::size_t ring = std::size_t{setup_.slots} * (setup_.nodes - (setup_.multicast ? 0 : 1));
  if (node.ring.size() >= ring) {
    if (datagram.copy) return;
    ++overruns_;
    return complain("the ring of node " + std::to_string(datagram.to) + " was overrun");
  }
  node.ring.push_back(std::move(datagram));
  fullest_ring_ = std::max(fullest_ring_, node.ring.size());
}

void WireSimulator::poll(std::uint32_t index) {
  Node& node = nodes_[index];
  while (!node.ring.empty()) {
    const Datagram datagram = std::move(node.ring.front());
    node.ring.pop_front();
    const ByteView bytes(datagram.bytes);
    if (Bundle::is_one(bytes))
      open_bundle(index, bytes);
    else
      open(index, bytes);
  }
  for (std::uint32_t peer = 0; peer < setup_.nodes; ++peer) {
    if (peer == index) continue;
    link(index, peer).tick(now_);
    flush(index, peer, true);
  }
}

void WireSimulator::open_bundle(std::uint32_t index, ByteView bytes) {
  const NodeId self(index);
  if (Bundle::sender(bytes) == self) return;
  Bytes packet(setup_.datagram);
  const ByteView view(packet);
  const bool is_new = open(index, view.first(Bundle::take(bytes, self, packet)));
  if (!Bundle::is_passed_on(bytes) || !is_new) return;
  if (Tree* const tree = nodes_[index].tree.get()) {
    Here here(*this, index);
    const Tree::Sent sent = tree->pass_on(bytes, here);
    passed_on_ += sent.datagrams;
    dropped_ += sent.dropped;
  }
  if (const std::size_t own = Bundle::take(bytes, self, packet, 1)) open(index, view.first(own));
}

// Whether it is a packet of a peer that had not come before.
bool WireSimulator::open(std::uint32_t index, ByteView bytes) {
  if (!Packet::is_long_enough(bytes) || !Packet::is_of_this_protocol(bytes) ||
      Packet::sender(bytes).value >= setup_.nodes || Packet::sender(bytes).value == index ||
      !is_sealed(keys_[Packet::sender(bytes).value][index], bytes)) {
    ++unsealed_;
    return false;
  }
  const auto packet = Packet::decode(bytes);
  if (!packet) return complain("a sealed datagram is no packet"), false;
  const std::uint32_t from = packet->from.value;
  Reliable& reliable = link(index, from);
  const bool is_new = reliable.receive(*packet, now_);
  while (reliable.has_message()) check(index, from, reliable.take_message());
  if (reliable.half_received_bytes() > lanes_count * (reassembly_max + reliable_message_max))
    complain("half-received messages hold too much");
  return is_new;
}

void WireSimulator::check(std::uint32_t to, std::uint32_t from, const Reliable::Whole& whole) {
  Expected& those = expected(from, to, whole.lane);
  const ByteView bytes(whole.buffer->bytes.get(), whole.size);
  std::uint64_t head[2] = {~std::uint64_t{0}, 0};
  if (bytes.size() >= sizeof head) std::memcpy(head, bytes.data(), sizeof head);
  const auto found = those.missing.find(head[0]);
  if (found == those.missing.end()) {
    complain("a message came that was not sent, or twice");
  } else {
    const Bytes right = content(found->first, found->second);
    if (right.size() != bytes.size() || !std::equal(right.begin(), right.end(), bytes.begin()))
      complain("message " + std::to_string(head[0]) + " came altered");
    if (whole.lane == Lane::in_order && head[0] != those.next)
      complain("in order, " + std::to_string(head[0]) + " came for " + std::to_string(those.next));
    ++those.next;
    those.missing.erase(found);
    ++delivered_;
  }
  nodes_[to].pool->drop(whole.buffer);
}

void WireSimulator::run_until(Time moment) {
  while (broken_.empty()) {
    Time next = moment;
    std::uint32_t who = setup_.nodes;
    for (std::uint32_t i = 0; i < setup_.nodes; ++i) {
      if (nodes_[i].stopped || nodes_[i].cut || nodes_[i].next_poll >= next) continue;
      next = nodes_[i].next_poll;
      who = i;
    }
    if (!wire_.empty() && wire_.begin()->first <= next) {
      now_ = std::max(now_, wire_.begin()->first);
      Datagram datagram = std::move(wire_.begin()->second);
      wire_.erase(wire_.begin());
      arrive(std::move(datagram));
      continue;
    }
    now_ = std::max(now_, next);
    if (who == setup_.nodes) return;
    poll(who);
    const auto about = static_cast<std::uint32_t>(setup_.poll_every.count());
    nodes_[who].next_poll = now_ + Time(about / 2 + random_.below(about));
  }
}

bool WireSimulator::run_until_quiet(Time most) {
  const Time end = now_ + most;
  while (missing() != 0 && now_ < end && broken_.empty())
    run_until(std::min(end, now_ + std::chrono::milliseconds(1)));
  return missing() == 0 && broken_.empty();
}

}  // namespace dsm::transport
