// How a node notices that it writes its own pages that others have copies of: by a trap at each
// first write, or by asking the kernel which were written (a scan). By stretches of pages, each in
// the way that is cheaper for it (on_watch.cpp). Pure values.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "base/types.hpp"

namespace dsm::core {

// What the edge can do, or is told to do.
enum class Watching : std::uint8_t {
  by_traps,
  by_either,  // the cheaper one
  by_scans,   // wherever a stretch is long enough
};

// In nanoseconds (bench/README.md): what scanning asks of a publication, by call and by page, and
// what it saves for each page that was written; what it costs to change the way, at the edge and
// for each page that is told of although nobody wrote it.
struct WatchCosts {
  std::int64_t call = 1000, page = 1, saved = 4000, change = 100'000, told = 3000;
  bool operator==(const WatchCosts&) const = default;
};

// Contiguous pages of one home in one region, that are watched in one way.
struct Stretch {
  PageRun run;
  bool scanned = false;
  bool changing = false;      // a Watch is under way
  bool refused = false;       // the edge could not scan it
  std::uint32_t watched = 0;  // of its pages, those that are own_watched
  // What scanning would have saved, less what it would have cost; or did.
  std::int64_t balance = 0;
  std::uint64_t counted = 0;  // the publications that are in it
  bool operator==(const Stretch&) const = default;
};

struct Watches {
  std::map<PageId, Stretch> stretches;  // by first page: those that ever had a watched page
  std::vector<PageId> scanned;          // of these, sorted
  std::vector<PageId> due;  // for the other way, if nothing is under way with their pages

  // Null: in none.
  Stretch* find(PageId page) {
    auto it = stretches.upper_bound(page);
    if (it == stretches.begin()) return nullptr;
    --it;
    return it->second.run.contains(page) ? &it->second : nullptr;
  }
  bool operator==(const Watches&) const = default;
};

}  // namespace dsm::core
