#include "transport/bundle.hpp"

#include <algorithm>
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
  std::uint16_t kind;
  std::uint16_t zero[2];
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

Entry entry_of(ByteView datagram, std::uint32_t index) {
  Entry entry;
  std::memcpy(&entry, datagram.data() + sizeof(Head) + index * sizeof entry, sizeof entry);
  return entry;
}

}  // namespace

Bundle::Bundle(NodeId from, std::span<std::byte> room, Kind kind)
    : from_(from), kind_(kind), room_(room) {
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
  const Head head{.from = from_.value,
                  .count = count_,
                  .magic = magic,
                  .kind = static_cast<std::uint16_t>(kind_),
                  .zero = {}};
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

bool Bundle::is_passed_on(ByteView datagram) {
  return head_of(datagram).kind == static_cast<std::uint16_t>(Kind::passed_on);
}

std::size_t Bundle::entries_max(std::size_t bytes) {
  return bytes < sizeof(Head) ? 0 : (bytes - sizeof(Head)) / sizeof(Entry);
}

std::uint32_t Bundle::entries(ByteView datagram) {
  return static_cast<std::uint32_t>(
      std::min<std::size_t>(head_of(datagram).count, entries_max(datagram.size())));
}

NodeId Bundle::receiver(ByteView datagram, std::uint32_t entry) {
  return NodeId(entry_of(datagram, entry).to);
}

std::size_t Bundle::take_at(ByteView datagram, std::uint32_t index, std::span<std::byte> out) {
  const Entry entry = entry_of(datagram, index);
  const std::size_t size = packet_header_bytes + entry.size;
  if (entry.begin > datagram.size() || entry.size > entry.begin || size > out.size()) return 0;
  std::memcpy(out.data(), entry.header, packet_header_bytes);
  const ByteView piece = datagram.last(entry.begin).first(entry.size);
  if (!piece.empty()) std::memcpy(out.data() + packet_header_bytes, piece.data(), piece.size());
  return size;
}

std::size_t Bundle::take(ByteView datagram, NodeId to, std::span<std::byte> out,
                         std::uint32_t behind) {
  for (std::uint32_t i = 0, count = entries(datagram); i < count; ++i)
    if (receiver(datagram, i) == to && behind-- == 0) return take_at(datagram, i, out);
  return 0;
}

}  // namespace dsm::transport
