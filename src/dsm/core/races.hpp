// Finds two nodes that write the same byte with nothing between that orders them, at the byte's
// home, from what diffs carry (DSM_DEBUG=1). And words that are used through atomic operations and
// written plainly between two barriers.
//
// It knows, for every byte of its pages that another node sent home since the last barrier, who
// wrote it last and when. A writer that has not heard of that scope of the other races with it.
// What it does not see: the home's own stores, which make no diff; a byte that got the value that
// it had; and writes that something did order by the time when the later one was sent home. So it
// is silent about programs without races, and not always about those with one. A value.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <tuple>
#include <vector>

#include "base/types.hpp"
#include "base/wire.hpp"
#include "dsm/core/clock.hpp"

namespace dsm::core {

struct Race {
  struct Party {
    NodeId node{};
    bool atomic = false;  // by an atomic operation; `origin` says nothing
    Origin origin;
    bool operator==(const Party&) const = default;
  };
  PageId page{};
  std::uint32_t offset = 0, bytes = 0;  // the first bytes that both wrote
  Party first, second;                  // as they came home
  bool operator==(const Race&) const = default;
};

class RaceFinder {
 public:
  explicit RaceFinder(std::uint32_t page_bytes = 0) : page_bytes_(page_bytes) {}

  // A diff (diff.hpp) of well-formed body has come home. Appends what it shows; each pair of nodes
  // once a page.
  void wrote(NodeId writer, const Stamp& stamp, PageRun run, ByteView body,
             std::vector<Race>& found);
  // An atomic operation of a node that had done its part of so many barriers.
  void changed_atomically(NodeId asker, Epoch epoch, PageId page, std::uint32_t offset,
                          std::vector<Race>& found);
  // So many barriers have been passed: everyone has heard of what belongs before the last of them.
  void passed(Epoch barriers);
  bool operator==(const RaceFinder&) const = default;

 private:
  // More than this, and everything known so far is forgotten: races may be missed, none invented.
  static constexpr std::size_t pages_max = 4096;
  static constexpr std::size_t writes_max = 1u << 20;
  static constexpr std::size_t told_max = 1000;  // pairs of nodes and pages: after them, silence

  struct Write {
    Race::Party by;
    Epoch epoch{};
    std::uint32_t scope = 0;  // of the writer
    bool operator==(const Write&) const = default;
  };
  using Last = std::vector<std::uint32_t>;  // by offset: 1 + the index in writes_; 0: nobody

  std::uint32_t note(Write write);
  Last& bytes_of(PageId page);
  template <typename Conflicts>
  void note_run(PageId page, std::uint32_t offset, std::uint32_t bytes, std::uint32_t write,
                Conflicts conflicts, std::vector<Race>& found);
  void tell(PageId page, std::uint32_t offset, std::uint32_t bytes, const Write& first,
            const Write& second, std::vector<Race>& found);

  std::uint32_t page_bytes_ = 0;
  std::vector<Write> writes_;
  std::map<PageId, Last> pages_;
  std::set<std::tuple<PageId, NodeId, NodeId>> told_;
};

}  // namespace dsm::core
