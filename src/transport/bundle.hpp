// Bundle: packets for several nodes in one datagram, which reaches every node of the job
// (multicast), or one that passes the others' on (tree.hpp). Pure; decoding is total.
//
//   head      whose it is, how many entries follow
//   entries   for whom, where its piece lies, and the header of its packet
//   pieces    one that several packets carry is there once
//
// Each packet is what would have gone to its node alone: with its own number, and sealed with the
// key of its own two nodes. So a bundle needs no key that all nodes know, and no seal: an entry
// that was altered makes a packet whose seal is wrong, and one that comes again an old packet. Of a
// bundle that is passed on the first packet is its sender's for its receiver.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/types.hpp"
#include "base/wire.hpp"

namespace dsm::transport {

class Bundle {
 public:
  // The longest for which offsets have room.
  static constexpr std::size_t bytes_max = 65535;

  enum class Kind : std::uint16_t { for_all = 0, passed_on = 1 };

  // Made in `room`. REQUIRES: it outlives this, and has at most bytes_max bytes.
  Bundle(NodeId from, std::span<std::byte> room, Kind kind = Kind::for_all);

  // A whole sealed packet. False: it does not fit.
  bool add(NodeId to, ByteView packet);
  std::uint32_t count() const { return count_; }
  // The datagram. Nothing is added behind this.
  ByteView finish();

  // Whether a datagram is meant as one; otherwise it may be a packet.
  static bool is_one(ByteView datagram);
  // The most that one of so many bytes has.
  static std::size_t entries_max(std::size_t bytes);

  // REQUIRE: is_one().
  static NodeId sender(ByteView datagram);
  static bool is_passed_on(ByteView datagram);
  static std::uint32_t entries(ByteView datagram);
  // Of one of its entries: for whom, and the packet, written to `out`; its bytes, 0: none that
  // fits.
  static NodeId receiver(ByteView datagram, std::uint32_t entry);
  static std::size_t take_at(ByteView datagram, std::uint32_t entry, std::span<std::byte> out);
  // The packet for `to`, behind so many others for it, as take_at().
  static std::size_t take(ByteView datagram, NodeId to, std::span<std::byte> out,
                          std::uint32_t behind = 0);

 private:
  const NodeId from_;
  const Kind kind_;
  const std::span<std::byte> room_;
  std::uint32_t count_ = 0;
  std::size_t pieces_ = 0;  // bytes, at the end of the room
  std::size_t last_ = 0;    // of these, the piece added last
};

}  // namespace dsm::transport
