#include "sync/barrier.hpp"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/check.hpp"

namespace dsm::sync {
namespace {

std::uint32_t ceil_log2(std::uint32_t n) {
  return static_cast<std::uint32_t>(std::bit_width(n - 1));
}

// The binomial tree over ranks 0 to n - 1: child j of a rank is 2^j above it, and the subtree of a
// rank are the ranks from it up to the next that has as many zeroes at its end.
std::uint32_t subtree(std::uint32_t rank, std::uint32_t nodes) {
  const std::uint32_t full = rank == 0 ? std::bit_ceil(nodes) : rank & -rank;
  return std::min(full, nodes - rank);
}

std::uint32_t children(std::uint32_t rank, std::uint32_t nodes) {
  return ceil_log2(subtree(rank, nodes));
}

std::uint32_t parent(std::uint32_t rank) {
  return rank & (rank - 1);
}

}  // namespace

Barrier::Barrier(NodeId self, std::uint32_t nodes, std::uint32_t disseminate)
    : self_(self), nodes_(nodes), tree_(nodes > disseminate), known_(nodes) {
  static_assert(nodes_max < (1u << 16), "rounds and distances fit 32 bits");
  rounds_ = tree_ ? children(self.value, nodes) + (self.value == 0 ? 0 : 1) : ceil_log2(nodes);
}

// Dissemination: from the node 2^round below. The tree: from one child after the other, and at last
// from the parent.
NodeId Barrier::source(std::uint32_t round) const {
  const std::uint32_t distance = 1u << round;
  if (!tree_) return NodeId((self_.value + nodes_ - distance) % nodes_);
  if (round == children(self_.value, nodes_)) return NodeId(parent(self_.value));
  return NodeId(self_.value + distance);
}

void Barrier::arrive(Bytes contribution, std::vector<BarrierMessage>& out) {
  DSM_CHECK(!arrived_, "a node arrives once at each barrier");
  arrived_ = true;
  known_[self_.value] = std::move(contribution);
  send_after(0, out);
  advance(out);
}

bool Barrier::receive(NodeId from, Epoch epoch, std::uint32_t round,
                      std::vector<Contribution> known, std::vector<BarrierMessage>& out) {
  if (round >= rounds_ || from != source(round)) return false;
  if (epoch != epoch_ && epoch != epoch_ + 1) return false;
  if (epoch == epoch_ && round < round_) return false;
  for (const Contribution& c : known)
    if (c.rank.value >= nodes_) return false;
  const auto before = [&](const Early& e) {
    return e.epoch != epoch ? e.epoch < epoch : e.round < round;
  };
  const auto at = std::find_if_not(early_.begin(), early_.end(), before);
  if (at != early_.end() && at->epoch == epoch && at->round == round) return false;
  early_.insert(at, {epoch, round, std::move(known)});
  if (arrived_) advance(out);
  return true;
}

std::vector<Bytes> Barrier::leave() {
  DSM_CHECK(complete(), "a barrier is left when everyone has arrived");
  std::vector<Bytes> by_rank;
  by_rank.reserve(nodes_);
  for (std::optional<Bytes>& k : known_) {
    DSM_CHECK(k.has_value(), "a complete barrier knows every contribution");
    by_rank.push_back(std::move(*k));
    k.reset();
  }
  ++epoch_;
  round_ = 0;
  arrived_ = false;
  return by_rank;
}

std::vector<NodeId> Barrier::missing() const {
  std::vector<NodeId> ranks;
  for (NodeId rank{0}; rank.value < nodes_; ++rank)
    if (!known_[rank.value]) ranks.push_back(rank);
  return ranks;
}

BarrierMessage Barrier::message(NodeId to, std::uint32_t round) const {
  return {to, epoch_, round, {}};
}

// Ranks go round from the last to the first.
void Barrier::tell(BarrierMessage& message, std::uint32_t first, std::uint32_t count) const {
  for (std::uint32_t i = 0; i < count; ++i) {
    const NodeId rank((first + i) % nodes_);
    DSM_CHECK_WITH(known_[rank.value].has_value(), "a round knows all ranks that it passes on",
                   {"rank", rank.value});
    message.known.push_back({rank, *known_[rank.value]});
  }
}

// What the first `rounds` messages, and this node's arrival, entitle it to send.
void Barrier::send_after(std::uint32_t rounds, std::vector<BarrierMessage>& out) const {
  const std::uint32_t self = self_.value;
  if (!tree_) {
    if (rounds == rounds_) return;
    // We know the 2^rounds ranks up to our own; the receiver lacks at most n - 2^rounds of them.
    const std::uint32_t distance = 1u << rounds;
    const std::uint32_t count = std::min(distance, nodes_ - distance);
    out.push_back(message(NodeId((self + distance) % nodes_), rounds));
    tell(out.back(), self + nodes_ + 1 - count, count);
    return;
  }
  const std::uint32_t subtrees = children(self, nodes_);
  if (self != 0 && rounds == subtrees) {
    out.push_back(
        message(NodeId(parent(self)), static_cast<std::uint32_t>(std::countr_zero(self))));
    tell(out.back(), self, subtree(self, nodes_));
  }
  if (rounds != rounds_) return;
  for (std::uint32_t j = subtrees; j-- > 0;) {  // the largest subtree has the longest way
    const std::uint32_t child = self + (1u << j);
    const std::uint32_t own = subtree(child, nodes_);
    out.push_back(message(NodeId(child), children(child, nodes_)));
    tell(out.back(), child + own, nodes_ - own);
  }
}

void Barrier::advance(std::vector<BarrierMessage>& out) {
  while (round_ < rounds_ && take_early()) send_after(++round_, out);
}

bool Barrier::take_early() {
  const auto it = std::find_if(early_.begin(), early_.end(), [&](const Early& e) {
    return e.epoch == epoch_ && e.round == round_;
  });
  if (it == early_.end()) return false;
  for (Contribution& c : it->known) known_[c.rank.value] = std::move(c.bytes);
  early_.erase(it);
  return true;
}

void Barrier::encode(Writer& out) const {
  out.put(epoch_);
  out.put(round_);
  out.put(arrived_);
  for (const std::optional<Bytes>& k : known_) {
    out.put(k.has_value());
    if (k) out.put_sized(*k);
  }
  for (const Early& e : early_) {
    out.put(e.epoch);
    out.put(e.round);
    for (const Contribution& c : e.known) {
      out.put(c.rank);
      out.put_sized(c.bytes);
    }
  }
}

}  // namespace dsm::sync
