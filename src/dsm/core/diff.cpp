#include "dsm/core/diff.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "base/check.hpp"
#include "dsm/core/lines.hpp"

namespace dsm::core {
namespace {

enum class Form : std::uint8_t { runs, lines };
constexpr std::size_t page_bytes_max = 32 * 1024;
constexpr std::size_t lines_max = page_bytes_max / line_bytes;
constexpr std::size_t run_header_bytes = 4;

std::uint64_t mask_of_rest(std::span<const std::byte> page, std::span<const std::byte> twin) {
  std::array<std::byte, line_bytes> line{}, other{};
  std::copy(page.begin(), page.end(), line.begin());
  std::copy(twin.begin(), twin.end(), other.begin());
  return mask_of(line.data(), other.data());
}

// The masks of a page's lines, and what they come to. Of runs that go on over the end of a line
// each part counts.
struct Changes {
  std::array<std::uint64_t, lines_max> masks;
  std::size_t lines = 0, runs = 0, bytes = 0;

  Changes(std::span<const std::byte> page, std::span<const std::byte> twin) {
    for (std::size_t at = 0; at < page.size(); at += line_bytes) {
      const std::uint64_t mask = at + line_bytes <= page.size()
                                     ? mask_of(page.data() + at, twin.data() + at)
                                     : mask_of_rest(page.subspan(at), twin.subspan(at));
      masks[at / line_bytes] = mask;
      lines += mask != 0 ? 1 : 0;
      runs += static_cast<std::size_t>(std::popcount(mask & ~(mask << 1)));
      bytes += static_cast<std::size_t>(std::popcount(mask));
    }
  }
};

// Calls found(offset, length) for the runs of a line's changed bytes.
template <typename Found>
void for_each_run(std::size_t at, std::uint64_t mask, Found found) {
  while (mask != 0) {
    const auto first = static_cast<std::size_t>(std::countr_zero(mask));
    const auto length = static_cast<std::size_t>(std::countr_one(mask >> first));
    found(at + first, length);
    mask = first + length == line_bytes ? 0 : mask >> (first + length) << (first + length);
  }
}

}  // namespace

std::size_t append_diff(std::span<const std::byte> page, std::span<const std::byte> twin,
                        std::uint16_t index, Bytes& out) {
  DSM_CHECK_WITH(page.size() == twin.size() && page.size() <= page_bytes_max,
                 "a twin is as long as its page", {"bytes", page.size()});
  const Changes changes(page, twin);
  if (changes.bytes == 0) return 0;
  const std::size_t lines = (page.size() + line_bytes - 1) / line_bytes;
  const std::size_t bytes_of_runs = changes.runs * run_header_bytes + changes.bytes;
  const std::size_t bytes_of_lines = changes.lines * line_record_bytes;
  Writer writer(out);
  writer.put(index);
  if (bytes_of_runs <= bytes_of_lines / 2 || page.size() % line_bytes != 0) {
    writer.put(Form::runs);
    writer.put(static_cast<std::uint16_t>(changes.runs));
    for (std::size_t line = 0; line < lines; ++line)
      for_each_run(line * line_bytes, changes.masks[line],
                   [&](std::size_t offset, std::size_t length) {
                     writer.put(static_cast<std::uint16_t>(offset));
                     writer.put(static_cast<std::uint16_t>(length));
                   });
    for (std::size_t line = 0; line < lines; ++line)
      for_each_run(line * line_bytes, changes.masks[line],
                   [&](std::size_t offset, std::size_t length) {
                     writer.put_bytes(page.subspan(offset, length));
                   });
  } else {
    writer.put(Form::lines);
    writer.put(static_cast<std::uint16_t>(changes.lines));
    const std::size_t begin = out.size();
    out.resize(begin + bytes_of_lines);
    std::byte* end = out.data() + begin;
    for (std::size_t line = 0; line < lines; ++line)
      if (changes.masks[line] != 0)
        end = put_line(end, line, changes.masks[line], page.data() + line * line_bytes);
  }
  return changes.bytes;
}

namespace detail {
namespace {

bool apply_runs(Reader& in, std::byte* page, std::size_t page_bytes) {
  const auto count = in.get<std::uint16_t>();
  Reader headers(in.get_bytes(count * run_header_bytes));
  for (std::uint16_t i = 0; i < count && in.ok(); ++i) {
    const std::size_t offset = headers.get<std::uint16_t>();
    const std::size_t length = headers.get<std::uint16_t>();
    const ByteView bytes = in.get_bytes(length);
    if (!in.ok() || offset + length > page_bytes) return false;
    if (length > 0) std::memcpy(page + offset, bytes.data(), length);
  }
  return in.ok();
}

bool apply_lines(Reader& in, std::byte* page, std::size_t page_bytes) {
  const auto count = in.get<std::uint16_t>();
  for (std::uint16_t i = 0; i < count && in.ok(); ++i) {
    const LineRecord line = get_line(in, page_bytes);
    if (in.ok()) store_line(page + line.at, line.bytes, line.mask);
  }
  return in.ok();
}

}  // namespace

bool changed_runs(Reader& in, std::uint8_t form, std::size_t page_bytes,
                  std::vector<std::pair<std::size_t, std::size_t>>& runs) {
  std::size_t bytes = 0;
  const auto add = [&](std::size_t offset, std::size_t length) {
    bytes += length;
    if (!runs.empty() && runs.back().first + runs.back().second == offset) {
      runs.back().second += length;
    } else {
      runs.emplace_back(offset, length);
    }
    return offset + length <= page_bytes;
  };
  if (static_cast<Form>(form) == Form::runs) {
    const auto count = in.get<std::uint16_t>();
    for (std::uint16_t i = 0; i < count && in.ok(); ++i) {
      const std::size_t offset = in.get<std::uint16_t>();
      if (!add(offset, in.get<std::uint16_t>())) return false;
    }
  } else if (static_cast<Form>(form) == Form::lines) {
    const auto count = in.get<std::uint16_t>();
    for (std::uint16_t i = 0; i < count && in.ok(); ++i) {
      const LineRecord line = get_line(in, page_bytes);
      if (in.ok()) for_each_run(line.at, line.mask, add);
    }
    return in.ok();
  } else {
    return false;
  }
  in.get_bytes(bytes);
  return in.ok();
}

bool read_page_header(Reader& in, std::uint16_t& index, std::uint8_t& form) {
  index = in.get<std::uint16_t>();
  form = in.get<std::uint8_t>();
  return in.ok();
}

bool apply_page(Reader& in, std::uint8_t form, std::byte* page, std::size_t page_bytes) {
  switch (static_cast<Form>(form)) {
    case Form::runs:
      return apply_runs(in, page, page_bytes);
    case Form::lines:
      return apply_lines(in, page, page_bytes);
  }
  return false;
}

}  // namespace detail

std::optional<std::pair<std::size_t, std::size_t>> difference(ByteView one, ByteView other) {
  const auto first = std::mismatch(one.begin(), one.end(), other.begin()).first;
  if (first == one.end()) return std::nullopt;
  const auto last = std::mismatch(one.rbegin(), one.rend(), other.rbegin()).first;
  return std::pair(static_cast<std::size_t>(first - one.begin()),
                   static_cast<std::size_t>(one.rend() - last));
}

}  // namespace dsm::core
