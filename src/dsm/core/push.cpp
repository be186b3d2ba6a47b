#include "dsm/core/push.hpp"

#include <array>
#include <cstring>

#include "base/check.hpp"
#include "dsm/core/lines.hpp"

namespace dsm::core {
namespace {

constexpr std::size_t header_bytes = 4;  // index, count

}  // namespace

std::size_t append_push(std::span<const std::byte> page, std::span<std::byte> base,
                        std::uint16_t index, Bytes& out) {
  DSM_CHECK_WITH(page.size() == base.size() && page.size() % line_bytes == 0,
                 "a base is as long as its page", {"bytes", page.size()});
  const std::size_t begin = out.size();
  const std::size_t lines = page.size() / line_bytes;
  out.resize(begin + header_bytes + lines * line_record_bytes);
  std::byte* end = out.data() + begin + header_bytes;
  std::uint16_t count = 0;
  std::array<std::byte, line_bytes> line;
  for (std::size_t number = 0; number < lines; ++number) {
    std::byte* const before = base.data() + number * line_bytes;
    std::memcpy(line.data(), page.data() + number * line_bytes, line_bytes);
    const std::uint64_t mask = mask_of(line.data(), before);
    if (mask == 0) continue;
    end = put_line(end, number, mask, line.data());
    std::memcpy(before, line.data(), line_bytes);
    ++count;
  }
  std::memcpy(out.data() + begin, &index, sizeof index);
  std::memcpy(out.data() + begin + sizeof index, &count, sizeof count);
  out.resize(count == 0 ? begin : static_cast<std::size_t>(end - out.data()));
  return count;
}

void set_push_index(Bytes& news, std::uint64_t index) {
  DSM_CHECK_WITH(index < push_pages_max, "a push names pages by 16 bits", {"index", index});
  const auto value = static_cast<std::uint16_t>(index);
  std::memcpy(news.data(), &value, sizeof value);
}

bool detail::apply_pushed_page(Reader& in, std::size_t page_bytes, const PushTarget& to) {
  const auto lines = in.get<std::uint16_t>();
  for (std::uint16_t i = 0; i < lines && in.ok(); ++i) {
    const LineRecord line = get_line(in, page_bytes);
    if (!in.ok()) return false;
    if (to.taken == Taken::nothing) continue;
    const std::uint64_t taken = to.taken == Taken::whole_lines ? whole_line : line.mask;
    store_line(to.frame + line.at, line.bytes, taken);
    if (to.twin != nullptr) store_line(to.twin + line.at, line.bytes, taken);
  }
  return in.ok();
}

}  // namespace dsm::core
