// ReliableChannel: messages between all nodes of a job, over a wire of datagrams (datagram.hpp).
// Drives one Reliable (reliable.hpp) a peer: locks, the clock, one descriptor to sleep on.
//
//   any_order   a message is delivered when it is whole, exactly once
//   in_order    as above, and behind every in_order message sent before it to the same peer
// Nothing is ordered between the two lanes. Every datagram is sealed with a key made of the job's
// key and of both ends' fresh nonces; what is not of this job and of this session is dropped and
// counted (refused()).
//
// Several messages for different nodes (send_each()) leave as one datagram where the port has
// multicast and all living nodes, or all but one, get one (reliable_multicast.cpp). Such a datagram
// fills a slot everywhere, so it is sent only when every peer has one free; otherwise, and when it
// would be too long, each message goes alone. What one node misses is sent again to that node
// alone. Where the port has none and asks for it (DatagramPort::fan_out()) messages for many nodes
// go by way of each other (tree.hpp); every node passes on what is brought to it, when it polls.
//
// A peer is down when it says that it ends, or when it has been silent for dead_after although it
// was asked; peer_down comes once, behind the messages that arrived whole. When this node's own
// port has failed, or all are silent while it is in trouble, one peer_down names this node and says
// why.
//
// Threads: connect() belongs to set-up, one thread. send() and send_each() may be called by any
// thread at any time, also from inside a trap handler: it takes only locks of its own, never waits
// for a peer, and allocates nothing in the steady state. poll(), recycle() and arm() belong to one
// thread at a time. The destructor waits up to Setup::linger for what was sent to be acknowledged,
// then says good-bye.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/mutex.hpp"
#include "transport/datagram.hpp"
#include "transport/doorbell.hpp"
#include "transport/handshake.hpp"
#include "transport/reliable.hpp"
#include "transport/transport.hpp"
#include "transport/tree.hpp"

namespace dsm::transport {

// What was dropped unread, by why.
struct Refused {
  std::uint64_t truncated = 0;  // shorter than a header
  std::uint64_t foreign = 0;    // another protocol's, or another version's
  std::uint64_t stranger = 0;   // names no other node of the job
  std::uint64_t forged = 0;     // not sealed for this session: altered, another job's, or old
  std::uint64_t malformed = 0;  // sealed, and yet no packet: a bug at its sender
  std::uint64_t sum() const { return truncated + foreign + stranger + forged + malformed; }
};

class ReliableChannel {
 public:
  struct Setup {
    const char* wire = "";  // names the backend in messages, and binds the keys to it
    NodeId self{};
    std::uint32_t nodes = 1;
    std::string_view job_key;
    int connect_timeout_ms = 5000;
    Time dead_after = dead_after_default;
    Time linger = std::chrono::seconds(1);
  };

  // What poll() returns: a whole message, or the end of a peer.
  struct Arrival {
    enum class Kind : std::uint8_t { message, peer_down };
    Kind kind = Kind::message;
    Lane lane = Lane::any_order;
    NodeId peer{};
    ByteView bytes;            // valid until recycle(); of the end of this node: why, for good
    Buffer* buffer = nullptr;  // the channel's own
  };

  static constexpr std::size_t message_max = reliable_message_max;

  static Result<std::unique_ptr<ReliableChannel>> make(std::unique_ptr<DatagramPort> port,
                                                       const Setup& setup);
  ~ReliableChannel();

  // The port's address and this session's nonce. Constant.
  Bytes address() const;

  // Returns when this node and every other one have heard each other, both ways; or after the
  // time-out, with a message that names who is missing. REQUIRES: called once, by all nodes.
  Status connect(std::span<const Bytes> addresses);

  // Sends header + body as one message to another node; both are copied before it returns.
  // would_block: too much waits for this peer; not with Room::made, which is for what the peer
  // itself bounds (answers to its requests). too_large; peer_lost: peer_down was or will be
  // reported.
  enum class Room : std::uint8_t { asked, made };
  Status send(NodeId peer, Lane lane, ByteView header, ByteView body = {}, Room room = Room::asked,
              Urgency urgency = Urgency::prompt);

  // As send() of each; says of each how that went.
  void send_each(Lane lane, std::span<Letter> letters, Room room = Room::asked);

  // Whether send() of so many bytes would be accepted now. Others may take the room meanwhile.
  bool has_room(NodeId peer, Lane lane, std::size_t size);

  // Takes up to out.size() arrivals; returns how many. Never blocks.
  std::size_t poll(std::span<Arrival> out);
  void recycle(const Arrival& message);

  // The peer lives, as its device's answer on another queue pair shows, though its processor may
  // not have answered here. Any thread.
  void vouch(NodeId peer);
  // Declares a peer down, as when another queue pair to it has failed. Any thread.
  void give_up(NodeId peer);

  // A descriptor that becomes readable when an armed channel has something to poll, a timer of its
  // own included. After arm() returned true, new room after a would_block makes it readable too.
  int wait_fd() const { return epoll_fd_.get(); }
  bool arm(Urgency least = Urgency::patient);
  // Makes an armed channel's descriptor readable. Any thread.
  void wake() const { bell_.ring(); }
  const Doorbell& bell() const { return bell_; }

  bool is_down(NodeId peer) const;

  // Any thread.
  ReliableCounters counters(NodeId peer) const;
  ReliableCounters counters() const;
  Tally tally() const;  // of its datagrams
  Refused refused() const;
  std::uint32_t credits(NodeId peer) const;  // datagrams with data that may be under way to it
  DatagramPort& port() { return *port_; }

 private:
  struct Peer;
  class EveryPeer;
  class Here;

  static Time now();
  ReliableChannel(std::unique_ptr<DatagramPort> port, const Setup& setup);
  Status open();
  Status missing() const;
  bool all_know() const;
  void plant_tree();

  Peer& peer(NodeId id) const;
  void receive(std::span<const Datagram> datagrams, Time now);
  bool take_packet(ByteView bytes, Time now);
  void take_bundle(ByteView bundle, Time now);
  Peer* open_packet(ByteView bytes, Packet& packet);
  bool drain(std::size_t enough, bool reads_clock);
  void tick(Time now, bool drained);
  // REQUIRE: the peer's lock.
  void flush(Peer& to, Time now, bool drained);
  void note_state(Peer& to);
  void collect(Peer& from);
  bool are_for_all(std::span<const Letter> letters) const;
  bool are_worth_a_tree(std::span<const Letter> letters) const;
  // REQUIRE: every peer's lock.
  Code queue(Lane lane, const Letter& letter, Room room);
  void send_bundle(Time now) DSM_REQUIRES(bundle_lock_);
  void send_by_tree(std::span<const Letter> letters, Time now) DSM_REQUIRES(bundle_lock_);
  void pass_on(ByteView bundle, Time now);
  void count(const Tree::Sent& sent);
  void note_due(Time due);
  void set_timer();
  void clear_timer(Time now);
  void look_after_port(Time now);
  void fail(std::string why);
  void linger();

  const std::string wire_;
  const NodeId self_;
  const std::uint32_t nodes_;
  const int timeout_ms_;
  const Time dead_after_;
  const Time linger_;
  const std::unique_ptr<DatagramPort> port_;
  LinkKey job_key_{};
  Nonce nonce_{};
  Fd bell_fd_;
  Fd timer_fd_;
  Fd epoll_fd_;
  std::atomic<std::uint32_t> armed_flag_{0};
  Doorbell bell_;
  BufferPool received_;                       // the polling thread's
  std::vector<std::unique_ptr<Peer>> peers_;  // by rank; none for this node

  std::atomic<std::int64_t> earliest_;  // the first moment at which some peer has something to do
  std::atomic<bool> refused_room_{false};  // some send() would have blocked
  std::atomic<bool> room_again_{false};
  std::atomic<bool> complained_{false};  // of a broken port

  Mutex bundle_lock_;  // taken before the locks of peers
  Bytes bundle_ DSM_GUARDED_BY(bundle_lock_);
  std::optional<Tree> tree_ DSM_GUARDED_BY(bundle_lock_);
  std::vector<NodeId> receivers_ DSM_GUARDED_BY(bundle_lock_);
  std::uint32_t fan_out_ = 0;              // the port's
  std::atomic<std::uint64_t> bundles_{0};  // datagrams for all
  std::atomic<std::uint64_t> relays_{0};   // datagrams with what is passed on
  std::atomic<std::uint64_t> bundled_{0};  // packets of this node in either

  mutable Mutex timer_lock_;
  std::int64_t timer_at_ DSM_GUARDED_BY(timer_lock_) = 0;  // 0: not set

  struct AtomicRefused {
    std::atomic<std::uint64_t> truncated{0}, foreign{0}, stranger{0}, forged{0}, malformed{0};
  };
  AtomicRefused refusals_;

  // The polling thread's.
  Bytes unbundled_;  // the packet for this node
  Ring<Arrival> ready_;
  std::vector<Peer*> touched_;
  Time read_at_{0};  // the clock, when it was last read for a look
  std::uint32_t looks_ = 0;
  std::uint32_t arms_ = 0;
  std::string failure_;  // of the port; empty: it has not failed
  bool armed_ = false;
};

}  // namespace dsm::transport
