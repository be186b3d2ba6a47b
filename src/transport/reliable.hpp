// Reliable: messages to and from one peer, made of datagrams that may be lost, doubled, altered,
// reordered. Pure: packets in, packets out; time is an argument; no I/O, no clock, no thread.
// Thread-compatible. reliable.cpp is its life, reliable_send.cpp and reliable_receive.cpp its
// verbs.
//
// A message is cut into pieces; each travels in a packet with a number of its own. A piece goes
// again only when its packet is known to be lost: when packets sent after it have arrived
// (reorder_max later, or a round trip ago). What is sent last and answered by nobody is asked
// about with a probe, whose answer tells; so on a clean wire nothing is ever sent twice.
//
// Credits. The receiver says how many of its slots this sender may fill. A datagram fills one from
// its sending until it is known to be received, or known to be lost and older than a round trip; so
// whatever the others do, nobody's ring is overrun. Most slots are for data, some are kept for
// acknowledgements and probes. Retransmissions need credits as first transmissions do.
//
// A datagram may carry packets for several peers (bundle.hpp). It then fills a slot of everybody's
// ring, also of who is not meant: for that peer it carries an aside, which needs a credit as data
// do.
//
// A packet may be brought by other nodes (tree.hpp), behind packets that were sent later. It is
// lost when it is late for its own kind, whose round trips are measured apart, or so many came
// since that the peer could not tell of it.
//
// Memory for half-received messages is bounded: a sender opens no more than reassembly_max bytes of
// messages in one lane, or a single one, and a receiver takes no more.
#pragma once

#include <array>
#include <optional>
#include <span>

#include "base/status.hpp"
#include "transport/buffer_pool.hpp"
#include "transport/packet.hpp"
#include "transport/ring.hpp"
#include "transport/rtt.hpp"
#include "transport/urgency.hpp"

namespace dsm::transport {

inline constexpr Time never = Time::max();
inline constexpr Time ack_delay_max = std::chrono::milliseconds(1);
inline constexpr std::uint32_t ack_every_max = 8;  // eliciting packets that one may answer
inline constexpr std::uint64_t reorder_max = 3;    // so many later ones received: this one is lost
// Of silence; or a quarter of what ends a peer, where that is less.
inline constexpr Time keepalive_after = std::chrono::seconds(1);
// Silence, although asked, that ends a peer: noticed within 5 s of a death, while a process that
// is stopped for 3 s lives.
inline constexpr Time dead_after_default = std::chrono::seconds(4);
// This node looked so much later than it wanted to: the peer is not to blame for that time.
inline constexpr Time late_max = std::chrono::milliseconds(200);

// Slots of one peer's ring that one sender may fill: all of them can be told of in one
// acknowledgement.
inline constexpr std::uint32_t slots_max = 60;
inline constexpr std::uint32_t slots_min = 4;
static_assert(slots_max < acknowledged_below);
// Of those, for acknowledgements and probes: as many as probes fit into dead_after_default when
// their distance doubles from rto_min to rto_max, where there are enough. The last few are spent
// slowly, so that both sides still ask when all else was lost.
inline constexpr std::uint32_t control_slots_max = 12;
inline constexpr std::uint32_t control_slots_min = 3;
// With fewer a wire that loses one datagram in ten may lose all of them, and a peer with them.
inline constexpr std::uint32_t control_slots_wanted = 5;
inline constexpr std::uint32_t control_slots_slow = 2;
inline constexpr Time control_slow = std::chrono::milliseconds(1400);  // between two of the last
constexpr std::uint32_t control_slots(std::uint32_t slots) {
  return std::clamp(slots / 4, std::min(control_slots_wanted, slots - 1), control_slots_max);
}
static_assert(control_slots(slots_min) == control_slots_min &&
              control_slots_slow < control_slots_min);
static_assert((control_slots_slow + 1) * control_slow >= dead_after_default);

inline constexpr std::size_t reassembly_max = std::size_t{4} << 20;
inline constexpr std::uint64_t messages_window = 256;  // messages of a lane under way
// A lane takes no message above this, unless it is empty, or the message must be taken.
inline constexpr std::size_t send_queue_max = std::size_t{1} << 20;
inline constexpr std::size_t message_cost = 256;  // what a message counts at least, so they are few

struct ReliableCounters {
  std::uint64_t messages_sent = 0, messages_received = 0;
  std::uint64_t packets_sent = 0, packets_received = 0;
  std::uint64_t pieces_sent = 0, pieces_resent = 0;
  std::uint64_t acknowledgements_sent = 0;  // those in a packet of their own
  std::uint64_t probes_sent = 0;
  std::uint64_t asides_sent = 0;
  std::uint64_t duplicate_packets = 0;  // or so old that nobody knows
  std::uint64_t missed_packets = 0;     // sent before some that came, and never seen
  std::uint64_t duplicate_pieces = 0;
  std::uint64_t refused_pieces = 0;  // no room, or they fit no message
  std::uint64_t credit_waits = 0;    // data waited for the peer's slots

  ReliableCounters& operator+=(const ReliableCounters& other);
};

// A bug planted for the tests of the tests.
enum class ReliableBug : std::uint8_t {
  none,
  duplicate_delivered,     // a piece that came twice counts twice
  lost_piece_forgotten,    // a packet known to be lost is not sent again
  credits_ignored,         // data is sent without a slot
  retransmission_is_free,  // a lost packet gives its slot back at once, and probes need none
  order_ignored,           // in_order messages are delivered when they are whole
  aside_is_free,           // a datagram about others is sent without a slot
  overtaken_is_lost,       // what others bring is late as soon as what was sent straight
};

class Reliable {
 public:
  struct Setup {
    NodeId self{};
    std::uint32_t nodes = 2;
    std::size_t datagram = 0;  // bytes of one to this peer
    std::uint32_t slots = 0;   // of this node's ring, that the peer may fill; at most slots_max
    Time dead_after = dead_after_default;
    ReliableBug bug = ReliableBug::none;
  };

  // `received` holds whole and half messages of all peers; REQUIRES: outlives this.
  Reliable(const Setup& setup, BufferPool& received);
  ~Reliable();
  Reliable(const Reliable&) = delete;
  Reliable& operator=(const Reliable&) = delete;

  // --- life ---
  void greet(Time now);  // says hello from here on, until heard
  // Each has heard the other.
  bool connected() const { return greeted_ && heard_; }
  // The peer has said that it is connected, too.
  bool peer_connected() const { return peer_connected_; }
  bool greeted() const { return greeted_; }  // the peer's hello has come
  // Says good-bye once, ahead of everything else.
  void part() { bye_wanted_ = true; }
  bool down() const { return down_; }
  bool has_parted() const { return parted_; }  // the peer has said good-bye
  void give_up();                              // it is down
  void vouch(Time now) { heard_at_ = now; }    // it lives, though it may be silent

  // --- sending ---
  // False: too much waits. REQUIRES: at most reliable_message_max bytes, !down().
  bool send(Lane lane, ByteView header, ByteView body, bool must,
            Urgency urgency = Urgency::prompt);
  bool has_room(Lane lane, std::size_t size) const;
  bool is_half_empty() const;
  bool all_acknowledged() const;
  // Asks the peer for a sign now; from here on whatever asks it carries this, at most news_max
  // bytes, until other news replace it.
  void announce(ByteView news, Time now);

  // The next packet that should leave, written to `out`; bytes of it, 0: none. It has left when
  // left() is called; when the wire did not take it, it is not, and next() gives one again.
  // `drained`: everything that lay at this node to be read at that moment has been read.
  // REQUIRES: room for a datagram.
  std::size_t next(Time now, bool drained, std::span<std::byte> out);
  // As next(), of a datagram that the peer gets in any case: an aside when there is nothing to say.
  // 0: the peer may have no slot for it.
  std::size_t next_in_bundle(Time now, std::span<std::byte> out);
  // As next(), of a piece of a message that other nodes bring; 0: there is none, or no credit.
  std::size_t next_relayed(Time now, std::span<std::byte> out);
  // Whether that packet must wake the peer. What only tells it of what it sent need not.
  Urgency urgency() const;
  void left(Time now);
  // Something waits for the peer's slots: acknowledgements are waited for.
  bool has_data() const;
  // Nothing that the peer was asked lately is unanswered.
  bool answers() const { return backoff_ == 0; }

  // --- receiving ---
  // Whether it was taken, and had not been before.
  bool receive(const Packet& packet, Time now);
  struct Whole {
    Lane lane = Lane::any_order;
    Buffer* buffer = nullptr;
    std::size_t size = 0;
  };
  bool has_message() const { return !ready_.empty(); }
  Whole take_message() { return ready_.pop_front(); }

  // --- time ---
  // When tick() has something to do; far away when down.
  Time due() const { return due_; }
  void tick(Time now);

  ReliableCounters counters() const;
  std::uint32_t credits() const { return credits_; }
  std::uint32_t charged() const { return charged_data_ + charged_control_; }
  std::size_t half_received_bytes() const { return half_bytes_[0] + half_bytes_[1]; }

 private:
  struct Outgoing {
    Buffer* buffer = nullptr;
    std::uint32_t size = 0;
    std::uint32_t pieces_left = 0;  // not acknowledged
    Urgency urgency = Urgency::prompt;
  };
  struct OutLane {
    Ring<Outgoing> messages;
    std::uint64_t first = 0;   // the number of messages.front()
    std::uint64_t opened = 0;  // the number of the first message of which nothing was sent, or part
    std::uint32_t offset = 0;  // in message `opened`
    std::size_t queued_bytes = 0;
    std::size_t open_bytes = 0;  // of messages of which something was sent, not all acknowledged
  };
  struct Piece {
    Lane lane = Lane::any_order;
    std::uint64_t message = 0;
    std::uint32_t offset = 0;
  };
  // One packet that left.
  struct Sent {
    enum class State : std::uint8_t { under_way, lost, settled };
    State state = State::under_way;
    Packet::Kind kind = Packet::Kind::acknowledgement;
    bool resent = false;
    bool relayed = false;
    Piece piece;
    Time at{0};
    bool eliciting() const {
      return kind == Packet::Kind::hello || kind == Packet::Kind::data ||
             kind == Packet::Kind::probe || kind == Packet::Kind::aside;
    }
    bool fills_data_slot() const {
      return kind == Packet::Kind::data || kind == Packet::Kind::aside;
    }
  };
  struct Incoming {
    enum class State : std::uint8_t { none, half, whole, gone };
    State state = State::none;
    Buffer* buffer = nullptr;  // the message, then a bit for each piece
    std::uint32_t size = 0;
    std::uint32_t pieces_left = 0;
  };
  struct InLane {
    Ring<Incoming> messages;
    std::uint64_t first = 0;
  };
  enum class Taken { yes, again, no };

  bool has_bug(ReliableBug bug) const { return setup_.bug == bug; }
  std::uint32_t pieces_of(std::size_t size, std::size_t piece) const;
  Time timeout() const;
  Time keepalive_due() const;
  Time longest_reorder() const;
  bool comes_late(const Sent& sent) const {
    return sent.relayed && !has_bug(ReliableBug::overtaken_is_lost);
  }
  Time lateness(const Sent& sent) const;

  bool choose(Time now);
  bool choose_piece();
  bool choose_aside();
  bool choose_new_piece(Lane lane);
  bool has_credit() const { return charged_data_ < credits_; }
  std::size_t write_chosen(Time now, bool drained, std::span<std::byte> out);
  bool control_allowed(Time now) const { return now >= control_allowed_at(); }
  Time control_allowed_at() const;

  void take_acknowledgement(const Packet& packet, Time now);
  bool acknowledges(const Packet& packet, std::uint64_t number) const;
  void settle(Sent& sent);
  void acknowledged(const Piece& piece);
  void lose(Sent& sent);
  void find_losses(Time now);
  void lose_what_was_passed(const Packet& packet);
  void release_lost(Time now);
  void trim();
  void uncharge(const Sent& sent);

  void note_number(std::uint64_t number, bool& in_sequence);
  bool is_known(std::uint64_t number) const;
  Taken take_piece(const Packet& packet);
  void complete(Lane lane, std::uint64_t index);
  void take_hello(const Packet& packet);

  void reschedule(Time now);
  void clear();

  const Setup setup_;
  const std::size_t piece_bytes_;  // of what this node sends
  BufferPool& received_;
  BufferPool sending_;

  // Life.
  bool greeting_ = false;
  bool greeted_ = false;
  bool heard_ = false;
  bool peer_connected_ = false;
  bool down_ = false;
  bool parted_ = false;
  bool bye_wanted_ = false;
  std::uint32_t peer_piece_ = 0;  // bytes, of what the peer sends
  std::uint32_t credits_ = 0;
  std::uint32_t control_slots_ = control_slots_max;

  // What leaves.
  std::array<OutLane, lanes_count> out_;
  Lane turn_ = Lane::any_order;
  Ring<Piece> lost_pieces_;
  Ring<Sent> sent_;  // by number, from first_sent_
  std::uint64_t first_sent_ = 0;
  std::uint64_t largest_acknowledged_ = 0;  // 1 + it
  Time largest_acknowledged_at_{0};         // when it left
  std::uint32_t charged_data_ = 0;
  std::uint32_t charged_control_ = 0;
  std::uint32_t asking_ = 0;  // eliciting packets under way
  std::uint32_t lost_ = 0;    // lost ones that still hold a slot
  bool hello_wanted_ = false;
  bool probe_wanted_ = false;
  Bytes news_;
  bool waits_for_credit_ = false;
  std::optional<Sent> chosen_;  // by next(), until left()
  bool chosen_is_resent_ = false;
  std::uint32_t chosen_bytes_ = 0;

  // What comes.
  std::array<InLane, lanes_count> in_;
  std::array<std::size_t, lanes_count> half_bytes_{};
  Ring<Whole> ready_;
  std::uint64_t largest_received_ = 0;  // 1 + it
  std::uint64_t received_bits_ = 0;     // as Packet::received
  Time largest_at_{0};
  std::uint32_t unanswered_ = 0;  // eliciting packets since the last acknowledgement
  bool answer_now_ = false;

  // Time.
  RoundTrip round_trip_;
  RoundTrip relayed_trip_;  // of what others brought
  unsigned backoff_ = 0;
  Time asked_at_{0};   // the last eliciting packet
  Time spoke_at_{0};   // the last acknowledgement or probe
  Time heard_at_{0};   // the last packet
  Time probed_at_{0};  // the last keepalive
  Time answer_due_{0};
  Time loss_due_{Time::max()};
  Time due_;
  ReliableCounters counters_;
};

}  // namespace dsm::transport
