#include "dsm/core/mark.hpp"

#include "base/check.hpp"

namespace dsm::core {
namespace {

// lap:10 | removed:1 | epoch:12 | count-1:5 | page:36, from the top.
constexpr unsigned page_bits = 36, count_bits = 5, epoch_bits = 12, lap_bits = 10;
static_assert(page_bits + count_bits + epoch_bits + 1 + lap_bits == 64);
static_assert(mark_pages_max == std::uint64_t{1} << page_bits);

constexpr std::uint64_t mask(unsigned bits) {
  return (std::uint64_t{1} << bits) - 1;
}

// Slots start as zero, so the first lap is lap 1. A slot is never more than one lap behind (the
// reader waits for credit).
std::uint64_t lap_of(std::uint64_t number, std::uint64_t ring_slots) {
  return (number / ring_slots + 1) & mask(lap_bits);
}

}  // namespace

std::uint64_t encode_mark(const MarkEntry& entry, std::uint64_t number, std::uint64_t ring_slots) {
  DSM_CHECK_WITH(entry.run.count >= 1 && entry.run.count <= mask(count_bits) + 1,
                 "a mark entry names 1 to 32 pages", {"pages", entry.run.count});
  DSM_CHECK_WITH(entry.run.end().value <= mark_pages_max, "a mark entry's pages fit 36 bits",
                 {"page", entry.run.first.value});
  std::uint64_t word = lap_of(number, ring_slots);
  word = word << 1 | (entry.added ? 0 : 1);
  word = word << epoch_bits | (entry.epoch.value & mask(epoch_bits));
  word = word << count_bits | (entry.run.count - 1);
  return word << page_bits | entry.run.first.value;
}

std::optional<MarkEntry> decode_mark(std::uint64_t word, std::uint64_t number,
                                     std::uint64_t ring_slots, Epoch now) {
  MarkEntry entry;
  entry.run.first = PageId(word & mask(page_bits));
  word >>= page_bits;
  entry.run.count = (word & mask(count_bits)) + 1;
  word >>= count_bits;
  const auto low = static_cast<std::uint32_t>(word & mask(epoch_bits));
  word >>= epoch_bits;
  entry.added = (word & 1) == 0;
  word >>= 1;
  if (word != lap_of(number, ring_slots)) return std::nullopt;
  // The nearest epoch to `now` with these low bits.
  constexpr std::uint32_t span = 1u << epoch_bits;
  const std::uint32_t ahead = (low - now.value) & (span - 1);
  entry.epoch = Epoch(ahead < span / 2 ? now.value + ahead : now.value - (span - ahead));
  return entry;
}

}  // namespace dsm::core
