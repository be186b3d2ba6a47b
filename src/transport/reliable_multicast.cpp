// Messages for several nodes: as one datagram for all, or by way of each other.
#include <algorithm>

#include "base/check.hpp"
#include "base/log.hpp"
#include "transport/bundle.hpp"
#include "transport/reliable_channel.hpp"
#include "transport/reliable_channel_peer.hpp"

namespace dsm::transport {

void ReliableChannel::send_each(Lane lane, std::span<Letter> letters, Room room) {
  const bool for_all = are_for_all(letters);
  if (!for_all && !are_worth_a_tree(letters)) {
    for (Letter& letter : letters)
      letter.code = send(letter.to, lane, letter.message, {}, room).code();
    return;
  }
  MutexLock one(bundle_lock_);
  const EveryPeer hold(peers_);
  for (Letter& letter : letters) letter.code = queue(lane, letter, room);
  const Time at = now();
  if (for_all)
    send_bundle(at);
  else
    send_by_tree(letters, at);
  // What did not leave with it.
  for (const auto& each : peers_)
    if (each && !each->down.load(std::memory_order_relaxed)) flush(*each, at, false);
}

// The one that is left out may be whom this is about.
bool ReliableChannel::are_for_all(std::span<const Letter> letters) const {
  if (letters.size() < 2 || port_->multicast_max() == 0) return false;
  const auto living = std::count_if(peers_.begin(), peers_.end(), [](const auto& each) {
    return each && !each->down.load(std::memory_order_relaxed);
  });
  return letters.size() + 1 >= static_cast<std::size_t>(living);
}

bool ReliableChannel::are_worth_a_tree(std::span<const Letter> letters) const {
  return fan_out_ != 0 && letters.size() > fan_out_ && port_->multicast_max() == 0;
}

Code ReliableChannel::queue(Lane lane, const Letter& letter,
                            Room room) DSM_NO_THREAD_SAFETY_ANALYSIS {
  if (letter.message.size() > message_max) return Code::too_large;
  Peer& to = peer(letter.to);
  if (to.down.load(std::memory_order_relaxed) || to.reliable.down()) return Code::peer_lost;
  if (to.reliable.send(lane, letter.message, {}, room == Room::made)) return Code::ok;
  refused_room_.store(true, std::memory_order_relaxed);
  return Code::would_block;
}

// The next packet of every peer, if all have one and they fit. Otherwise none has left.
void ReliableChannel::send_bundle(Time at) DSM_NO_THREAD_SAFETY_ANALYSIS {
  const auto lives = [](const std::unique_ptr<Peer>& each) DSM_NO_THREAD_SAFETY_ANALYSIS {
    return each && !each->down.load(std::memory_order_relaxed) && !each->reliable.down();
  };
  Bundle bundle(self_, bundle_);
  for (const auto& each : peers_) {
    if (!lives(each)) continue;
    const std::size_t size = each->reliable.next_in_bundle(at, each->scratch);
    if (size == 0) return;
    const std::span<std::byte> packet = std::span(each->scratch).first(size);
    seal(each->sends, packet);
    if (!bundle.add(each->id, packet)) return;
  }
  const Status sent = port_->send_to_all(bundle.finish());
  if (!sent.ok()) return;
  const Time left = now();
  for (const auto& each : peers_)
    if (lives(each)) each->reliable.left(left);
  bundles_.fetch_add(1, std::memory_order_relaxed);
  bundled_.fetch_add(bundle.count(), std::memory_order_relaxed);
}

// --- received ---

void ReliableChannel::take_bundle(ByteView bundle, Time at) {
  if (Bundle::sender(bundle) == self_) return;  // come back
  const std::size_t size = Bundle::take(bundle, self_, unbundled_);
  if (size == 0) {
    refusals_.stranger.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  const bool is_new = take_packet(ByteView(unbundled_).first(size), at);
  if (!Bundle::is_passed_on(bundle) || !is_new) return;
  pass_on(bundle, at);
  if (const std::size_t own = Bundle::take(bundle, self_, unbundled_, 1))
    take_packet(ByteView(unbundled_).first(own), at);
}

// --- by way of each other ---

// REQUIRES: every peer's lock, while it lives.
class ReliableChannel::Here final : public Tree::Node {
 public:
  Here(ReliableChannel& channel, Time at) : channel_(channel), at_(at) {}

  std::size_t next_for_child(NodeId id,
                             std::span<std::byte> out) override DSM_NO_THREAD_SAFETY_ANALYSIS {
    Peer* const to = answering(id);
    return to ? sealed(*to, to->reliable.next_in_bundle(at_, out), out) : 0;
  }
  std::size_t next_for_other(NodeId id,
                             std::span<std::byte> out) override DSM_NO_THREAD_SAFETY_ANALYSIS {
    Peer* const to = answering(id);
    return to ? sealed(*to, to->reliable.next_relayed(at_, out), out) : 0;
  }
  bool send(NodeId child, ByteView datagram) override {
    return channel_.port_->send(child, datagram, {}).ok();
  }
  void left(NodeId id) override DSM_NO_THREAD_SAFETY_ANALYSIS {
    Peer& to = channel_.peer(id);
    to.reliable.left(now());
    channel_.note_state(to);
  }

 private:
  // Who does not answer would keep those behind it waiting, at this node or at the next one.
  Peer* answering(NodeId id) const DSM_NO_THREAD_SAFETY_ANALYSIS {
    Peer* const to = id.value < channel_.nodes_ ? channel_.peers_[id.value].get() : nullptr;
    if (!to || to->down.load(std::memory_order_relaxed)) return nullptr;
    return !to->reliable.down() && to->reliable.answers() ? to : nullptr;
  }
  static std::size_t sealed(const Peer& to, std::size_t size, std::span<std::byte> packet) {
    if (size != 0) seal(to.sends, packet.first(size));
    return size;
  }

  ReliableChannel& channel_;
  const Time at_;
};

void ReliableChannel::send_by_tree(std::span<const Letter> letters, Time at) {
  receivers_.clear();
  for (const Letter& letter : letters)
    if (letter.code == Code::ok) receivers_.push_back(letter.to);
  Here here(*this, at);
  count(tree_->send(receivers_, here));
}

void ReliableChannel::pass_on(ByteView bundle, Time at) {
  MutexLock one(bundle_lock_);
  const EveryPeer hold(peers_);
  Here here(*this, at);
  count(tree_->pass_on(bundle, here));
}

void ReliableChannel::count(const Tree::Sent& sent) {
  relays_.fetch_add(sent.datagrams, std::memory_order_relaxed);
  bundled_.fetch_add(sent.packets, std::memory_order_relaxed);
}

}  // namespace dsm::transport
