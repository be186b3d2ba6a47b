// What a home pushes: the lines of a page that changed since its base. Pure functions on bytes.
// PROTOCOL.md C10, C11.
//
// A push body is, for each page that it has news of: u16 index among the pages of the push, u16
// count, then so many line records (lines.hpp). Who may only take what changed obeys a line's mask;
// who has nothing newer takes it whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/wire.hpp"

namespace dsm::core {

inline constexpr std::size_t push_pages_max = 1u << 16;  // of one push: an index has 16 bits
// A push of more than this goes as several, so that a reader takes the first while the last is
// compared.
inline constexpr std::size_t push_bytes_usual = 16 * 1024;

// Appends what differs between `page` and `base` as page `index`, and makes the base equal. The
// page may be stored to meanwhile: each of its bytes is read once. Returns the number of lines; 0
// appends nothing. REQUIRES: both are as long, a multiple of line_bytes, and at most 2^16 lines.
std::size_t append_push(std::span<const std::byte> page, std::span<std::byte> base,
                        std::uint16_t index, Bytes& out);

// The same news as page `index` of another push.
void set_push_index(Bytes& news, std::uint64_t index);

enum class Taken : std::uint8_t { nothing, changed_bytes, whole_lines };

// Where the bytes of a page go. `twin` may be null.
struct PushTarget {
  Taken taken = Taken::nothing;
  std::byte* frame = nullptr;
  std::byte* twin = nullptr;
};

// Stores a body through target(index) -> PushTarget. False when it is malformed or names an index
// >= pages; what came before the fault has then been stored.
template <typename Target>
bool apply_push(ByteView body, std::size_t page_bytes, std::size_t pages, Target target);

namespace detail {
bool apply_pushed_page(Reader& in, std::size_t page_bytes, const PushTarget& to);
}  // namespace detail

template <typename Target>
bool apply_push(ByteView body, std::size_t page_bytes, std::size_t pages, Target target) {
  Reader in(body);
  while (in.ok() && in.left() > 0) {
    const auto index = in.get<std::uint16_t>();
    if (!in.ok() || index >= pages) return false;
    if (!detail::apply_pushed_page(in, page_bytes, target(index))) return false;
  }
  return in.ok();
}

}  // namespace dsm::core
