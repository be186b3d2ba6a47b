// Numbers as users write them. Total: the whole text is the number, in range, or there is none.
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

namespace dsm::launch {

inline std::optional<std::uint64_t> parse_unsigned(std::string_view text, std::uint64_t min,
                                                   std::uint64_t max, int base = 10) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value, base);
  if (error != std::errc() || rest != end || value < min || value > max) return std::nullopt;
  return value;
}

// "4096", "64K", "512M", "1G", "2T": powers of 1024.
inline std::optional<std::uint64_t> parse_byte_count(std::string_view text, std::uint64_t min,
                                                     std::uint64_t max) {
  unsigned shift = 0;
  if (!text.empty()) {
    constexpr std::string_view units = "KMGT";
    const char last = text.back();
    if (const std::size_t at = units.find(static_cast<char>(last & ~0x20));
        at != std::string_view::npos) {
      shift = 10 * static_cast<unsigned>(at + 1);
      text.remove_suffix(1);
    }
  }
  const auto count = parse_unsigned(text, 0, max >> shift);
  if (!count || (*count << shift) < min) return std::nullopt;
  return *count << shift;
}

}  // namespace dsm::launch
