// Packets: what Reliable says in one datagram. Pure; decoding is total.
//
// One header of 64 bytes for every kind; behind it a piece of a message (data), or nothing. Every
// packet has a number of its own, counted by its sender for each receiver, also when it carries a
// piece for the second time: what an acknowledgement says is never ambiguous, and an old packet
// that comes again is known. It acknowledges, in passing, the largest number that its sender has
// received, and 64 below it one by one.
//
// The first 8 bytes are the seal: SipHash-2-4 over all that follows, under a key for this
// direction of this session (seal.hpp).
#pragma once

#include <optional>

#include "base/types.hpp"
#include "base/wire.hpp"

namespace dsm::transport {

enum class Lane : std::uint8_t { any_order = 0, in_order = 1 };
inline constexpr std::size_t lanes_count = 2;

inline constexpr std::size_t reliable_message_max = std::size_t{1} << 30;
inline constexpr std::size_t seal_bytes = 8;
inline constexpr std::size_t packet_header_bytes = 64;
inline constexpr std::uint64_t acknowledged_below = 64;  // packets told of below the largest

struct Packet {
  enum class Kind : std::uint8_t {
    hello = 1,
    data = 2,
    acknowledgement = 3,
    probe = 4,
    bye = 5,
    aside = 6  // the datagram that it is in reached its receiver, and is about others
  };
  Kind kind = Kind::acknowledgement;
  Lane lane = Lane::any_order;  // data only, as what follows it here
  // all that lay at its sender for it to read was read when this was sent
  bool drained = false;
  bool connected = false;  // its sender has heard the receiver, and was heard by it
  NodeId from{};
  std::uint64_t number = 0;
  std::uint64_t largest = 0;   // 1 + the largest number received; 0: none yet
  std::uint64_t received = 0;  // bit i: number largest - 2 - i was received too
  std::uint32_t delay_us = 0;  // between that arrival and this packet
  // data: the message, its bytes, where in it this piece lies. hello: nodes of the job; datagrams
  // that the receiver of this may have under way to its sender; bytes of a piece.
  std::uint64_t message = 0;
  std::uint32_t total = 0;
  std::uint32_t offset = 0;
  ByteView piece;  // of a probe: news of its sender's port, or nothing

  // Asks for an acknowledgement.
  bool eliciting() const {
    return kind == Kind::hello || kind == Kind::data || kind == Kind::probe || kind == Kind::aside;
  }

  // All but the seal, and without the piece, which follows. REQUIRES: packet_header_bytes of room.
  void encode(std::byte* out) const;

  // REQUIRES: the datagram's seal was right. Nothing: these bytes are no packet.
  static std::optional<Packet> decode(ByteView datagram);
  // What may be asked before the seal is looked at.
  static bool is_long_enough(ByteView datagram) { return datagram.size() >= packet_header_bytes; }
  static bool is_of_this_protocol(ByteView datagram);  // REQUIRES: is_long_enough()
  static NodeId sender(ByteView datagram);             // REQUIRES: is_long_enough()
};

}  // namespace dsm::transport
