#include "dsm/core/races.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "dsm/core/diff.hpp"

namespace dsm::core {

std::uint32_t RaceFinder::note(Write write) {
  if (writes_.size() == writes_max || pages_.size() >= pages_max) {
    writes_.clear();
    pages_.clear();
  }
  writes_.push_back(std::move(write));
  return static_cast<std::uint32_t>(writes_.size());
}

RaceFinder::Last& RaceFinder::bytes_of(PageId page) {
  Last& bytes = pages_[page];
  bytes.resize(page_bytes_);
  return bytes;
}

// The bytes become those of `write`; what conflicts with those before is told, in runs.
template <typename Conflicts>
void RaceFinder::note_run(PageId page, std::uint32_t offset, std::uint32_t bytes,
                          std::uint32_t write, Conflicts conflicts, std::vector<Race>& found) {
  Last& last = bytes_of(page);
  const std::uint32_t end = offset + bytes;
  for (std::uint32_t at = offset; at < end;) {
    const std::uint32_t before = last[at], first = at;
    while (at < end && last[at] == before) last[at++] = write;
    if (before == 0 || before == write) continue;
    const Write& one = writes_[before - 1];
    const Write& other = writes_[write - 1];
    if (conflicts(one)) tell(page, first, at - first, one, other, found);
  }
}

void RaceFinder::tell(PageId page, std::uint32_t offset, std::uint32_t bytes, const Write& first,
                      const Write& second, std::vector<Race>& found) {
  if (told_.size() == told_max) return;
  const auto [low, high] = std::minmax(first.by.node, second.by.node);
  if (!told_.emplace(page, low, high).second) return;
  found.push_back({page, offset, bytes, first.by, second.by});
}

void RaceFinder::wrote(NodeId writer, const Stamp& stamp, PageRun run, ByteView body,
                       std::vector<Race>& found) {
  const std::uint32_t write =
      note({{writer, false, stamp.origin}, stamp.epoch, stamp.clock.of(writer)});
  const auto conflicts = [&](const Write& other) {
    if (other.by.atomic) return other.epoch == stamp.epoch;
    return other.by.node != writer && stamp.clock.of(other.by.node) < other.scope;
  };
  for_each_changed(body, page_bytes_, [&](std::uint16_t index, std::size_t at, std::size_t bytes) {
    note_run(run.first + index, static_cast<std::uint32_t>(at), static_cast<std::uint32_t>(bytes),
             write, conflicts, found);
  });
}

void RaceFinder::changed_atomically(NodeId asker, Epoch epoch, PageId page, std::uint32_t offset,
                                    std::vector<Race>& found) {
  if (offset + 8 > page_bytes_) return;
  // Most are on a word that was changed so before.
  const Last& bytes = bytes_of(page);
  const auto is_same = [&](std::uint32_t last) {
    return last != 0 && writes_[last - 1].by.atomic && writes_[last - 1].epoch == epoch;
  };
  if (std::all_of(bytes.begin() + offset, bytes.begin() + offset + 8, is_same)) return;
  const std::uint32_t write = note({{asker, true, {}}, epoch, 0});
  note_run(
      page, offset, 8, write,
      [&](const Write& other) { return !other.by.atomic && other.epoch == epoch; }, found);
}

void RaceFinder::passed(Epoch barriers) {
  const auto is_new = [&](const Write& write) { return write.epoch >= barriers; };
  if (std::none_of(writes_.begin(), writes_.end(), is_new)) {
    writes_.clear();
    pages_.clear();
    return;
  }
  std::vector<Write> kept;
  std::vector<std::uint32_t> renumbered{0};
  for (Write& write : writes_) {
    const bool keep = is_new(write);
    if (keep) kept.push_back(std::move(write));
    renumbered.push_back(keep ? static_cast<std::uint32_t>(kept.size()) : 0);
  }
  writes_ = std::move(kept);
  for (auto page = pages_.begin(); page != pages_.end();) {
    bool any = false;
    for (std::uint32_t& last : page->second) {
      last = renumbered[last];
      any = any || last != 0;
    }
    page = any ? std::next(page) : pages_.erase(page);
  }
}

}  // namespace dsm::core
