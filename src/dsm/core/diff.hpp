// Twins and diffs: which bytes of a page changed, exactly. Pure functions on bytes. PROTOCOL.md A3.
//
// A diff body is, for each changed page: u16 index in the run, u8 form, u16 count, then either
//   runs:   count x (u16 offset, u16 length), the bytes of all runs;
//   lines:  count line records (lines.hpp).
// Runs are short where little has changed, and slow to take apart where much has: they are taken up
// to half of the bytes of lines. Offsets and lengths are in bytes; pages have at most 32 KiB. A
// page that ends within a line goes by runs.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/wire.hpp"

namespace dsm::core {

// Appends what changed between `twin` and `page` as page `index` of a run. Returns the number of
// changed bytes; 0 appends nothing.
std::size_t append_diff(std::span<const std::byte> page, std::span<const std::byte> twin,
                        std::uint16_t index, Bytes& out);

// Stores exactly the changed bytes of every page in `body` through frame(index) -> std::byte*
// (page_bytes long). False when the body is malformed or names an index >= pages; what came before
// the fault has then been stored.
template <typename Frame>
bool apply_diff(ByteView body, std::size_t page_bytes, std::uint64_t pages, Frame frame);

// Calls found(index, offset, length) for each run of changed bytes in a body, in order. False when
// it is malformed; what came before the fault has then been found.
template <typename Found>
bool for_each_changed(ByteView body, std::size_t page_bytes, Found found);

namespace detail {
// Advances `in` over one page behind its header; its changed bytes as (offset, length). False:
// malformed.
bool changed_runs(Reader& in, std::uint8_t form, std::size_t page_bytes,
                  std::vector<std::pair<std::size_t, std::size_t>>& runs);
// One page of a body; both advance `in`. False: malformed.
bool read_page_header(Reader& in, std::uint16_t& index, std::uint8_t& form);
bool apply_page(Reader& in, std::uint8_t form, std::byte* page, std::size_t page_bytes);
}  // namespace detail

template <typename Found>
bool for_each_changed(ByteView body, std::size_t page_bytes, Found found) {
  Reader in(body);
  std::vector<std::pair<std::size_t, std::size_t>> runs;
  while (in.ok() && in.left() > 0) {
    std::uint16_t index = 0;
    std::uint8_t form = 0;
    runs.clear();
    if (!detail::read_page_header(in, index, form) ||
        !detail::changed_runs(in, form, page_bytes, runs))
      return false;
    for (const auto& [offset, length] : runs) found(index, offset, length);
  }
  return in.ok();
}

template <typename Frame>
bool apply_diff(ByteView body, std::size_t page_bytes, std::uint64_t pages, Frame frame) {
  Reader in(body);
  while (in.ok() && in.left() > 0) {
    std::uint16_t index = 0;
    std::uint8_t form = 0;
    if (!detail::read_page_header(in, index, form) || index >= pages) return false;
    if (!detail::apply_page(in, form, frame(index), page_bytes)) return false;
  }
  return in.ok();
}

// Where they differ: the offset of the first byte, and behind the last. Both alike: nothing.
std::optional<std::pair<std::size_t, std::size_t>> difference(ByteView one, ByteView other);

}  // namespace dsm::core
