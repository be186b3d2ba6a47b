// What comes: acknowledgements settle what was sent; pieces become messages.
#include <cstring>

#include "base/check.hpp"
#include "transport/reliable.hpp"

namespace dsm::transport {

bool Reliable::receive(const Packet& packet, Time now) {
  if (down_) return false;
  ++counters_.packets_received;
  if (is_known(packet.number)) {
    ++counters_.duplicate_packets;
    answer_now_ = answer_now_ || packet.eliciting();  // its sender may have missed the answer
    reschedule(now);
    return false;
  }
  heard_at_ = now;
  const bool was_connected = connected();
  peer_connected_ = peer_connected_ || packet.connected;
  if (packet.kind == Packet::Kind::hello) take_hello(packet);
  if (packet.largest != 0) take_acknowledgement(packet, now);
  if (packet.drained) lose_what_was_passed(packet);
  find_losses(now);
  release_lost(now);
  trim();
  const std::uint64_t whole_before = counters_.messages_received;
  // Nothing that came before the hello is acknowledged: its sender must know that the hello was
  // lost.
  const bool early = !greeted_ && packet.kind != Packet::Kind::bye;
  if (early || (packet.kind == Packet::Kind::data && take_piece(packet) == Taken::no)) {
    ++counters_.refused_pieces;  // as if it had been lost
    reschedule(now);
    return false;
  }
  if (!was_connected && connected()) answer_now_ = true;  // it waits to be told
  bool in_sequence = true;
  note_number(packet.number, in_sequence);
  if (in_sequence || packet.number + 1 == largest_received_) largest_at_ = now;
  if (packet.kind == Packet::Kind::bye) parted_ = true;
  if (packet.eliciting()) {
    const std::uint32_t slots = setup_.slots - control_slots(setup_.slots);
    const std::uint32_t every = std::clamp<std::uint32_t>(slots / 4, 1, ack_every_max);
    if (unanswered_++ == 0) answer_due_ = now + ack_delay_max;
    // Who sends much waits for its queue to become empty.
    const bool long_one_is_whole =
        counters_.messages_received != whole_before && packet.total > packet.piece.size();
    const bool may_wait = packet.kind == Packet::Kind::data || packet.kind == Packet::Kind::aside;
    if (!may_wait || !in_sequence || unanswered_ >= every || long_one_is_whole) answer_now_ = true;
  }
  reschedule(now);
  return true;
}

void Reliable::take_hello(const Packet& packet) {
  if (greeted_) return;
  const bool sound = packet.message == setup_.nodes && packet.total >= slots_min &&
                     packet.total <= slots_max && packet.offset != 0;
  if (!sound) return;
  greeted_ = true;
  peer_piece_ = packet.offset;
  control_slots_ = control_slots(packet.total);
  credits_ = packet.total - control_slots_;
}

// --- acknowledgements ---

bool Reliable::acknowledges(const Packet& packet, std::uint64_t number) const {
  const std::uint64_t largest = packet.largest - 1;
  if (number == largest) return true;
  const std::uint64_t below = largest - number;  // from 1
  return number < largest && below <= acknowledged_below &&
         ((packet.received >> (below - 1)) & 1) != 0;
}

void Reliable::take_acknowledgement(const Packet& packet, Time now) {
  const std::uint64_t largest = packet.largest - 1;
  if (largest >= first_sent_ + sent_.size()) return;  // never sent
  bool progress = false;
  for (std::size_t i = 0; i < sent_.size() && first_sent_ + i <= largest; ++i) {
    Sent& sent = sent_[i];
    if (sent.state != Sent::State::under_way || !acknowledges(packet, first_sent_ + i)) continue;
    if (first_sent_ + i == largest && sent.eliciting() && sent.kind != Packet::Kind::hello) {
      const Time held = std::min<Time>(std::chrono::microseconds(packet.delay_us), now - sent.at);
      (sent.relayed ? relayed_trip_ : round_trip_).sample(now - sent.at - held);
    }
    settle(sent);
    progress = true;
  }
  if (!progress) return;
  heard_ = true;
  backoff_ = 0;
  if (packet.largest > largest_acknowledged_) {
    largest_acknowledged_ = packet.largest;
    largest_acknowledged_at_ = sent_[largest - first_sent_].at;
  }
}

void Reliable::settle(Sent& sent) {
  sent.state = Sent::State::settled;
  uncharge(sent);
  if (sent.eliciting()) --asking_;
  if (sent.kind == Packet::Kind::data) acknowledged(sent.piece);
}

void Reliable::uncharge(const Sent& sent) {
  if (sent.fills_data_slot())
    --charged_data_;
  else
    --charged_control_;
}

void Reliable::acknowledged(const Piece& piece) {
  OutLane& out = out_[static_cast<std::size_t>(piece.lane)];
  Outgoing& message = out.messages[piece.message - out.first];
  if (--message.pieces_left != 0) return;
  sending_.drop(std::exchange(message.buffer, nullptr));
  out.open_bytes -= message.size;
  out.queued_bytes -= std::max<std::size_t>(message.size, message_cost);
  while (!out.messages.empty() && !out.messages.front().buffer) {
    out.messages.pop_front();
    ++out.first;
  }
}

void Reliable::lose(Sent& sent) {
  sent.state = Sent::State::lost;
  ++lost_;
  if (sent.eliciting()) --asking_;
  if (sent.kind == Packet::Kind::data && !has_bug(ReliableBug::lost_piece_forgotten))
    lost_pieces_.push_back(sent.piece);
  if (sent.kind == Packet::Kind::hello && !heard_) hello_wanted_ = true;
  if (has_bug(ReliableBug::retransmission_is_free)) {
    uncharge(sent);
    sent.state = Sent::State::settled;
    --lost_;
  }
}

// What was sent well before something that has arrived is lost. It keeps its slot for now
// (release_lost): it may only be late.
void Reliable::find_losses(Time now) {
  loss_due_ = never;
  if (largest_acknowledged_ == 0) return;
  const std::uint64_t largest = largest_acknowledged_ - 1;
  for (std::size_t i = 0; i < sent_.size() && first_sent_ + i < largest; ++i) {
    Sent& sent = sent_[i];
    if (sent.state != Sent::State::under_way) continue;
    const Time due = sent.at + lateness(sent);
    const std::uint64_t later_max = comes_late(sent) ? acknowledged_below : reorder_max;
    if (largest - (first_sent_ + i) >= later_max || due <= now)
      lose(sent);
    else
      loss_due_ = std::min(loss_due_, due);
  }
}

// When this packet left, its sender had read all that lay at it. That was `delay_us` after the
// largest number reached it; so what left here well before that moment is neither on the wire nor
// there. Well before: a whole time-out, since a busy host may hold up all that comes for longer
// than a round trip.
void Reliable::lose_what_was_passed(const Packet& packet) {
  if (packet.largest == 0 || packet.largest != largest_acknowledged_) return;
  const Time moment = largest_acknowledged_at_ + std::chrono::microseconds(packet.delay_us);
  const Time least = round_trip_.timeout(ack_delay_max);
  for (std::size_t i = 0; i < sent_.size(); ++i) {
    Sent& sent = sent_[i];
    if (sent.state != Sent::State::under_way) continue;
    if (sent.at + std::max(lateness(sent), least) <= moment) lose(sent);
  }
}

void Reliable::release_lost(Time now) {
  const Time age = longest_reorder();
  for (std::size_t i = 0; lost_ != 0 && i < sent_.size(); ++i) {
    Sent& sent = sent_[i];
    if (sent.state != Sent::State::lost || sent.at + age > now) continue;
    sent.state = Sent::State::settled;
    --lost_;
    uncharge(sent);
  }
}

void Reliable::trim() {
  while (!sent_.empty() && sent_.front().state == Sent::State::settled) {
    sent_.pop_front();
    ++first_sent_;
  }
}

// --- numbers and pieces ---

bool Reliable::is_known(std::uint64_t number) const {
  if (largest_received_ == 0 || number >= largest_received_) return false;
  const std::uint64_t below = largest_received_ - 1 - number;
  return below == 0 || below > acknowledged_below || ((received_bits_ >> (below - 1)) & 1) != 0;
}

void Reliable::note_number(std::uint64_t number, bool& in_sequence) {
  in_sequence = number == largest_received_;
  if (number < largest_received_) {
    received_bits_ |= std::uint64_t{1} << (largest_received_ - 2 - number);
    return;
  }
  const std::uint64_t step = number + 1 - largest_received_;
  const std::uint64_t before =
      largest_received_ == 0 || step > acknowledged_below ? 0 : std::uint64_t{1} << (step - 1);
  received_bits_ = (step < acknowledged_below ? received_bits_ << step : 0) | before;
  largest_received_ = number + 1;
}

std::uint32_t Reliable::pieces_of(std::size_t size, std::size_t piece) const {
  return static_cast<std::uint32_t>(std::max<std::size_t>(1, (size + piece - 1) / piece));
}

Reliable::Taken Reliable::take_piece(const Packet& packet) {
  const std::size_t lane_index = static_cast<std::size_t>(packet.lane);
  InLane& in = in_[lane_index];
  if (packet.message < in.first) {
    ++counters_.duplicate_pieces;
    return Taken::again;
  }
  const std::uint64_t index = packet.message - in.first;
  if (index >= messages_window) return Taken::no;
  const std::size_t rest = packet.total - packet.offset;
  if (packet.offset % peer_piece_ != 0 ||
      packet.piece.size() != std::min<std::size_t>(rest, peer_piece_))
    return Taken::no;
  while (in.messages.size() <= index) in.messages.push_back({});
  Incoming& message = in.messages[index];
  if (message.state == Incoming::State::none) {
    const bool fits = index == 0 || half_bytes_[lane_index] + packet.total <= reassembly_max;
    if (!fits) return Taken::no;
    const std::uint32_t pieces = pieces_of(packet.total, peer_piece_);
    const std::size_t marks = (pieces + 7) / 8;
    message = {.state = Incoming::State::half,
               .buffer = received_.take(packet.total + marks),
               .size = packet.total,
               .pieces_left = pieces};
    std::memset(message.buffer->bytes.get() + packet.total, 0, marks);
    half_bytes_[lane_index] += packet.total;
  }
  const bool is_whole = message.state != Incoming::State::half;
  if (!is_whole && message.size != packet.total) return Taken::no;
  if (!is_whole) {
    const std::size_t piece = packet.offset / peer_piece_;
    std::byte& marks = message.buffer->bytes[message.size + piece / 8];
    const auto mark = static_cast<std::byte>(1u << (piece % 8));
    if ((marks & mark) == std::byte{0} || has_bug(ReliableBug::duplicate_delivered)) {
      marks |= mark;
      if (!packet.piece.empty())
        std::memcpy(message.buffer->bytes.get() + packet.offset, packet.piece.data(),
                    packet.piece.size());
      if (--message.pieces_left == 0) complete(packet.lane, index);
      return Taken::yes;
    }
  }
  ++counters_.duplicate_pieces;
  return Taken::again;
}

void Reliable::complete(Lane lane, std::uint64_t index) {
  InLane& in = in_[static_cast<std::size_t>(lane)];
  const auto deliver = [&](Incoming& message) {
    half_bytes_[static_cast<std::size_t>(lane)] -= message.size;
    ready_.push_back({lane, std::exchange(message.buffer, nullptr), message.size});
    message.state = Incoming::State::gone;
    ++counters_.messages_received;
  };
  in.messages[index].state = Incoming::State::whole;
  if (lane == Lane::any_order || has_bug(ReliableBug::order_ignored)) deliver(in.messages[index]);
  while (!in.messages.empty()) {
    Incoming& front = in.messages.front();
    if (front.state == Incoming::State::whole) deliver(front);
    if (front.state != Incoming::State::gone) break;
    in.messages.pop_front();
    ++in.first;
  }
}

}  // namespace dsm::transport
