#include "dsm/core/bound.hpp"

#include <algorithm>

namespace dsm::core {

BoundPart& Bindings::add(LockId lock, const Span& span) {
  std::vector<LockId>& here = locks_[span.page];
  if (std::find(here.begin(), here.end(), lock) == here.end()) here.push_back(lock);
  BoundPart& part = parts_[lock].emplace_back();
  part.span = span;
  return part;
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

BoundPart* Bindings::find(LockId lock, const Span& span, std::size_t& next) {
  Parts* parts = of(lock);
  if (parts == nullptr) return nullptr;
  for (std::size_t i = 0; i < parts->size(); ++i) {
    BoundPart& part = (*parts)[(next + i) % parts->size()];
    if (part.span != span) continue;
    next = (next + i + 1) % parts->size();
    return &part;
  }
  return nullptr;
}

const std::vector<LockId>& Bindings::on(PageId page) const {
  static const std::vector<LockId> none;
  const auto it = locks_.find(page);
  return it == locks_.end() ? none : it->second;
}

}  // namespace dsm::core
