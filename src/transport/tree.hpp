// Tree: messages for many nodes by way of each other, on a wire that reaches one node at a time.
// Pure.
//
// Who has packets for more than `fan_out` nodes cuts them into that many parts. One node of each
// part, the child, gets a bundle (bundle.hpp): its own packet first, behind it those of the rest of
// its part. It takes what is its own and passes the rest on in the same manner.
//
// What is passed on are packets, sealed and numbered between their sender and their receiver. Who
// passes them on can neither read them as its own nor change them, keeps none, and answers for
// none: what is lost on the way, also at a node that is stopped or dead, its sender finds missing,
// and sends again straight (reliable.hpp).
//
// A datagram fills a slot of the child's ring. Who sends it pays: the first packet in it is its
// own, an aside if it has nothing to say, and leaves only if it has credit with the child.
// Otherwise, and when the wire takes no more, nothing is passed on. So who receives waits for
// nobody, and no ring is overrun, however late something is passed on. The child goes by that
// packet, too: if its seal is wrong, or if it has come before, it passes nothing on.
//
// Thread-compatible. Allocates nothing once it is made.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/types.hpp"
#include "base/wire.hpp"

namespace dsm::transport {

class Bundle;

// A node that passes on spends about as long on each of its children as the first one did, and each
// further level costs the time in which a node that waits notices a datagram. With four, a sender
// saves more than that where it has a dozen peers and more.
inline constexpr std::uint32_t fan_out_default = 4;
inline constexpr std::uint32_t fan_out_max = 64;

class Tree {
 public:
  // What a tree asks of the node that it grows at.
  class Node {
   public:
    // The next packet for `peer`, sealed, written to `out`; its bytes, 0: none now, or the peer
    // should have no part in this. For a child: one that pays for a datagram. For another: a piece
    // of a message.
    virtual std::size_t next_for_child(NodeId peer, std::span<std::byte> out) = 0;
    virtual std::size_t next_for_other(NodeId peer, std::span<std::byte> out) = 0;
    // False: the wire did not take it.
    virtual bool send(NodeId child, ByteView datagram) = 0;
    // What was given last for this peer has left.
    virtual void left(NodeId peer) = 0;

   protected:
    ~Node() = default;
  };
  struct Sent {
    std::uint64_t datagrams = 0;
    std::uint64_t packets = 0;  // of this node, in them
    std::uint64_t dropped = 0;  // packets of others that were not passed on
  };

  // `datagram`: bytes that any node of the job takes. REQUIRES: fan_out is 1 to fan_out_max.
  Tree(NodeId self, std::uint32_t nodes, std::uint32_t fan_out, std::size_t datagram);

  // What waits for these peers, of which some may be named twice. What has not left is still to be
  // sent, to each alone: all of it where there are no more than fan_out, or none of them has
  // credit.
  Sent send(std::span<const NodeId> to, Node& node);
  // All of a bundle that is for others. REQUIRES: Bundle::is_one(), and its first packet was good.
  Sent pass_on(ByteView bundle, Node& node);

 private:
  bool board(NodeId peer, std::size_t bytes, Bundle& bundle);

  const NodeId self_;
  const std::uint32_t fan_out_;
  Bytes room_;
  Bytes packet_;
  std::vector<NodeId> peers_;           // whom a bundle is for
  std::vector<std::uint32_t> entries_;  // of a bundle, those for others
  std::vector<NodeId> aboard_;
  std::vector<bool> named_;  // by rank
};

}  // namespace dsm::transport
