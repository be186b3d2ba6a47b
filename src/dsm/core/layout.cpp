#include "dsm/core/layout.hpp"

#include <algorithm>
#include <map>

#include "base/check.hpp"

namespace dsm::core {

Homes Homes::block(std::uint64_t pages, std::uint32_t nodes) {
  Homes homes;
  for (std::uint32_t n = 0; n < nodes; ++n) {
    const std::uint64_t count = pages * (n + 1) / nodes - pages * n / nodes;
    if (count > 0) homes.pattern.push_back({count, NodeId(n)});
  }
  return homes;
}

Homes Homes::cyclic(std::uint64_t pages_each, std::uint32_t nodes) {
  Homes homes;
  for (std::uint32_t n = 0; n < nodes; ++n) homes.pattern.push_back({pages_each, NodeId(n)});
  return homes;
}

Homes Homes::on(NodeId node) {
  return {{{1, node}}};
}

Homes Homes::of(const std::vector<NodeId>& home_of_page) {
  Homes homes;
  for (const NodeId home : home_of_page) {
    if (homes.pattern.empty() || homes.pattern.back().home != home)
      homes.pattern.push_back({0, home});
    ++homes.pattern.back().pages;
  }
  return homes;
}

Region::Region(RegionId id, PageRun run, Homes homes, Policy policy)
    : id_(id), run_(run), policy_(policy), pattern_(std::move(homes.pattern)) {
  DSM_CHECK(run.count > 0, "a region has pages");
  std::map<NodeId, std::uint64_t> so_far;
  for (const Homes::Run& r : pattern_) {
    starts_.push_back(period_);
    before_.push_back(so_far[r.home]);
    so_far[r.home] += r.pages;
    period_ += r.pages;
  }
  DSM_CHECK(period_ > 0, "a placement names a home for some page");
  for (const Homes::Run& r : pattern_) each_.push_back(so_far[r.home]);
}

Region::Place Region::place(PageId page) const {
  Place p;
  std::uint64_t within = page - run_.first;
  if (within >= period_) {  // else no division: this is on the way of every fault
    p.repeats = within / period_;
    within %= period_;
  }
  p.index = static_cast<std::size_t>(std::upper_bound(starts_.begin(), starts_.end(), within) -
                                     starts_.begin()) -
            1;
  p.offset = within - starts_[p.index];
  return p;
}

NodeId Region::first_home(PageId page) const {
  return pattern_.size() == 1 ? pattern_.front().home : pattern_[place(page).index].home;
}

NodeId Region::current_home(PageId page) const {
  const auto it = moved_.find(page);
  return it == moved_.end() ? first_home(page) : it->second;
}

void Region::move(PageId page, NodeId home) {
  if (first_home(page) == home) {
    moved_.erase(page);
  } else {
    moved_[page] = home;
  }
}

PageRun Region::same_home(PageId page, std::uint64_t count) const {
  count = std::min(count, run_.end() - page);
  if (!moved_.empty()) {
    const NodeId home = this->home(page);
    std::uint64_t found = 1;
    while (found < count && this->home(page + found) == home) ++found;
    return {page, found};
  }
  if (pattern_.size() == 1) return {page, count};  // however short the pattern: it would be walked
  const Place p = place(page);
  const NodeId home = pattern_[p.index].home;
  std::uint64_t found = std::min(count, pattern_[p.index].pages - p.offset);
  while (found < count && this->home(page + found) == home) {
    const Place next = place(page + found);
    found = std::min(count, found + pattern_[next.index].pages - next.offset);
  }
  return {page, found};
}

std::uint64_t Region::index_at_home(PageId page) const {
  const Place p = place(page);
  return p.repeats * each_[p.index] + before_[p.index] + p.offset;
}

std::uint64_t Region::pages_at(NodeId node) const {
  std::uint64_t pages = 0;
  const std::uint64_t repeats = run_.count / period_, rest = run_.count % period_;
  for (std::size_t i = 0; i < pattern_.size(); ++i) {
    if (pattern_[i].home != node) continue;
    pages += repeats * pattern_[i].pages;
    if (rest > starts_[i]) pages += std::min(pattern_[i].pages, rest - starts_[i]);
  }
  for (const auto& [page, home] : moved_) {
    pages += home == node ? 1 : 0;
    pages -= first_home(page) == node ? 1 : 0;
  }
  return pages;
}

std::uint64_t Region::hash() const {
  std::uint64_t h = 14695981039346656037ull;  // FNV-1a
  const auto mix = [&](std::uint64_t v) { h = (h ^ v) * 1099511628211ull; };
  mix(run_.first.value);
  mix(run_.count);
  mix(static_cast<std::uint64_t>(policy_));
  for (const Homes::Run& r : pattern_) {
    mix(r.pages);
    mix(r.home.value);
  }
  return h;
}

std::optional<PageRun> Layout::find_space(std::uint64_t count, std::uint64_t align) const {
  const auto up = [&](std::uint64_t p) { return (p + align - 1) / align * align; };
  if (count == 0 || count > pages_) return std::nullopt;
  std::uint64_t at = 0;
  for (const Region& r : regions_) {
    if (at + count <= r.run().first.value) return PageRun{PageId(at), count};
    at = std::max(at, up(r.run().end().value));
  }
  if (at > pages_ - count) return std::nullopt;
  return PageRun{PageId(at), count};
}

void Layout::add(Region region) {
  const auto at = std::upper_bound(regions_.begin(), regions_.end(), region.run().first,
                                   [](PageId p, const Region& r) { return p < r.run().first; });
  DSM_CHECK_WITH(region.run().end().value <= pages_, "a region lies in the space",
                 {"first", region.run().first.value});
  DSM_CHECK_WITH((at == regions_.end() || region.run().end() <= at->run().first) &&
                     (at == regions_.begin() || std::prev(at)->run().end() <= region.run().first),
                 "regions do not overlap", {"first", region.run().first.value});
  regions_.insert(at, std::move(region));
}

void Layout::remove(RegionId id) {
  std::erase_if(regions_, [&](const Region& r) { return r.id() == id; });
}

void Layout::move(PageId page, NodeId home) {
  const_cast<Region*>(region_of(page))->move(page, home);
}

const Region* Layout::region_of(PageId page) const {
  const auto after = std::upper_bound(regions_.begin(), regions_.end(), page,
                                      [](PageId p, const Region& r) { return p < r.run().first; });
  if (after == regions_.begin() || !std::prev(after)->run().contains(page)) return nullptr;
  return &*std::prev(after);
}

const Region* Layout::region(RegionId id) const {
  const auto it =
      std::find_if(regions_.begin(), regions_.end(), [&](const Region& r) { return r.id() == id; });
  return it == regions_.end() ? nullptr : &*it;
}

}  // namespace dsm::core
