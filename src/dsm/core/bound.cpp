#include "dsm/core/bound.hpp"

#include <algorithm>

namespace dsm::core {

void Bindings::add(LockId lock, const Span& span) {
  BoundPart part;
  part.span = span;
  parts_[lock].push_back(part);
  std::vector<LockId>& here = locks_[span.page];
  if (std::find(here.begin(), here.end(), lock) == here.end()) here.push_back(lock);
}

void Bindings::remove(PageRun run) {
  for (auto it = parts_.begin(); it != parts_.end();) {
    std::erase_if(it->second, [&](const BoundPart& p) { return run.contains(p.span.page); });
    it = it->second.empty() ? parts_.erase(it) : std::next(it);
  }
  locks_.erase(locks_.lower_bound(run.first), locks_.lower_bound(run.end()));
}

Bindings::Parts* Bindings::of(LockId lock) {
  const auto it = parts_.find(lock);
  return it == parts_.end() ? nullptr : &it->second;
}

const Bindings::Parts* Bindings::of(LockId lock) const {
  const auto it = parts_.find(lock);
  return it == parts_.end() ? nullptr : &it->second;
}

const std::vector<LockId>& Bindings::on(PageId page) const {
  static const std::vector<LockId> none;
  const auto it = locks_.find(page);
  return it == locks_.end() ? none : it->second;
}

}  // namespace dsm::core
