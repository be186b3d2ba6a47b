// One stream of the tcp transport, and the frames on it. Internal to tcp.
#pragma once

#include <atomic>

#include "base/fd.hpp"
#include "base/mutex.hpp"
#include "transport/chunks.hpp"
#include "transport/emulated_rma.hpp"
#include "transport/frame.hpp"
#include "transport/local_events.hpp"
#include "transport/outbox.hpp"

namespace dsm::transport {

// An outbox with bytes in it takes no message or request above this. Replies are bounded by what
// their reader has outstanding (rma_reply_bytes_max): they never wait.
inline constexpr std::size_t tcp_outbox_max = std::size_t{1} << 20;

// Memory of a peer.
struct TcpMemory {
  NodeId peer;
  std::uint32_t id = 0;
};

// What the streams of one transport share.
struct TcpShared {
  LocalEvents& local;
  RmaTarget& target;
  ChunkPool& chunks;
  StableTable<TcpMemory>& imported;
  int epoll_fd;
};

class TcpPeer {
 public:
  TcpPeer(NodeId id, Fd socket, const TcpShared& shared);
  ~TcpPeer();

  NodeId id() const { return id_; }
  int socket() const { return socket_.get(); }

  // Any thread.
  Status send(ByteView header, ByteView body);
  std::size_t post(std::span<const Operation> operations);

  // The polling thread, from here on.
  // Receives events, serves requests, sends what waits. May leave more behind: backlog().
  std::size_t poll(std::span<Event> out);
  bool backlog() const { return backlog_; }
  // The stream has ended, and all that came over it was received.
  bool ended() const { return ended_ && !backlog_; }
  // Completes what is outstanding, then reports the peer down. Nothing comes after it.
  void report_down();
  // True once after a send() or post() was refused, when there may be room again.
  bool take_room_again();

 private:
  // What the next bytes of the stream are, when they do not go through the chunk as a whole frame.
  enum class Inflow { frames, message, reply, write };
  enum class Step { done, event, starved, broken };

  Status lost() const;
  bool transmit(std::span<iovec> parts) DSM_REQUIRES(lock_);
  void watch_output() DSM_REQUIRES(lock_);
  void foresee_reply() DSM_REQUIRES(lock_);
  void flush();

  void reserve_space(std::size_t frame_bytes);
  Step step(Event& event);
  Step take_frame(Event& event);
  Step take_message(const Frame& frame, Event& event);
  Step take_request(const Frame& frame);
  Step take_reply(const Frame& frame, Event& event);
  Step take_inflow(Event& event);
  Step finish_inflow(Event& event);
  void answer(const RmaTarget::Served& served);
  Step report(const RmaRequester::Landing& landing, Event& event);
  bool receive_more();

  ByteView buffered() const { return {chunk_->bytes.get() + begin_, end_ - begin_}; }

  const NodeId id_;
  const Fd socket_;
  const TcpShared shared_;

  Mutex lock_;
  Outbox outbox_ DSM_GUARDED_BY(lock_);
  RmaRequester requester_ DSM_GUARDED_BY(lock_);
  bool watched_ DSM_GUARDED_BY(lock_) = false;  // epoll tells when the socket takes more
  bool broken_ DSM_GUARDED_BY(lock_) = false;   // the socket takes nothing any more
  bool down_ DSM_GUARDED_BY(lock_) = false;     // reported
  std::atomic<bool> waiting_{false};            // the outbox holds something
  std::atomic<bool> refused_{false};            // somebody waits for room
  std::atomic<bool> large_reply_next_{false};

  // The polling thread's.
  Chunk* chunk_;
  std::size_t begin_ = 0;  // of what was received and not looked at
  std::size_t end_ = 0;
  Inflow inflow_ = Inflow::frames;
  std::byte* inflow_at_ = nullptr;  // null: dropped
  std::size_t inflow_left_ = 0;
  Chunk* inflow_chunk_ = nullptr;  // of a message
  std::size_t inflow_size_ = 0;    // of the message
  RmaRequest inflow_request_;
  RmaRequester::Landing inflow_landing_;
  bool backlog_ = false;
  bool dry_ = false;  // the last recv() emptied the socket
  bool ended_ = false;
};

}  // namespace dsm::transport
