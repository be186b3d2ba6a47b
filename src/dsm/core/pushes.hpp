// What a node knows of pushes between two barriers: its own, and those that come to it. A pure
// value.
#pragma once

#include <cstdint>
#include <vector>

#include "base/types.hpp"
#include "base/wire.hpp"
#include "dsm/core/effect.hpp"

namespace dsm::core {

struct Pushes {
  // ---- of this node's own pages ----
  std::vector<PageId> based;  // those that have a base, sorted
  bool comparing = false;     // a PushPages is under way, and
  std::uint32_t flush_number = 0;
  std::vector<PushPart> parts;   // what it compares; till the barrier is left, what it compared,
  std::vector<PageRun> changed;  // what of it had changed
  std::vector<PushCount> to;     // and what was sent to whom

  // ---- of other nodes' pages ----
  std::vector<PushCount> came;  // for the coming barrier
  std::vector<PageId> covered;  // pages that it brought something for
  std::vector<PageId> missed;   // pages that were not here when it did
  struct Kept {
    NodeId from{};
    std::vector<PageRun> runs;
    Bytes body;
    bool operator==(const Kept&) const = default;
  };
  std::vector<Kept> held;   // for pages that are being fetched
  std::vector<Kept> early;  // for the barrier behind the coming one

  // To whom this page of `changed` was sent; null: it is none.
  const std::vector<NodeId>* readers_of(PageId page) const;
  bool operator==(const Pushes&) const = default;
};

// What a node has pushed to whom, at the head of its contribution to a barrier.
void encode(const std::vector<PushCount>& pushes, Writer& out);
std::vector<PushCount> decode_push_counts(Reader& in);  // !in.ok(): malformed
std::uint32_t count_of(const std::vector<PushCount>& pushes, NodeId node);

}  // namespace dsm::core
