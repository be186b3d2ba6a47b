// What a page may be on one node. The engine's table of these states is the protocol.
#pragma once

#include <cstdint>

#include "base/types.hpp"

namespace dsm::core {

enum class PageState : std::uint8_t {
  // Another node's page. In brackets: what the program view allows.
  absent,    // [none]
  fetching,  // [none]   a READ is on its way
  fetched,   // [none]   a valid copy, fetched ahead, to which nobody has come yet
  mapping,   // [none -> read]
  clean,     // [read]   a valid copy
  // [-> write] twin taken; counts as dirty, since the program may write before the engine hears of
  // it
  opening,
  dirty,  // [write]  has a twin
  // [write]  has a twin, which its changes up to now went home by; dirty when they are there
  settling,
  protecting,  // [write -> read] on its way home
  diffing,     // [read]   its diff is on its way home
  unmapping,   // [read -> none]
  // The same of a sequential region (on_sequential.cpp).
  seq_asked,      // [none]   asked for; its content comes with the grant
  seq_opening,    // [-> read or write] granted
  seq_read,       // [read]   other nodes may read too
  seq_upgrading,  // [read]   asked for writing
  seq_write,      // [write]  no other node may use it
  seq_closing,    // [-> none or read] being given back
  seq_sending,    // [none or read] its content is being sent home
  // A page that is at home here.
  own_private,     // [write]  nobody else has a copy; writes go unseen
  own_watched,     // [read]   a write traps, or is found by a scan
  own_mapping,     // [-> read] the kernel lost the mapping; made anew
  own_opening,     // [-> write] to own_private or own_written
  own_written,     // [write]  shared, and written or not watched: counts as written
  own_comparing,   // [write]  the same, of a pushed page that is being compared with its base
  own_protecting,  // [write -> read]
  own_closing,     // [-> none] it leaves for another home (on_move.cpp)
  own_closed,      // [none]   its content is going, or has come
  // At home here, in a sequential region.
  own_seq_none,     // [none]   another node may write
  own_seq_read,     // [read]
  own_seq_write,    // [write]  no other node may use it
  own_seq_opening,  // [-> read or write]
  own_seq_closing,  // [-> none or read]
};
inline constexpr int page_state_count = static_cast<int>(PageState::own_seq_closing) + 1;

constexpr bool is_sequential(PageState state) {
  return (state >= PageState::seq_asked && state <= PageState::seq_sending) ||
         state >= PageState::own_seq_none;
}

const char* name_of(PageState state);

// One page on one node. Twenty bytes: there is one for every home page and for every page of a
// cached chunk.
struct Page {
  PageState state = PageState::absent;
  bool poisoned : 1 = false;    // fetching: a notice came, the bytes must not be used (D16)
  bool invalidate : 1 = false;  // becomes absent as soon as the step under way ends
  bool flush : 1 = false;       // opening: becomes dirty only to be sent home at once
  // absent: this node had a copy before, so it will probably want it again
  bool had : 1 = false;
  // fetching, fetched: nobody has asked for it; absent: nobody had when it went
  bool ahead : 1 = false;
  bool private_next : 1 = false;  // own_opening: to own_private
  // A valid copy (on_push.cpp):
  bool covered : 1 = false;  // its home's push for the coming barrier is in it
  bool steady : 1 = false;   // clean since the last barrier, which it was covered at
  // Of a sequential region:
  bool held : 1 = false;      // its tenure has not ended
  bool timed : 1 = false;     // held, and the thread that it was granted for is back
  bool recalled : 1 = false;  // another node wants it; `keep` is what may stay here
  bool asked : 1 = false;     // a request is out, or its grant is being carried out
  bool written : 1 = false;   // closing: its content must go home
  bool discard : 1 = false;   // closing: the region goes, and nobody needs to know
  Access keep : 2 = Access::none;
  Access next : 2 = Access::none;  // opening, closing: what will be allowed
  std::uint8_t tenure = 0;         // numbers the tenures, so that a late end is not mistaken
  // A copy that is written: on how many barriers on end; and how often one took it away although
  // its changes had gone home in place.
  std::uint8_t rewritten = 0, in_vain = 0;
  std::uint8_t samples = 0;  // a covered copy: how often it turned out to be still in use
  // of flushes_, while on its way home; of a sequential page, the turn of its grant
  std::uint32_t flush_number = 0;
  // of departures_, while on its way out; of a sequential page, the turn that is recalled
  std::uint32_t departure_number = 0;
  std::uint16_t rewritten_at = 0;  // the last of those barriers, cut to its low bits
  std::uint16_t unsampled = 0;     // a covered copy: barriers since it was known to be in use
  bool operator==(const Page&) const = default;
};
static_assert(sizeof(Page) == 20);

}  // namespace dsm::core
