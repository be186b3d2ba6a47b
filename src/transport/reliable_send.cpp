// What leaves: messages are queued, cut, and sent as credits allow.
#include <cstring>

#include "base/check.hpp"
#include "transport/datagram.hpp"
#include "transport/direct.hpp"
#include "transport/reliable.hpp"

namespace dsm::transport {
namespace {

std::size_t cost(std::size_t size) {
  return std::max(size, message_cost);
}

}  // namespace

bool Reliable::has_room(Lane lane, std::size_t size) const {
  const OutLane& out = out_[static_cast<std::size_t>(lane)];
  return out.messages.empty() || out.queued_bytes + cost(size) <= send_queue_max;
}

bool Reliable::send(Lane lane, ByteView header, ByteView body, bool must, Urgency urgency) {
  const std::size_t size = header.size() + body.size();
  DSM_CHECK_WITH(size <= reliable_message_max && !down_, "a message of legal size to a living peer",
                 {"size", size}, {"down", down_});
  if (!must && !has_room(lane, size)) return false;
  OutLane& out = out_[static_cast<std::size_t>(lane)];
  Buffer* const buffer = sending_.take(size);
  copy_shared(buffer->bytes.get(), header.data(), header.size());
  copy_shared(buffer->bytes.get() + header.size(), body.data(), body.size());
  out.messages.push_back(
      {buffer, static_cast<std::uint32_t>(size), pieces_of(size, piece_bytes_), urgency});
  out.queued_bytes += cost(size);
  ++counters_.messages_sent;
  return true;
}

void Reliable::announce(ByteView news, Time now) {
  DSM_CHECK_WITH(news.size() <= news_max, "news fit a probe", {"bytes", news.size()});
  if (down_) return;
  news_.assign(news.begin(), news.end());
  probe_wanted_ = true;
  reschedule(now);
}

bool Reliable::is_half_empty() const {
  for (const OutLane& out : out_)
    if (out.queued_bytes > send_queue_max / 2) return false;
  return true;
}

bool Reliable::all_acknowledged() const {
  for (const OutLane& out : out_)
    if (!out.messages.empty()) return false;
  return true;
}

std::size_t Reliable::next(Time now, bool drained, std::span<std::byte> out) {
  return !down_ && choose(now) ? write_chosen(now, drained, out) : 0;
}

std::size_t Reliable::next_in_bundle(Time now, std::span<std::byte> out) {
  return !down_ && (choose(now) || choose_aside()) ? write_chosen(now, false, out) : 0;
}

std::size_t Reliable::next_relayed(Time now, std::span<std::byte> out) {
  if (down_ || !greeted_ || !choose_piece()) return 0;
  chosen_->relayed = true;
  return write_chosen(now, false, out);
}

std::size_t Reliable::write_chosen(Time now, bool drained, std::span<std::byte> out) {
  const Sent& chosen = *chosen_;
  Packet packet{.kind = chosen.kind,
                .lane = chosen.piece.lane,
                .drained = drained,
                .connected = connected(),
                .from = setup_.self,
                .number = first_sent_ + sent_.size(),
                .largest = largest_received_,
                .received = received_bits_};
  if (largest_received_ != 0) {
    const auto held = std::chrono::duration_cast<std::chrono::microseconds>(now - largest_at_);
    packet.delay_us =
        static_cast<std::uint32_t>(std::clamp<std::int64_t>(held.count(), 0, 1'000'000'000));
  }
  chosen_bytes_ = 0;
  if (chosen.kind == Packet::Kind::hello) {
    packet.message = setup_.nodes;
    packet.total = setup_.slots;
    packet.offset = static_cast<std::uint32_t>(piece_bytes_);
  } else if (chosen.kind == Packet::Kind::data) {
    const OutLane& lane = out_[static_cast<std::size_t>(chosen.piece.lane)];
    const Outgoing& message = lane.messages[chosen.piece.message - lane.first];
    packet.message = chosen.piece.message;
    packet.total = message.size;
    packet.offset = chosen.piece.offset;
    chosen_bytes_ = static_cast<std::uint32_t>(
        std::min<std::size_t>(piece_bytes_, message.size - chosen.piece.offset));
    if (chosen_bytes_ != 0)
      std::memcpy(out.data() + packet_header_bytes,
                  message.buffer->bytes.get() + chosen.piece.offset, chosen_bytes_);
  } else if (chosen.kind == Packet::Kind::probe && !news_.empty()) {
    chosen_bytes_ = static_cast<std::uint32_t>(news_.size());
    std::memcpy(out.data() + packet_header_bytes, news_.data(), news_.size());
  }
  packet.encode(out.data());
  return packet_header_bytes + chosen_bytes_;
}

Urgency Reliable::urgency() const {
  if (chosen_->kind == Packet::Kind::acknowledgement) return Urgency::patient;
  if (chosen_->kind != Packet::Kind::data) return Urgency::prompt;
  const OutLane& lane = out_[static_cast<std::size_t>(chosen_->piece.lane)];
  return lane.messages[chosen_->piece.message - lane.first].urgency;
}

// What is most worth saying.
bool Reliable::choose(Time now) {
  const auto control = [this](Packet::Kind kind) {
    chosen_ = Sent{.kind = kind};
    chosen_is_resent_ = false;
    return true;
  };
  if (bye_wanted_) return control(Packet::Kind::bye);
  if (hello_wanted_ && control_allowed(now)) return control(Packet::Kind::hello);
  if (greeted_ && choose_piece()) return true;
  const bool free_probe = has_bug(ReliableBug::retransmission_is_free);
  if (probe_wanted_ && (control_allowed(now) || free_probe)) return control(Packet::Kind::probe);
  const bool answer = answer_now_ || (unanswered_ != 0 && now >= answer_due_);
  if (answer && control_allowed(now)) return control(Packet::Kind::acknowledgement);
  chosen_.reset();
  return false;
}

Time Reliable::control_allowed_at() const {
  if (charged_control_ + control_slots_slow < control_slots_) return Time(0);
  return charged_control_ < control_slots_ ? spoke_at_ + control_slow : never;
}

bool Reliable::has_data() const {
  if (!lost_pieces_.empty()) return true;
  for (const OutLane& out : out_)
    if (out.opened < out.first + out.messages.size()) return true;
  return false;
}

bool Reliable::choose_piece() {
  if (!has_data()) return false;
  if (!has_credit() && !has_bug(ReliableBug::credits_ignored)) {
    if (!waits_for_credit_) ++counters_.credit_waits;
    waits_for_credit_ = true;
    return false;
  }
  waits_for_credit_ = false;
  if (!lost_pieces_.empty()) {
    chosen_ = Sent{.kind = Packet::Kind::data, .resent = true, .piece = lost_pieces_.front()};
    chosen_is_resent_ = true;
    return true;
  }
  const Lane other = turn_ == Lane::any_order ? Lane::in_order : Lane::any_order;
  return choose_new_piece(turn_) || choose_new_piece(other);
}

bool Reliable::choose_aside() {
  if (!has_credit() && !has_bug(ReliableBug::aside_is_free)) return false;
  chosen_ = Sent{.kind = Packet::Kind::aside};
  chosen_is_resent_ = false;
  return true;
}

bool Reliable::choose_new_piece(Lane lane) {
  const OutLane& out = out_[static_cast<std::size_t>(lane)];
  const std::uint64_t index = out.opened - out.first;
  if (index >= out.messages.size()) return false;
  if (out.offset == 0) {  // a message is opened
    const bool fits =
        out.open_bytes == 0 || out.open_bytes + out.messages[index].size <= reassembly_max;
    if (index >= messages_window || !fits) return false;
  }
  chosen_ = Sent{.kind = Packet::Kind::data,
                 .piece = {.lane = lane, .message = out.opened, .offset = out.offset}};
  chosen_is_resent_ = false;
  return true;
}

void Reliable::left(Time now) {
  DSM_CHECK(chosen_.has_value(), "a packet left that next() gave");
  Sent sent = *chosen_;
  chosen_.reset();
  sent.at = now;
  ++counters_.packets_sent;
  answer_now_ = false;
  unanswered_ = 0;
  switch (sent.kind) {
    case Packet::Kind::data: {
      ++counters_.pieces_sent;
      if (chosen_is_resent_) {
        ++counters_.pieces_resent;
        lost_pieces_.pop_front();
        break;
      }
      OutLane& out = out_[static_cast<std::size_t>(sent.piece.lane)];
      const Outgoing& message = out.messages[out.opened - out.first];
      if (out.offset == 0) out.open_bytes += message.size;
      out.offset += chosen_bytes_;
      if (out.offset == message.size) {
        ++out.opened;
        out.offset = 0;
      }
      turn_ = sent.piece.lane == Lane::any_order ? Lane::in_order : Lane::any_order;
      break;
    }
    case Packet::Kind::hello:
      hello_wanted_ = false;
      break;
    case Packet::Kind::probe:
      ++counters_.probes_sent;
      break;
    case Packet::Kind::acknowledgement:
      ++counters_.acknowledgements_sent;
      break;
    case Packet::Kind::bye:
      bye_wanted_ = false;
      break;
    case Packet::Kind::aside:
      ++counters_.asides_sent;
      break;
  }
  if (sent.fills_data_slot()) {
    ++charged_data_;
  } else {
    ++charged_control_;
    spoke_at_ = now;
  }
  if (sent.eliciting()) {
    probe_wanted_ = false;
    ++asking_;
    asked_at_ = now;
  }
  sent_.push_back(sent);
  reschedule(now);
}

}  // namespace dsm::transport
