#include "dsm/core/read_ahead.hpp"

#include <algorithm>

namespace dsm::core {

Stream* Streams::at(PageId page) {
  const auto end = streams_.begin() + static_cast<std::ptrdiff_t>(count_);
  const auto found = std::find_if(
      streams_.begin(), end, [&](const Stream& s) { return s.newest <= page && page <= s.edge; });
  if (found == end) return nullptr;
  std::rotate(streams_.begin(), found, found + 1);
  return &streams_.front();
}

void Streams::begin(PageId edge) {
  count_ = std::min(count_ + 1, streams_max);
  const auto end = streams_.begin() + static_cast<std::ptrdiff_t>(count_);
  std::rotate(streams_.begin(), end - 1, end);
  streams_.front() = {edge, edge, 0};
}

std::uint64_t Streams::widen(Stream& stream, std::uint64_t most) {
  stream.window = std::min(std::max(2 * stream.window, window_pages_first), most);
  return stream.window;
}

PageId Streams::next_window(PageRun run) const {
  PageId next = run.end();
  for (const Stream& stream : all())
    if (run.first < stream.newest && stream.newest < stream.edge)
      next = std::min(next, stream.newest);
  return next;
}

// Half as far as it went, after the doubling that comes next. The pages behind this one are gone
// from the stream, so that a notice of many counts once.
void Streams::was_wrong(PageId page) {
  for (std::size_t i = 0; i < count_; ++i) {
    Stream& stream = streams_[i];
    if (page < stream.newest || page >= stream.edge) continue;
    stream.edge = page;
    stream.window /= 4;
  }
}

}  // namespace dsm::core
