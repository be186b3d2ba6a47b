// What a page may be on one node. The engine's table of these states is the protocol.
#pragma once

#include <cstdint>

#include "base/types.hpp"

namespace dsm::core {

enum class PageState : std::uint8_t {
  // Another node's page. In brackets: what the program view allows.
  absent,    // [none]
  fetching,  // [none]   a READ is on its way
  mapping,   // [none -> read]
  clean,     // [read]   a valid copy
  // [-> write] twin taken; counts as dirty, since the program may write before the engine hears of
  // it
  opening,
  dirty,       // [write]  has a twin
  protecting,  // [write -> read] on its way home
  diffing,     // [read]   its diff is on its way home
  unmapping,   // [read -> none]
  // A page that is at home here.
  own_private,     // [write]  nobody else has a copy; writes go unseen
  own_watched,     // [read]   a write traps
  own_mapping,     // [-> read] the kernel lost the mapping; made anew
  own_opening,     // [-> write] to own_private or own_written
  own_written,     // [write]  shared, and written or not watched: counts as written
  own_protecting,  // [write -> read]
};
inline constexpr int page_state_count = static_cast<int>(PageState::own_protecting) + 1;

const char* name_of(PageState state);

// One page on one node. Twelve bytes: there is one for every home page and for every page of a
// cached chunk.
struct Page {
  PageState state = PageState::absent;
  bool poisoned : 1 = false;    // fetching: a notice came, the bytes must not be used (D16)
  bool invalidate : 1 = false;  // becomes absent as soon as the step under way ends
  bool flush : 1 = false;       // opening: becomes dirty only to be sent home at once
  // absent: this node had a copy before, so it will probably want it again
  bool had : 1 = false;
  bool private_next : 1 = false;       // own_opening: to own_private
  std::uint32_t flush_number = 0;      // of flushes_, while on its way home
  std::uint32_t departure_number = 0;  // of departures_, while on its way out
  bool operator==(const Page&) const = default;
};

}  // namespace dsm::core
