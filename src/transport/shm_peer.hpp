// What a shm transport knows of one other node. Internal to shm.
#pragma once

#include <atomic>
#include <vector>

#include "base/mutex.hpp"
#include "transport/doorbell.hpp"
#include "transport/mapping.hpp"
#include "transport/shm_control.hpp"
#include "transport/shm_ring.hpp"
#include "transport/transport.hpp"

namespace dsm::transport {

inline constexpr std::size_t shm_message_max = std::size_t{256} << 20;
// Bytes of large messages to one peer that it has not recycled. A message above it travels alone.
inline constexpr std::size_t shm_large_in_flight_max = std::size_t{32} << 20;

// The inbox: a page with the flag that somebody sleeps, then one ring a sender.
struct InboxLayout {
  std::size_t ring_bytes;
  explicit InboxLayout(std::uint32_t nodes);
  std::size_t size(std::uint32_t nodes) const { return ring_at(NodeId(nodes)); }
  std::size_t ring_at(NodeId sender) const;
  std::size_t inline_max() const { return ring_bytes / 4; }
};

// A large message's entry in the ring.
struct LargeMessage {
  std::uint32_t id = 0;
  std::uint32_t reserved = 0;
  std::uint64_t size = 0;
};

class ShmPeer {
 public:
  ShmPeer(NodeId self, NodeId peer, Fd socket, std::byte* inbox, const InboxLayout& layout);

  // Set-up: receives the peer's inbox and bell.
  Status meet(int timeout_ms);
  // Set-up, or any thread.
  Status pass(const ControlRecord& record, int fd, int timeout_ms);

  // Any thread. would_block: full(); wakes this node when there is room.
  Status send(ByteView header, ByteView body, Urgency urgency);

  // Any thread: the descriptor that came with a record, waiting for it up to a time limit.
  Fd take_record(ControlRecord::Kind kind, std::uint32_t id, ControlRecord& record, int timeout_ms);

  // The polling thread, from here on.
  // Gone, and all that it sent was received.
  bool ended() const { return gone() && (broken_ || !ready()); }
  bool ready() const { return reader_.ready(); }
  // One message, or nothing. A large one's memory is mapped, and unmapped by recycle().
  bool receive(Event& event);
  void recycle(const Event& message);
  // Takes what the socket holds. The peer is gone when it has closed.
  void read_socket();
  // True once after a send() was refused, when there may be room again.
  bool take_room_again();

  bool gone() const { return gone_.load(std::memory_order_acquire); }
  int socket() const { return socket_.get(); }
  NodeId id() const { return id_; }

 private:
  struct Passed {
    ControlRecord record;
    Fd fd;
  };

  bool push(EntryKind kind, ByteView header, ByteView body) DSM_REQUIRES(send_lock_);
  bool full_for(std::size_t size) DSM_REQUIRES(send_lock_);
  Status send_large(ByteView header, ByteView body) DSM_REQUIRES(send_lock_);
  Status lost() const;
  bool receive_records() DSM_REQUIRES(control_lock_);
  bool distrust();
  void give_room();

  const NodeId self_;
  const NodeId id_;
  const InboxLayout layout_;
  const Fd socket_;
  std::atomic<bool> gone_{false};

  Fd bell_fd_;
  Doorbell bell_;   // wakes the peer
  Mapping outbox_;  // the peer's inbox
  RingControl* out_ = nullptr;
  std::atomic<bool> refused_{false};  // a send() found no room

  Mutex send_lock_;
  RingWriter writer_ DSM_GUARDED_BY(send_lock_);
  std::uint64_t large_sent_ DSM_GUARDED_BY(send_lock_) = 0;  // bytes
  std::uint32_t large_count_ DSM_GUARDED_BY(send_lock_) = 0;

  Mutex control_lock_;
  std::vector<Passed> passed_ DSM_GUARDED_BY(control_lock_);

  RingControl* const in_;  // polling thread only
  RingReader reader_;
  bool broken_ = false;  // it wrote what no node writes
};

}  // namespace dsm::transport
