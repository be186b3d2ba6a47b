// Homes that move to the nodes that write their pages: what a home tells at a barrier, and what a
// node knows of moves that are under way. Pure values. PROTOCOL.md 22.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "base/types.hpp"
#include "base/wire.hpp"
#include "dsm/core/atomic.hpp"

namespace dsm::core {

// What one home tells at one barrier, at most: its contribution goes to everybody, and nobody gets
// at these pages before they have arrived.
inline constexpr std::size_t moves_max = 256;
inline constexpr std::uint64_t moved_pages_max = 4096;

struct Move {
  PageRun run;
  NodeId to{};
  std::uint8_t moves = 0;  // that its pages have made before
  bool operator==(const Move&) const = default;
};

// In a contribution to a barrier.
void encode(const std::vector<Move>& moves, Writer& out);
bool decode(Reader& in, std::vector<Move>& moves);  // false: malformed

struct Moves {
  // ---- of this node's own pages ----
  std::vector<PageId> written;     // by others' diffs, since the last barrier
  std::vector<PageId> candidates;  // written so often by one that it should have them

  // ---- under way ----
  // What one home told at one barrier.
  struct Batch {
    NodeId from{};
    Epoch epoch{};
    std::vector<Move> moves;  // those whose new home has not said that it is
    std::vector<PageId> pages;
    bool begun = false;          // at its home: that barrier is behind us
    std::size_t quiet = 0;       // of `pages`, those known to have nothing under way here
    bool ready = false;          // all, and it has been told; at its home: the contents have left
    std::uint32_t readies = 0;   // at its home: nodes that have nothing under way
    std::vector<PageId> open;    // at its home: pages that the program may see
    std::uint64_t unfilled = 0;  // at a new home: pages whose contents are not here
    bool operator==(const Batch&) const = default;
  };
  std::vector<Batch> batches;
  // Pages that nobody gets at, and the last batch that names them.
  struct Leaving {
    NodeId from{};
    Epoch epoch{};
    bool arrived = false;  // but this node's own frame is still being given back
    bool operator==(const Leaving&) const = default;
  };
  std::map<PageId, Leaving> leaving;
  std::vector<PageRun> punching;  // frames of pages that were at home here
  std::vector<std::pair<Ticket, WordOperation>> operations;  // that wait
  std::vector<std::uint64_t> given;  // to each node: pages whose first home it is not

  Batch* find(NodeId from, Epoch epoch);
  bool names(PageId page) const { return !leaving.empty() && leaving.contains(page); }
  bool is_punching(PageId page) const;
  bool operator==(const Moves&) const = default;
};

}  // namespace dsm::core
