// What was written, and when: sets of page runs, a node's written log, and the log that travels
// with a lock's token. Pure values. PROTOCOL.md A1, A2.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/types.hpp"
#include "base/wire.hpp"

namespace dsm::core {

// More runs than this in one set degrade it to "every page": a superset is always legal, an
// unbounded message is not.
inline constexpr std::size_t notice_runs_max = 4096;

// A set of pages: sorted, disjoint, non-adjacent runs, or everything.
struct PageSet {
  std::vector<PageRun> runs;
  bool everything = false;

  static PageSet of(std::vector<PageId> pages);  // any order, repeats allowed
  void add(const PageSet& other);
  bool contains(PageId page) const;
  bool empty() const { return runs.empty() && !everything; }
  bool operator==(const PageSet&) const = default;
};

void encode(const PageSet& set, Writer& out);
bool decode(Reader& in, PageSet& set);  // false: malformed

// The pages that this node wrote, in the order in which they were sent home (or write-protected, at
// their home). Positions count from the node's start and never repeat. "Since a position" is what a
// release publishes for a scope opened there.
class WriteLog {
 public:
  Seq now() const { return Seq(base_.value + pages_.size()); }
  void append(PageId page);
  // The pages at positions [from, to). Everything, if some of them were dropped by the bound.
  PageSet between(Seq from, Seq to) const;
  void forget_before(Seq position);  // at a barrier: everyone has heard of them
  std::size_t size() const { return pages_.size(); }
  template <typename Mix>
  void hash(Mix mix) const {
    mix(base_.value), mix(dropped_.value), mix(pages_.size());
    for (const PageId page : pages_) mix(page.value);
  }
  bool operator==(const WriteLog&) const = default;

 private:
  static constexpr std::size_t pages_max = 1u << 20;
  Seq base_{};     // position of pages_[0]
  Seq dropped_{};  // positions before this one were dropped by the bound, and not by a barrier
  std::vector<PageId> pages_;
};

// {page range -> turn of the lock in which it was last written}: what an acquirer that last saw
// turn t must invalidate is the part after t. Bounded: over the limit, everything written before
// some turn becomes "drop every cached page".
class NoticeLog {
 public:
  void note(const PageSet& pages, Seq turn);
  PageSet since(Seq turn) const;  // written in turns after `turn`
  // Everything up to the turn that halves the entries becomes "every page": the older, the more
  // likely everyone has heard of it.
  void forget_older_half();
  void clear();
  bool empty() const { return entries_.empty() && everything_ == Seq(); }
  std::size_t size() const { return entries_.size(); }
  bool operator==(const NoticeLog&) const = default;

  friend void encode(const NoticeLog& log, Writer& out);
  friend bool decode(Reader& in, NoticeLog& log);

 private:
  struct Entry {
    PageRun run;
    Seq turn{};
    bool operator==(const Entry&) const = default;
  };
  std::vector<Entry> entries_;  // sorted by page, disjoint
  Seq everything_{};            // the last turn in which everything may have been written; 0 = none
};

// What a node knows of the writes that happened before now, by writer: the vector time of lazy
// release consistency (Keleher, Cox, Zwaenepoel 1992), with what was written beside each component.
// `upto` is a position in the writer's log; everything that the writer wrote in this interval up to
// there is in `pages`. Bounded: what is oldest becomes "drop every cached page".
class History {
 public:
  // This writer's pages, up to a position beyond all earlier ones.
  void note(NodeId writer, const PageSet& pages, Seq upto);
  // Takes over what `told` knows and this does not, and returns its pages. What `self` wrote is no
  // news.
  PageSet learn(const History& told, NodeId self);
  void clear() { writers_.clear(); }
  bool empty() const { return writers_.empty(); }
  bool operator==(const History&) const = default;

  friend void encode(const History& history, Writer& out);
  friend bool decode(Reader& in, History& history);

 private:
  struct Heard {
    NodeId writer{};
    Seq upto{};
    NoticeLog pages;  // turns are positions in the writer's log
    bool operator==(const Heard&) const = default;
  };
  Heard& of(NodeId writer);
  void bound();
  std::vector<Heard> writers_;  // sorted
};

// What travels with a lock for one interval between barriers.
struct Notices {
  NoticeLog scope;  // written in the lock's scope
  History before;   // written before, in or out of it, to regions of the release policy
  bool empty() const { return scope.empty() && before.empty(); }
  bool operator==(const Notices&) const = default;
};

void encode(const Notices& notices, Writer& out);
bool decode(Reader& in, Notices& notices);

}  // namespace dsm::core
