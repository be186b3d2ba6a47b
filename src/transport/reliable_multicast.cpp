// Messages for several nodes as one datagram for all.
#include <algorithm>

#include "base/check.hpp"
#include "base/log.hpp"
#include "transport/bundle.hpp"
#include "transport/reliable_channel.hpp"
#include "transport/reliable_channel_peer.hpp"

namespace dsm::transport {

// The locks of all peers, by rank. Whoever else takes one takes no other.
class ReliableChannel::EveryPeer {
 public:
  explicit EveryPeer(std::span<const std::unique_ptr<Peer>> peers) DSM_NO_THREAD_SAFETY_ANALYSIS
      : peers_(peers) {
    for (const auto& each : peers_)
      if (each) each->lock.lock();
  }
  ~EveryPeer() DSM_NO_THREAD_SAFETY_ANALYSIS {
    for (const auto& each : peers_)
      if (each) each->lock.unlock();
  }
  EveryPeer(const EveryPeer&) = delete;
  EveryPeer& operator=(const EveryPeer&) = delete;

 private:
  const std::span<const std::unique_ptr<Peer>> peers_;
};

void ReliableChannel::send_each(Lane lane, std::span<Letter> letters, Room room) {
  if (!are_for_all(letters)) {
    for (Letter& letter : letters)
      letter.code = send(letter.to, lane, letter.message, {}, room).code();
    return;
  }
  MutexLock one(bundle_lock_);
  const EveryPeer hold(peers_);
  for (Letter& letter : letters) letter.code = queue(lane, letter, room);
  const Time at = now();
  send_bundle(at);
  // What had no place in it.
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
  for (const auto& each : peers_)
    if (lives(each)) each->reliable.left(at);
  bundles_.fetch_add(1, std::memory_order_relaxed);
  bundled_.fetch_add(bundle.count(), std::memory_order_relaxed);
}

}  // namespace dsm::transport
