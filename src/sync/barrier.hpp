// When everyone has arrived: the dissemination barrier of Hensgen, Finkel and Manber (1988),
// carrying what each node contributes. Pure; a contribution is opaque bytes. In round k a node
// sends what it knows to the node 2^k above it, so after ⌈log2 n⌉ rounds everyone knows everyone's
// contribution, each exactly once and by rank, for any n. Messages may overtake one another.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/types.hpp"
#include "base/wire.hpp"

namespace dsm::sync {

struct Contribution {
  NodeId rank{};
  Bytes bytes;
  bool operator==(const Contribution&) const = default;
};

struct BarrierMessage {
  NodeId to{};
  Epoch epoch{};  // barriers completed before this one
  std::uint32_t round = 0;
  std::vector<Contribution> known;
  bool operator==(const BarrierMessage&) const = default;
};

// One node's part in barrier after barrier. A value.
class Barrier {
 public:
  Barrier(NodeId self, std::uint32_t nodes);

  // This node arrives. Appends what to send. REQUIRES: !arrived().
  void arrive(Bytes contribution, std::vector<BarrierMessage>& out);

  // A message from `from` came: of this barrier or, early, of the next. False: no node of this job
  // could have sent it.
  bool receive(NodeId from, Epoch epoch, std::uint32_t round, std::vector<Contribution> known,
               std::vector<BarrierMessage>& out);

  // Everyone has arrived. Then leave() yields the contributions by rank and opens the next barrier.
  bool complete() const { return arrived_ && round_ == rounds_; }
  std::vector<Bytes> leave();

  bool arrived() const { return arrived_; }
  Epoch epoch() const { return epoch_; }  // barriers left so far
  std::uint32_t rounds() const { return rounds_; }
  bool operator==(const Barrier&) const = default;

 private:
  struct Early {
    Epoch epoch{};
    std::uint32_t round = 0;
    std::vector<Contribution> known;
    bool operator==(const Early&) const = default;
  };

  void send_round(std::vector<BarrierMessage>& out);
  void advance(std::vector<BarrierMessage>& out);
  bool take_early();
  NodeId below(std::uint64_t distance) const;

  NodeId self_;
  std::uint32_t nodes_;
  std::uint32_t rounds_;
  Epoch epoch_{};
  std::uint32_t round_ = 0;  // rounds received in order
  bool arrived_ = false;
  std::vector<std::optional<Bytes>> known_;  // by rank
  std::vector<Early> early_;
};

}  // namespace dsm::sync
