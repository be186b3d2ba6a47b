#include "model/future.hpp"

#include <algorithm>

#include "support/random.hpp"

namespace dsm::sim {
namespace {

// Entries of one root. More tell the states apart that need another order from those that do not,
// and take longer to look through: with 64 there are a fifth fewer states in three times the time.
constexpr std::ptrdiff_t per_root_max = 4;

}  // namespace

// Of two entries of a root that use the same, the one with less of a past says more, and is enough.
// Where there are too many, two become one that says more than both.
void Future::add(Later later) {
  later.uses.simplify();
  later.past.simplify();
  const auto first =
      std::find_if(all_.begin(), all_.end(), [&](const Later& l) { return l.root == later.root; });
  const auto end =
      std::find_if(first, all_.end(), [&](const Later& l) { return l.root != later.root; });
  for (auto l = first; l != end; ++l)
    if (later.past.has(l->past)) later.uses.remove(l->uses);
  if (later.uses.empty()) return;
  Later* same = nullptr;
  bool emptied = false;
  for (auto l = first; l != end; ++l) {
    if (l->past == later.past) same = &*l;
    if (!l->past.has(later.past)) continue;
    l->uses.remove(later.uses);
    emptied |= l->uses.empty();
  }
  if (same != nullptr) {
    same->uses.add(later.uses);
  } else if (end - first < per_root_max) {
    all_.insert(end, later);
  } else {
    const auto lost = [&](const Later& l) {
      Footprint both = l.past;
      both.keep(later.past);
      return l.past.size() + later.past.size() - 2 * both.size();
    };
    const auto nearest = std::min_element(
        first, end, [&](const Later& a, const Later& b) { return lost(a) < lost(b); });
    nearest->uses.add(later.uses);
    nearest->past.keep(later.past);
  }
  if (emptied) std::erase_if(all_, [](const Later& l) { return l.uses.empty(); });
}

std::uint32_t Knowledge::keep(const Later& later) {
  const auto [it, added] = index_.try_emplace(later, static_cast<std::uint32_t>(entries_.size()));
  if (added) entries_.push_back(later);
  return it->second;
}

std::size_t Knowledge::Hash::operator()(const Later& l) const {
  std::uint64_t h = l.root;
  for (const Footprint& f : {l.uses, l.past})
    for (const Footprint::Bits bits : {f.reads(), f.writes()})
      h = mix(mix(h ^ static_cast<std::uint64_t>(bits)) ^ static_cast<std::uint64_t>(bits >> 64));
  return h;
}

}  // namespace dsm::sim
