// Life and time of one peer.
#include "transport/reliable.hpp"

#include "base/check.hpp"

namespace dsm::transport {
namespace {

// A packet that is so much older than one known to have arrived will not arrive.
constexpr Time reorder_min = std::chrono::milliseconds(2);

}  // namespace

ReliableCounters& ReliableCounters::operator+=(const ReliableCounters& other) {
  messages_sent += other.messages_sent;
  messages_received += other.messages_received;
  packets_sent += other.packets_sent;
  packets_received += other.packets_received;
  pieces_sent += other.pieces_sent;
  pieces_resent += other.pieces_resent;
  acknowledgements_sent += other.acknowledgements_sent;
  probes_sent += other.probes_sent;
  asides_sent += other.asides_sent;
  duplicate_packets += other.duplicate_packets;
  missed_packets += other.missed_packets;
  duplicate_pieces += other.duplicate_pieces;
  refused_pieces += other.refused_pieces;
  credit_waits += other.credit_waits;
  return *this;
}

Reliable::Reliable(const Setup& setup, BufferPool& received)
    : setup_(setup),
      piece_bytes_(setup.datagram - packet_header_bytes),
      received_(received),
      due_(never) {
  DSM_CHECK_WITH(setup.datagram > packet_header_bytes, "a datagram holds more than a header",
                 {"bytes", setup.datagram});
  DSM_CHECK_WITH(setup.slots >= slots_min && setup.slots <= slots_max,
                 "slots that an acknowledgement can tell of", {"slots", setup.slots});
}

Reliable::~Reliable() {
  clear();
}

void Reliable::greet(Time now) {
  greeting_ = true;
  hello_wanted_ = true;
  heard_at_ = now;
  reschedule(now);
}

void Reliable::give_up() {
  down_ = true;
  clear();
  due_ = never;
}

// Nothing of it will be needed; what is whole stays to be taken.
void Reliable::clear() {
  for (OutLane& out : out_)
    for (; !out.messages.empty(); ++out.first) sending_.drop(out.messages.pop_front().buffer);
  for (InLane& in : in_)
    while (!in.messages.empty()) received_.drop(in.messages.pop_front().buffer);
  half_bytes_ = {};
}

ReliableCounters Reliable::counters() const {
  ReliableCounters all = counters_;
  const std::uint64_t seen = all.packets_received - all.duplicate_packets;
  all.missed_packets = largest_received_ - std::min(largest_received_, seen);
  return all;
}

Time Reliable::timeout() const {
  const Time once = round_trip_.timeout(ack_delay_max);
  return std::min(rto_max, once * (std::int64_t{1} << std::min(backoff_, 16u)));
}

Time Reliable::longest_reorder() const {
  return std::max(reorder_min, round_trip_.smoothed() + round_trip_.smoothed() / 8);
}

// How long a packet may take that is not lost.
Time Reliable::lateness(const Sent& sent) const {
  const Time straight = longest_reorder();
  return comes_late(sent) ? straight + 2 * relayed_trip_.timeout(ack_delay_max) : straight;
}

Time Reliable::keepalive_due() const {
  return std::max(heard_at_, probed_at_) + std::min(keepalive_after, setup_.dead_after / 4);
}

void Reliable::tick(Time now) {
  if (down_ || now < due_) return;
  if (now - due_ > late_max) heard_at_ += now - due_;
  if (greeted_ && now - heard_at_ >= setup_.dead_after) return give_up();
  find_losses(now);
  release_lost(now);
  trim();
  if (asking_ != 0 && now >= asked_at_ + timeout()) {
    ++backoff_;
    asked_at_ = now;
    (heard_ ? probe_wanted_ : hello_wanted_) = true;
  }
  if (asking_ == 0 && greeted_ && now >= keepalive_due()) {
    probed_at_ = now;
    probe_wanted_ = true;
  }
  reschedule(now);
}

void Reliable::reschedule(Time now) {
  due_ = never;
  const auto by = [this](Time moment) { due_ = std::min(due_, moment); };
  if (unanswered_ != 0) by(std::max(answer_due_, control_allowed_at()));
  if (answer_now_ || probe_wanted_ || hello_wanted_) by(std::max(now, control_allowed_at()));
  by(loss_due_);
  if (asking_ != 0) by(asked_at_ + timeout());
  if (greeted_) by(heard_at_ + setup_.dead_after);
  if (greeted_ && asking_ == 0) by(keepalive_due());
  if (lost_ != 0) {
    const Time age = longest_reorder();
    for (std::size_t i = 0; i < sent_.size(); ++i) {
      if (sent_[i].state != Sent::State::lost) continue;
      by(sent_[i].at + age);
      break;
    }
  }
}

}  // namespace dsm::transport
