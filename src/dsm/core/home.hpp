// The home directory: this node's own pages, who has copies of them, and the windows of the mark
// rings. Pure values.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "base/types.hpp"
#include "dsm/core/layout.hpp"
#include "dsm/core/page.hpp"

namespace dsm::core {

// A page at its home. `heat` and `rest` decide whether it is worth watching: a page whose watch was
// broken by a write is left unwatched for 2^heat barriers; one that stays unwritten keeps its
// watch, and its readers their copies.
struct HomePage {
  Page page{PageState::own_private};
  std::uint8_t heat = 0;
  std::uint8_t rest = 0;
  // Whether another node should be its home (on_move.cpp): of the last interval in which others
  // sent diffs for it, who did; and on how many on end it was that node alone.
  std::uint16_t writer = 0;
  Epoch watched_since{};
  // Whether its readers come back for it: how many times on end, and the last of them.
  std::uint8_t returns = 0;
  std::uint8_t quiet =
      0;  // pushed: barriers on end at which nothing of it had changed, or nobody read it
  bool pushed = false;  // it has a base (on_push.cpp)
  bool written : 1 = false;    // by a diff, in this interval
  bool contested : 1 = false;  // by diffs of several nodes, or by atomic operations
  std::uint8_t moves = 0;      // that it has made
  std::uint16_t alone = 0;
  Epoch written_at{};  // the last of those intervals
  Epoch returned_at{};
  std::uint32_t sharers = 0;  // how many entries Homeland holds for it
  bool operator==(const HomePage&) const = default;
};

class Homeland {
 public:
  struct Mark {
    NodeId reader{};
    Epoch epoch{};
    bool operator==(const Mark&) const = default;
  };

  void add(const Region& region, NodeId self);
  void remove(const Region& region);
  // A page that gets its home here, and one that loses it: its marks go.
  HomePage& adopt(const Region& region, PageId page, NodeId self);
  void leave(const Region& region, PageId page, NodeId self);
  HomePage& at(const Region& region, PageId page);
  const HomePage& at(const Region& region, PageId page) const;

  // Marks. add_mark: true when the reader had none.
  bool add_mark(HomePage& home, PageId page, Mark mark);
  void remove_mark(HomePage& home, PageId page, NodeId reader);
  // Removes the marks of readers other than these that are not newer than `last`.
  void clear_marks(HomePage& home, PageId page, Epoch last, std::span<const NodeId> but);
  std::vector<NodeId> readers_of(PageId page) const;  // sorted
  const std::map<PageId, std::vector<Mark>>& marked() const { return marks_; }
  std::vector<PageId> marked_in(PageRun run) const;
  bool operator==(const Homeland&) const = default;

 private:
  std::map<RegionId, std::vector<HomePage>> pages_;  // by Region::index_at_home
  std::map<PageId, HomePage> adopted_;               // whose first home was elsewhere
  std::map<PageId, std::vector<Mark>> marks_;        // only pages that somebody has a copy of
};

// How far the mark rings are filled and read. One pair of counters for each peer.
class MarkWindows {
 public:
  MarkWindows() = default;
  explicit MarkWindows(std::uint32_t nodes) : peers_(nodes) {}
  struct Peer {
    std::uint64_t sent = 0;      // entries this node wrote into its ring at the peer
    std::uint64_t freed = 0;     // of these, read by the peer, as far as this node knows
    bool flushing = false;       // MarkFlush sent, credit not yet here
    std::uint64_t consumed = 0;  // entries of the peer's ring at this node that came as Marked
    std::uint64_t credited = 0;  // of these, told to the peer
    bool credit_due = false;     // the peer waits
    bool operator==(const Peer&) const = default;
  };
  Peer& operator[](NodeId n) { return peers_[n.value]; }
  const Peer& operator[](NodeId n) const { return peers_[n.value]; }
  bool operator==(const MarkWindows&) const = default;

 private:
  std::vector<Peer> peers_;
};

}  // namespace dsm::core
