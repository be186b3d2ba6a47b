// Pages by lines of 64 bytes: which bytes of a line differ, and storing just these. What diffs and
// pushes are made of. Pure functions on bytes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/wire.hpp"

namespace dsm::core {

inline constexpr std::size_t line_bytes = 64;
inline constexpr std::uint64_t whole_line = ~std::uint64_t{0};  // the mask of all its bytes
// On the wire: u16 number in the page, u64 mask, the bytes of the line.
inline constexpr std::size_t line_record_bytes = 2 + 8 + line_bytes;

// Bit b: byte b of the two differs.
std::uint64_t mask_of(const std::byte* line, const std::byte* other);

// Stores exactly the bytes of the mask: others of the line may be stored to by a thread at the same
// time.
void store_line(std::byte* to, const std::byte* line, std::uint64_t mask);

// Writes a record, and returns its end.
std::byte* put_line(std::byte* out, std::size_t number, std::uint64_t mask, const std::byte* line);

struct LineRecord {
  std::size_t at = 0;  // its offset in the page
  std::uint64_t mask = 0;
  const std::byte* bytes = nullptr;
};
// !in.ok(): malformed, or the line does not lie in the page.
LineRecord get_line(Reader& in, std::size_t page_bytes);

}  // namespace dsm::core
