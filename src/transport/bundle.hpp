// Bundle: packets for several nodes in one datagram that reaches every node of the job (multicast).
// Pure; decoding is total.
//
//   head      whose it is, how many entries follow
//   entries   for whom, where its piece lies, and the header of its packet
//   pieces    one that several packets carry is there once
//
// Each packet is what would have gone to its node alone: with its own number, and sealed with the key
// of its own two nodes. So a bundle needs no key that all nodes know, and no seal: an entry that was
// altered makes a packet whose seal is wrong, and one that comes again an old packet.
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

  // Made in `room`. REQUIRES: it outlives this, and has at most bytes_max bytes.
  Bundle(NodeId from, std::span<std::byte> room);

  // A whole sealed packet. False: it does not fit. REQUIRES: for each node once.
  bool add(NodeId to, ByteView packet);
  std::uint32_t count() const { return count_; }
  // The datagram. Nothing is added behind this.
  ByteView finish();

  // Whether a datagram is meant as one; otherwise it may be a packet.
  static bool is_one(ByteView datagram);
  static NodeId sender(ByteView datagram);  // REQUIRES: is_one()
  // The packet for `to`, written to `out`; its bytes, 0: there is none, or none that fits.
  // REQUIRES: is_one().
  static std::size_t take(ByteView datagram, NodeId to, std::span<std::byte> out);

 private:
  const NodeId from_;
  const std::span<std::byte> room_;
  std::uint32_t count_ = 0;
  std::size_t pieces_ = 0;  // bytes, at the end of the room
  std::size_t last_ = 0;    // of these, the piece added last
};

}  // namespace dsm::transport
