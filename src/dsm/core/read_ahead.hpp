// Who goes through memory page after page, and how far ahead of it to fetch. Pure value.
//
// A *stream* begins with a miss, and goes on when somebody comes to the page behind what that miss
// brought. From then on there is always one *window* of pages under way or fetched ahead of the one
// that is being used: whoever comes to a page of the newest window makes the next one begin, twice
// as large. What was fetched ahead for nothing ends a window and makes the next one smaller.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/types.hpp"

namespace dsm::core {

struct Stream {
  PageId newest{};           // the first page of the newest window
  PageId edge{};             // the first page behind it
  std::uint64_t window = 0;  // pages asked for last; 0: nothing was fetched ahead
  bool operator==(const Stream&) const = default;
};

inline constexpr std::size_t streams_max = 8;           // that a node tells apart
inline constexpr std::uint64_t window_pages_first = 2;  // so that a pair of pages costs little

class Streams {
 public:
  // The stream that goes on at this page, or null. Valid until the next call.
  Stream* at(PageId page);
  // A miss that belongs to none. The stream that has rested longest is forgotten for it.
  void begin(PageId edge);
  // What a stream fetches now, at most `most` pages.
  static std::uint64_t widen(Stream& stream, std::uint64_t most);
  // Where the first window within the run begins, behind its first page; else the run's end.
  PageId next_window(PageRun run) const;
  // The page was fetched ahead, and goes without having been used.
  void was_wrong(PageId page);

  std::span<const Stream> all() const { return {streams_.data(), count_}; }
  bool operator==(const Streams&) const = default;

 private:
  std::array<Stream, streams_max> streams_{};  // the one that went on last first
  std::size_t count_ = 0;
};

}  // namespace dsm::core
