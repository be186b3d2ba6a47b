// What a ReliableChannel keeps of each peer; its own.
#pragma once

#include <atomic>
#include <memory>
#include <span>

#include "base/mutex.hpp"
#include "transport/reliable.hpp"
#include "transport/reliable_channel.hpp"
#include "transport/seal.hpp"

namespace dsm::transport {

struct ReliableChannel::Peer {
  Peer(NodeId rank, const Reliable::Setup& setup, BufferPool& received)
      : id(rank), reliable(setup, received), scratch(setup.datagram) {}

  const NodeId id;
  SealKey sends{};
  SealKey receives{};
  mutable Mutex lock;
  Reliable reliable DSM_GUARDED_BY(lock);
  Bytes scratch DSM_GUARDED_BY(lock);
  std::atomic<std::int64_t> due{never.count()};
  std::atomic<bool> down{false};     // no more is sent
  std::atomic<bool> stuck{false};    // the port took no more
  std::atomic<bool> starved{false};  // of the peer's slots
  std::atomic<bool> vouched{false};
  // The polling thread's.
  bool touched = false;
  bool parted = false;
  bool reported = false;
};

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

}  // namespace dsm::transport
