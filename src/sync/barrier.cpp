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

}  // namespace

Barrier::Barrier(NodeId self, std::uint32_t nodes)
    : self_(self), nodes_(nodes), rounds_(ceil_log2(nodes)), known_(nodes) {
  static_assert(nodes_max < (1u << 16), "rounds and distances fit 32 bits");
}

NodeId Barrier::below(std::uint64_t distance) const {
  return NodeId(static_cast<std::uint32_t>((self_.value + nodes_ - distance % nodes_) % nodes_));
}

void Barrier::arrive(Bytes contribution, std::vector<BarrierMessage>& out) {
  DSM_CHECK(!arrived_, "a node arrives once at each barrier");
  arrived_ = true;
  known_[self_.value] = std::move(contribution);
  if (round_ < rounds_) send_round(out);
  advance(out);
}

bool Barrier::receive(NodeId from, Epoch epoch, std::uint32_t round,
                      std::vector<Contribution> known, std::vector<BarrierMessage>& out) {
  if (round >= rounds_ || from != below(std::uint64_t{1} << round)) return false;
  if (epoch != epoch_ && epoch != epoch_ + 1) return false;
  if (epoch == epoch_ && round < round_) return false;
  for (const Contribution& c : known)
    if (c.rank.value >= nodes_) return false;
  for (const Early& e : early_)
    if (e.epoch == epoch && e.round == round) return false;
  early_.push_back({epoch, round, std::move(known)});
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

// In round k we know the 2^k ranks up to and including our own. The receiver, 2^k above, lacks at
// most n - 2^k of them.
void Barrier::send_round(std::vector<BarrierMessage>& out) {
  const std::uint32_t distance = 1u << round_;
  const std::uint32_t count = std::min(distance, nodes_ - distance);
  BarrierMessage message{NodeId((self_.value + distance) % nodes_), epoch_, round_, {}};
  for (std::uint32_t back = 0; back < count; ++back) {
    const NodeId rank = below(back);
    DSM_CHECK_WITH(known_[rank.value].has_value(), "a round knows all ranks that it passes on",
                   {"rank", rank.value});
    message.known.push_back({rank, *known_[rank.value]});
  }
  out.push_back(std::move(message));
}

void Barrier::advance(std::vector<BarrierMessage>& out) {
  while (round_ < rounds_ && take_early()) {
    ++round_;
    if (round_ < rounds_) send_round(out);
  }
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

}  // namespace dsm::sync
