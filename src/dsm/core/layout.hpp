// Which pages exist, in which region, and who is home to each. Pure; the same on every node,
// because every node makes the same calls.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "base/status.hpp"
#include "base/types.hpp"

namespace dsm::core {

// Homes of a region's pages. Block, cyclic and arbitrary placements are all runs of pages with one
// home, repeated.
struct Homes {
  struct Run {
    std::uint64_t pages = 0;
    NodeId home{};
    bool operator==(const Run&) const = default;
  };
  // The pattern's runs, one after another, repeated to the end of the region.
  std::vector<Run> pattern;

  static Homes block(std::uint64_t pages, std::uint32_t nodes);
  static Homes cyclic(std::uint64_t pages_each, std::uint32_t nodes);
  static Homes on(NodeId node);
  static Homes of(const std::vector<NodeId>& home_of_page);  // one entry a page
  bool operator==(const Homes&) const = default;
};

// What a region's readers are promised (DESIGN.md 2).
enum class Policy : std::uint8_t {
  scope,    // what was written in a scope is seen in that scope, and everything behind a barrier
  release,  // everything that happened before a release is seen after the acquire that follows it
  bound,    // what is bound to a lock is seen by its holders, and everything behind a barrier
  sequential,  // every access in one order that all nodes agree on: one writer or many readers
};

// A collective allocation: contiguous pages. Immutable once made, except for homes that move
// (on_move.cpp): nodes hear of that at different times.
class Region {
 public:
  Region() = default;
  // REQUIRES: run.count > 0, and a pattern of at least one page.
  Region(RegionId id, PageRun run, Homes homes, Policy policy = Policy::scope);

  RegionId id() const { return id_; }
  PageRun run() const { return run_; }
  Policy policy() const { return policy_; }
  NodeId home(PageId page) const { return moved_.empty() ? first_home(page) : current_home(page); }
  NodeId first_home(PageId page) const;  // when it was allocated
  void move(PageId page, NodeId home);
  const std::map<PageId, NodeId>& moved() const { return moved_; }  // those that are not there
  // The largest run at `page`, at most `count` pages, with one home.
  PageRun same_home(PageId page, std::uint64_t count) const;
  // How many of the pages before `page` have the same first home: dense numbers for a home's own
  // pages.
  std::uint64_t index_at_home(PageId page) const;
  std::uint64_t pages_at(NodeId node) const;
  std::uint64_t hash() const;  // for agreement between nodes
  bool operator==(const Region&) const = default;

 private:
  struct Place {
    std::size_t index = 0;      // of the pattern's run
    std::uint64_t offset = 0;   // within that run
    std::uint64_t repeats = 0;  // whole patterns before
  };
  Place place(PageId page) const;
  NodeId current_home(PageId page) const;

  RegionId id_{};
  PageRun run_;
  Policy policy_ = Policy::scope;
  std::vector<Homes::Run> pattern_;
  std::vector<std::uint64_t> starts_;  // page offset of each run of the pattern
  std::vector<std::uint64_t> before_;  // pages of the same home in the pattern before each run
  std::vector<std::uint64_t> each_;    // pages of that run's home in one whole pattern
  std::uint64_t period_ = 0;           // pages of one pattern
  std::map<PageId, NodeId> moved_;
};

// The regions of the space, and the free pages between them. First fit, so the same calls give the
// same places everywhere.
class Layout {
 public:
  Layout() = default;
  explicit Layout(std::uint64_t pages) : pages_(pages) {}

  // Where `count` pages aligned to `align` pages would go; nothing when the space is full.
  std::optional<PageRun> find_space(std::uint64_t count, std::uint64_t align) const;
  void add(Region region);  // REQUIRES: its pages are free
  void remove(RegionId id);
  void move(PageId page, NodeId home);         // REQUIRES: it lies in a region
  const Region* region_of(PageId page) const;  // null: no region
  const Region* region(RegionId id) const;
  const std::vector<Region>& regions() const { return regions_; }
  std::uint64_t pages() const { return pages_; }
  bool operator==(const Layout&) const = default;

 private:
  std::uint64_t pages_ = 0;
  std::vector<Region> regions_;  // sorted by first page
};

}  // namespace dsm::core
