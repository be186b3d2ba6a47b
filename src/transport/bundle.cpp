#include "transport/bundle.hpp"

#include <cstring>

#include "base/check.hpp"
#include "transport/packet.hpp"

namespace dsm::transport {
namespace {

constexpr std::uint16_t magic = 0x4244;  // "DB"; lies where a packet has its own

struct Head {
  std::uint32_t from;
  std::uint32_t count;
  std::uint16_t magic;
  std::uint16_t zero[3];
};
static_assert(sizeof(Head) == 16 && offsetof(Head, magic) == seal_bytes);

struct Entry {
  std::uint32_t to;
  std::uint16_t begin;  // of its piece, counted back from the datagram's end
  std::uint16_t size;   // of its piece
  std::byte header[packet_header_bytes];
};
static_assert(sizeof(Entry) == 8 + packet_header_bytes);

Head head_of(ByteView datagram) {
  Head head;
  std::memcpy(&head, datagram.data(), sizeof head);
  return head;
}

}  // namespace

Bundle::Bundle(NodeId from, std::span<std::byte> room) : from_(from), room_(room) {
  DSM_CHECK_WITH(room.size() <= bytes_max, "a bundle's offsets have 16 bits",
                 {"bytes", room.size()});
}

bool Bundle::add(NodeId to, ByteView packet) {
  const ByteView piece = packet.subspan(packet_header_bytes);
  const std::byte* const pieces = room_.data() + room_.size() - pieces_;
  const bool same =
      piece.empty() || (piece.size() == last_ && std::memcmp(pieces, piece.data(), last_) == 0);
  const std::size_t more = same ? 0 : piece.size();
  const std::size_t table = sizeof(Head) + count_ * sizeof(Entry);
  if (table + sizeof(Entry) + pieces_ + more > room_.size()) return false;
  if (more != 0) {
    pieces_ += more;
    last_ = more;
    std::memcpy(room_.data() + room_.size() - pieces_, piece.data(), more);
  }
  Entry entry{.to = to.value,
              .begin = static_cast<std::uint16_t>(pieces_),
              .size = static_cast<std::uint16_t>(piece.size()),
              .header = {}};
  std::memcpy(entry.header, packet.data(), packet_header_bytes);
  std::memcpy(room_.data() + table, &entry, sizeof entry);
  ++count_;
  return true;
}

ByteView Bundle::finish() {
  const Head head{.from = from_.value, .count = count_, .magic = magic, .zero = {}};
  std::memcpy(room_.data(), &head, sizeof head);
  const std::size_t table = sizeof head + count_ * sizeof(Entry);
  std::memmove(room_.data() + table, room_.data() + room_.size() - pieces_, pieces_);
  return room_.first(table + pieces_);
}

bool Bundle::is_one(ByteView datagram) {
  return datagram.size() >= sizeof(Head) && head_of(datagram).magic == magic;
}

NodeId Bundle::sender(ByteView datagram) {
  return NodeId(head_of(datagram).from);
}

std::size_t Bundle::take(ByteView datagram, NodeId to, std::span<std::byte> out) {
  const Head head = head_of(datagram);
  ByteView rest = datagram.subspan(sizeof head);
  for (std::uint32_t i = 0; i < head.count && rest.size() >= sizeof(Entry); ++i) {
    Entry entry;
    std::memcpy(&entry, rest.data(), sizeof entry);
    rest = rest.subspan(sizeof entry);
    if (entry.to != to.value) continue;
    const std::size_t size = packet_header_bytes + entry.size;
    if (entry.begin > datagram.size() || entry.size > entry.begin || size > out.size()) return 0;
    std::memcpy(out.data(), entry.header, packet_header_bytes);
    const ByteView piece = datagram.last(entry.begin).first(entry.size);
    if (!piece.empty()) std::memcpy(out.data() + packet_header_bytes, piece.data(), piece.size());
    return size;
  }
  return 0;
}

}  // namespace dsm::transport
