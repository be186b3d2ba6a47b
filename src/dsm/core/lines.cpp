#include "dsm/core/lines.hpp"

#include <bit>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace dsm::core {
namespace {

static_assert(std::endian::native == std::endian::little, "byte b of a word is bits 8b to 8b+7");

#if defined(__x86_64__)
// A masked store does not touch the other bytes (Intel SDM, vol. 1, 15.6.4).
__attribute__((target("avx512bw"))) void store_masked(std::byte* to, const std::byte* line,
                                                      std::uint64_t mask) {
  _mm512_mask_storeu_epi8(to, mask, _mm512_loadu_si512(line));
}
const bool has_masked_stores = __builtin_cpu_supports("avx512bw") != 0;
#endif

void store_bytes(std::byte* to, const std::byte* line, std::uint64_t mask) {
  for (; mask != 0; mask >>= 4, to += 4, line += 4) {
    if ((mask & 15) == 15) {
      std::memcpy(to, line, 4);
      continue;
    }
    for (std::size_t i = 0; i < 4; ++i)
      if ((mask >> i & 1) != 0) to[i] = line[i];
  }
}

}  // namespace

std::uint64_t mask_of(const std::byte* line, const std::byte* other) {
  std::uint64_t mask = 0;
#if defined(__x86_64__)
  for (std::size_t at = 0; at < line_bytes; at += sizeof(__m128i)) {
    const __m128i one = _mm_loadu_si128(reinterpret_cast<const __m128i*>(line + at));
    const __m128i two = _mm_loadu_si128(reinterpret_cast<const __m128i*>(other + at));
    const auto same = static_cast<std::uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(one, two)));
    mask |= std::uint64_t{~same & 0xffff} << at;
  }
#else
  // Sets the top bit of each byte that is not zero, and gathers these by a multiplication.
  constexpr std::uint64_t low = 0x7f7f7f7f7f7f7f7f, gather = 0x0102040810204080;
  for (std::size_t at = 0; at < line_bytes; at += 8) {
    std::uint64_t one, two;
    std::memcpy(&one, line + at, 8);
    std::memcpy(&two, other + at, 8);
    const std::uint64_t x = one ^ two;
    const std::uint64_t tops = (((x & low) + low) | x) & ~low;
    mask |= ((tops >> 7) * gather) >> 56 << at;
  }
#endif
  return mask;
}

void store_line(std::byte* to, const std::byte* line, std::uint64_t mask) {
  if (mask == whole_line) {
    std::memcpy(to, line, line_bytes);
    return;
  }
#if defined(__x86_64__)
  if (has_masked_stores) return store_masked(to, line, mask);
#endif
  store_bytes(to, line, mask);
}

std::byte* put_line(std::byte* out, std::size_t number, std::uint64_t mask, const std::byte* line) {
  const auto short_number = static_cast<std::uint16_t>(number);
  std::memcpy(out, &short_number, sizeof short_number);
  std::memcpy(out + 2, &mask, sizeof mask);
  std::memcpy(out + 10, line, line_bytes);
  return out + line_record_bytes;
}

LineRecord get_line(Reader& in, std::size_t page_bytes) {
  LineRecord record;
  record.at = in.get<std::uint16_t>() * line_bytes;
  record.mask = in.get<std::uint64_t>();
  record.bytes = in.get_bytes(line_bytes).data();
  if (record.at + line_bytes > page_bytes) in.fail();
  return record;
}

}  // namespace dsm::core
