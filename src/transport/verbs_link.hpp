// VerbsLink: the life of the RC queue pair between this node and one peer: made on first use,
// joined with the peer's, made anew in a new generation when it broke.
//
// Three notes (verbs_note.hpp), which travel by datagram, so that nothing but them is needed:
//   call     "my pair of generation g waits at this port: join it"
//   answer   "mine is joined with it, and receives"
//   ready    "and mine with yours": from here on both may send
// A pair thus sends only what the other one can receive; a request that came too early would be
// dropped, asked again for a second, and then break the pair.
//
// Both may call at once. When both mean one generation, the lower rank's call counts: the lower
// rank waits for its answer, and the higher one answers. Otherwise the later generation counts.
//
// Owns the pair. Thread-compatible: the lane's lock guards it. `queue` outlives it.
#pragma once

#include "transport/verbs_note.hpp"

namespace dsm::transport {

class VerbsLink {
 public:
  VerbsLink(const VerbsDevice& device, ibv_cq* queue, NodeId self, NodeId peer, VerbsNotes& notes,
            std::uint32_t depth);

  // Calls, unless there is a pair or one on its way.
  Status begin();
  // The pair broke: a new one, and a call.
  Status renew();
  // call, answer, ready. A call that is_newer() replaces the pair.
  Status heed(const VerbsNote& note);
  bool is_newer(const VerbsNote& note) const {
    return note.kind == VerbsNote::Kind::call && note.generation > generation_;
  }
  void close() { pair_.reset(), state_ = State::none; }

  bool is_ready() const { return state_ == State::ready; }
  // Counted from 1; 0: no pair was ever made.
  std::uint32_t generation() const { return generation_; }
  // REQUIRES: is_ready().
  ibv_qp* pair() const { return pair_.get(); }
  // The device's number of the pair there is; 0: there is none.
  std::uint32_t number() const { return pair_ ? pair_->qp_num : 0; }
  std::uint32_t inline_max() const { return inline_max_; }

  // As if the device had given the pair up. For tests.
  void fail();

 private:
  enum class State { none, calling, answered, ready };

  Status call(std::uint32_t generation);
  Status open(std::uint32_t generation);
  Status join(const VerbsNote& peers);
  void tell(VerbsNote::Kind kind);

  const VerbsDevice& device_;
  ibv_cq* const queue_;
  const NodeId self_;
  const NodeId peer_;
  VerbsNotes& notes_;
  const std::uint32_t depth_;
  State state_ = State::none;
  VerbsPair pair_;
  std::uint32_t generation_ = 0;
  std::uint32_t inline_max_ = 0;
};

}  // namespace dsm::transport
