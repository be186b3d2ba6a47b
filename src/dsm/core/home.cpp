#include "dsm/core/home.hpp"

#include <algorithm>

#include "base/check.hpp"

namespace dsm::core {

void Homeland::add(const Region& region, NodeId self) {
  HomePage home;
  if (region.policy() == Policy::sequential) home.page.state = PageState::own_seq_write;
  pages_[region.id()].resize(region.pages_at(self), home);
}

void Homeland::remove(const Region& region) {
  pages_.erase(region.id());
  adopted_.erase(adopted_.lower_bound(region.run().first),
                 adopted_.lower_bound(region.run().end()));
  marks_.erase(marks_.lower_bound(region.run().first), marks_.lower_bound(region.run().end()));
}

HomePage& Homeland::adopt(const Region& region, PageId page, NodeId self) {
  HomePage& home = region.first_home(page) == self ? at(region, page) : adopted_[page];
  home = HomePage();
  home.page.state = PageState::own_closed;
  return home;
}

void Homeland::leave(const Region& region, PageId page, NodeId self) {
  marks_.erase(page);
  if (region.first_home(page) == self) {
    at(region, page) = HomePage();
  } else {
    adopted_.erase(page);
  }
}

HomePage& Homeland::at(const Region& region, PageId page) {
  if (!adopted_.empty())
    if (const auto found = adopted_.find(page); found != adopted_.end()) return found->second;
  const auto it = pages_.find(region.id());
  DSM_CHECK_WITH(it != pages_.end(), "a home page lies in a known region", {"page", page.value});
  return it->second[region.index_at_home(page)];
}

const HomePage& Homeland::at(const Region& region, PageId page) const {
  return const_cast<Homeland*>(this)->at(region, page);
}

bool Homeland::add_mark(HomePage& home, PageId page, Mark mark) {
  std::vector<Mark>& marks = marks_[page];
  const auto it = std::find_if(marks.begin(), marks.end(),
                               [&](const Mark& m) { return m.reader == mark.reader; });
  if (it != marks.end()) {
    it->epoch = std::max(it->epoch, mark.epoch);
    return false;
  }
  marks.push_back(mark);
  ++home.sharers;
  return true;
}

void Homeland::remove_mark(HomePage& home, PageId page, NodeId reader) {
  const auto it = marks_.find(page);
  if (it == marks_.end()) return;
  home.sharers -= static_cast<std::uint32_t>(
      std::erase_if(it->second, [&](const Mark& m) { return m.reader == reader; }));
  if (it->second.empty()) marks_.erase(it);
}

void Homeland::clear_marks(HomePage& home, PageId page, Epoch last, std::span<const NodeId> but) {
  const auto it = marks_.find(page);
  if (it == marks_.end()) return;
  home.sharers -= static_cast<std::uint32_t>(std::erase_if(it->second, [&](const Mark& m) {
    return m.epoch <= last && std::find(but.begin(), but.end(), m.reader) == but.end();
  }));
  if (it->second.empty()) marks_.erase(it);
}

std::vector<NodeId> Homeland::readers_of(PageId page) const {
  std::vector<NodeId> readers;
  if (const auto it = marks_.find(page); it != marks_.end())
    for (const Mark& m : it->second) readers.push_back(m.reader);
  std::sort(readers.begin(), readers.end());
  return readers;
}

std::vector<PageId> Homeland::marked_in(PageRun run) const {
  std::vector<PageId> pages;
  for (auto it = marks_.lower_bound(run.first); it != marks_.end() && it->first < run.end(); ++it)
    pages.push_back(it->first);
  return pages;
}

}  // namespace dsm::core
