// The 8-byte entry by which a reader tells a home "I have (or no longer have) copies of these
// pages". PROTOCOL.md B5.
//
// A reader owns one ring of entries at each home and writes it in order: entry number s goes to
// slot s mod ring size. An entry carries the lap that it belongs to, so the home sees by the entry
// alone whether slot s has been written: no tail, no atomics.
#pragma once

#include <cstdint>
#include <optional>

#include "base/types.hpp"

namespace dsm::core {

struct MarkEntry {
  PageRun run;    // 1..32 pages
  Epoch epoch{};  // barriers that the reader has passed; 12 bits travel
  bool added = true;
  bool operator==(const MarkEntry&) const = default;
};

inline constexpr std::uint64_t mark_pages_max = std::uint64_t{1} << 36;  // 256 TiB of 4 KiB pages

std::uint64_t encode_mark(const MarkEntry& entry, std::uint64_t number, std::uint64_t ring_slots);

// The entry, if `word` (found in the slot of `number`) is entry `number`. `now` is the home's own
// count of barriers, to complete the epoch's 12 bits: a reader is at most one barrier ahead, and
// entries are read long before 2,048 barriers.
std::optional<MarkEntry> decode_mark(std::uint64_t word, std::uint64_t number,
                                     std::uint64_t ring_slots, Epoch now);

}  // namespace dsm::core
