// When everyone has arrived: a barrier that carries what each node contributes. Pure; a
// contribution is opaque bytes. Everyone learns everyone's contribution exactly once and by rank,
// for any n. Messages may overtake one another.
//
// Among few nodes by dissemination (Hensgen, Finkel and Manber, 1988): in round k a node sends what
// it knows to the node 2^k above it; n ⌈log2 n⌉ messages, ⌈log2 n⌉ trips. Among many by a binomial
// tree with a broadcast: a node tells its parent of its subtree when it has heard of all of it, and
// what the root then knows comes down; 2 (n - 1) messages, 2 ⌈log2 n⌉ trips at most.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/types.hpp"
#include "base/wire.hpp"

namespace dsm::sync {

// The most nodes that meet by dissemination.
inline constexpr std::uint32_t dissemination_nodes_max = 32;

struct Contribution {
  NodeId rank{};
  Bytes bytes;
  bool operator==(const Contribution&) const = default;
};

struct BarrierMessage {
  NodeId to{};
  Epoch epoch{};            // barriers completed before this one
  std::uint32_t round = 0;  // of the receiver
  std::vector<Contribution> known;
  bool operator==(const BarrierMessage&) const = default;
};

// One node's part in barrier after barrier. A value.
class Barrier {
 public:
  Barrier(NodeId self, std::uint32_t nodes, std::uint32_t disseminate = dissemination_nodes_max);

  // This node arrives. Appends what to send. REQUIRES: !arrived().
  void arrive(Bytes contribution, std::vector<BarrierMessage>& out);

  // A message from `from` came: of this barrier or, early, of the next. False: no node of this job
  // could have sent it.
  bool receive(NodeId from, Epoch epoch, std::uint32_t round, std::vector<Contribution> known,
               std::vector<BarrierMessage>& out);

  // Everyone has arrived. Then leave() yields the contributions by rank and opens the next barrier.
  bool complete() const { return arrived_ && round_ == rounds_; }
  std::vector<Bytes> leave();
  // What a node contributed to it. REQUIRES: complete()
  ByteView contribution(NodeId rank) const { return *known_[rank.value]; }

  bool arrived() const { return arrived_; }
  Epoch epoch() const { return epoch_; }  // barriers left so far
  // Ranks that this node has not heard of. They may have arrived: a round tells of several.
  std::vector<NodeId> missing() const;
  std::uint32_t rounds() const { return rounds_; }
  std::uint32_t round() const { return round_; }  // messages taken, in the order of their rounds
  // Everything that the future depends on, for telling states apart.
  void encode(Writer& out) const;
  bool operator==(const Barrier&) const = default;

 private:
  struct Early {
    Epoch epoch{};
    std::uint32_t round = 0;
    std::vector<Contribution> known;
    bool operator==(const Early&) const = default;
  };

  // A node takes one message a round, and sends what that entitles it to.
  NodeId source(std::uint32_t round) const;
  void send_after(std::uint32_t rounds, std::vector<BarrierMessage>& out) const;
  void advance(std::vector<BarrierMessage>& out);
  bool take_early();
  BarrierMessage message(NodeId to, std::uint32_t round) const;
  void tell(BarrierMessage& message, std::uint32_t first, std::uint32_t count) const;

  NodeId self_;
  std::uint32_t nodes_;
  bool tree_;
  std::uint32_t rounds_;
  Epoch epoch_{};
  std::uint32_t round_ = 0;  // rounds received in order
  bool arrived_ = false;
  std::vector<std::optional<Bytes>> known_;  // by rank
  std::vector<Early> early_;                 // by epoch and round
};

}  // namespace dsm::sync
