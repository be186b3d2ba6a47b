#include "transport/packet.hpp"

#include <cstring>

#include "transport/datagram.hpp"

namespace dsm::transport {
namespace {

constexpr std::uint16_t magic = 0x5244;  // "DR"; a change of the layout changes it

// As it is on the wire, behind the seal.
struct Header {
  std::uint16_t magic;
  std::uint8_t kind;
  std::uint8_t flags;
  std::uint32_t from;
  std::uint64_t number;
  std::uint64_t largest;
  std::uint64_t received;
  std::uint32_t delay_us;
  std::uint32_t zero;
  std::uint64_t message;
  std::uint32_t total;
  std::uint32_t offset;
};
static_assert(sizeof(Header) + seal_bytes == packet_header_bytes);

// No session lives so long; beyond, sums could overflow.
constexpr std::uint64_t number_end = std::uint64_t{1} << 62;
constexpr std::uint8_t flag_drained = 1;
constexpr std::uint8_t flag_in_order = 2;
constexpr std::uint8_t flag_connected = 4;

Header header_of(ByteView datagram) {
  Header header;
  std::memcpy(&header, datagram.data() + seal_bytes, sizeof header);
  return header;
}

}  // namespace

void Packet::encode(std::byte* out) const {
  const auto flags = static_cast<std::uint8_t>((drained ? flag_drained : 0) |
                                               (lane == Lane::in_order ? flag_in_order : 0) |
                                               (connected ? flag_connected : 0));
  const Header header{magic,    static_cast<std::uint8_t>(kind),
                      flags,    from.value,
                      number,   largest,
                      received, delay_us,
                      0,        message,
                      total,    offset};
  std::memcpy(out + seal_bytes, &header, sizeof header);
}

bool Packet::is_of_this_protocol(ByteView datagram) {
  return header_of(datagram).magic == magic;
}

NodeId Packet::sender(ByteView datagram) {
  return NodeId(header_of(datagram).from);
}

std::optional<Packet> Packet::decode(ByteView datagram) {
  if (!is_long_enough(datagram)) return std::nullopt;
  const Header header = header_of(datagram);
  if (header.magic != magic || header.zero != 0) return std::nullopt;
  if ((header.flags & ~(flag_drained | flag_in_order | flag_connected)) != 0) return std::nullopt;
  if (header.number >= number_end || header.largest > number_end) return std::nullopt;
  if (header.largest == 0 && (header.received != 0 || header.delay_us != 0)) return std::nullopt;
  const Packet packet{
      .kind = static_cast<Kind>(header.kind),
      .lane = (header.flags & flag_in_order) != 0 ? Lane::in_order : Lane::any_order,
      .drained = (header.flags & flag_drained) != 0,
      .connected = (header.flags & flag_connected) != 0,
      .from = NodeId(header.from),
      .number = header.number,
      .largest = header.largest,
      .received = header.received,
      .delay_us = header.delay_us,
      .message = header.message,
      .total = header.total,
      .offset = header.offset,
      .piece = datagram.subspan(packet_header_bytes)};
  switch (packet.kind) {
    case Kind::data: {
      const bool fits = packet.total <= reliable_message_max && packet.offset <= packet.total &&
                        packet.piece.size() <= packet.total - packet.offset;
      const bool carries = !packet.piece.empty() || packet.total == 0;
      return fits && carries ? std::optional<Packet>(packet) : std::nullopt;
    }
    case Kind::hello:
      if (!packet.piece.empty() || packet.lane != Lane::any_order) return std::nullopt;
      return packet;
    case Kind::acknowledgement:
    case Kind::probe:
    case Kind::bye:
    case Kind::aside: {
      const std::size_t most = packet.kind == Kind::probe ? news_max : 0;
      const bool bare = packet.piece.size() <= most && packet.lane == Lane::any_order &&
                        packet.message == 0 && packet.total == 0 && packet.offset == 0;
      return bare ? std::optional<Packet>(packet) : std::nullopt;
    }
  }
  return std::nullopt;
}

}  // namespace dsm::transport
