#include "dsm/core/diff.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/check.hpp"

namespace dsm::core {
namespace {

enum class Form : std::uint8_t { runs, bitmap };
constexpr std::size_t page_bytes_max = 32 * 1024;
constexpr std::size_t run_header_bytes = 4;

std::uint64_t word_at(const std::byte* p) {
  std::uint64_t word;
  std::memcpy(&word, p, sizeof word);
  return word;
}

// Calls found(offset, length) for each maximal run of bytes that differ, in order.
template <typename Found>
void for_each_changed_run(std::span<const std::byte> page, std::span<const std::byte> twin,
                          Found found) {
  const std::size_t size = page.size();
  std::size_t start = 0;
  bool open = false;
  const auto see = [&](std::size_t at, bool changed) {
    if (changed == open) return;
    if (open) found(start, at - start);
    start = at;
    open = changed;
  };
  std::size_t at = 0;
  for (; at + 8 <= size; at += 8) {
    const std::uint64_t difference = word_at(page.data() + at) ^ word_at(twin.data() + at);
    if (difference == 0) {
      see(at, false);
      continue;
    }
    for (std::size_t b = 0; b < 8; ++b) see(at + b, (difference >> (8 * b) & 0xff) != 0);
  }
  for (; at < size; ++at) see(at, page[at] != twin[at]);
  if (open) found(start, size - start);
}
static_assert(std::endian::native == std::endian::little, "byte b of a word is bits 8b to 8b+7");

}  // namespace

std::size_t append_diff(std::span<const std::byte> page, std::span<const std::byte> twin,
                        std::uint16_t index, Bytes& out) {
  DSM_CHECK_WITH(page.size() == twin.size() && page.size() <= page_bytes_max,
                 "a twin is as long as its page", {"bytes", page.size()});
  if (std::memcmp(page.data(), twin.data(), page.size()) == 0) return 0;
  std::size_t runs = 0, bytes = 0;
  for_each_changed_run(page, twin, [&](std::size_t, std::size_t length) {
    ++runs;
    bytes += length;
  });
  Writer writer(out);
  writer.put(index);
  const std::size_t bitmap_bytes = (page.size() + 7) / 8;
  if (runs * run_header_bytes + 2 <= bitmap_bytes) {
    writer.put(Form::runs);
    writer.put(static_cast<std::uint16_t>(runs));
    for_each_changed_run(page, twin, [&](std::size_t offset, std::size_t length) {
      writer.put(static_cast<std::uint16_t>(offset));
      writer.put(static_cast<std::uint16_t>(length));
    });
  } else {
    writer.put(Form::bitmap);
    const std::size_t at = out.size();
    out.resize(at + bitmap_bytes);
    for_each_changed_run(page, twin, [&](std::size_t offset, std::size_t length) {
      for (std::size_t i = offset; i < offset + length; ++i)
        out[at + i / 8] |= std::byte{1} << (i % 8);
    });
  }
  for_each_changed_run(page, twin, [&](std::size_t offset, std::size_t length) {
    writer.put_bytes(page.subspan(offset, length));
  });
  return bytes;
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

bool apply_bitmap(Reader& in, std::byte* page, std::size_t page_bytes) {
  const ByteView bitmap = in.get_bytes((page_bytes + 7) / 8);
  if (!in.ok()) return false;
  for (std::size_t i = 0; i < bitmap.size(); ++i) {
    auto bits = std::to_integer<unsigned>(bitmap[i]);
    const ByteView bytes = in.get_bytes(static_cast<std::size_t>(std::popcount(bits)));
    if (!in.ok()) return false;
    for (std::size_t next = 0; bits != 0; bits &= bits - 1) {
      const std::size_t offset = i * 8 + static_cast<std::size_t>(std::countr_zero(bits));
      if (offset >= page_bytes) return false;
      page[offset] = bytes[next++];
    }
  }
  return true;
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
  } else if (static_cast<Form>(form) == Form::bitmap) {
    const ByteView bitmap = in.get_bytes((page_bytes + 7) / 8);
    for (std::size_t i = 0; i < bitmap.size(); ++i)
      for (auto bits = std::to_integer<unsigned>(bitmap[i]); bits != 0; bits &= bits - 1)
        if (!add(i * 8 + static_cast<std::size_t>(std::countr_zero(bits)), 1)) return false;
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
    case Form::bitmap:
      return apply_bitmap(in, page, page_bytes);
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
