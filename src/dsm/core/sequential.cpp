#include "dsm/core/sequential.hpp"

#include <algorithm>

namespace dsm::core {
namespace {

bool in_the_way(const Sharing::Holder& h, const Sharing::Request& r) {
  if (h.node == r.from) return !r.has_copy;
  return r.wanted == Access::write || h.access == Access::write;
}

}  // namespace

const Sharing::Holder* Sharing::holder(NodeId node) const {
  const auto it = std::find_if(holders_.begin(), holders_.end(),
                               [&](const Holder& h) { return h.node == node; });
  return it == holders_.end() ? nullptr : &*it;
}

void Sharing::give_back(NodeId from, Turn turn, Access kept) {
  const auto it = std::find_if(holders_.begin(), holders_.end(),
                               [&](const Holder& h) { return h.node == from && h.turn == turn; });
  if (it == holders_.end()) return;
  it->access = it->gone ? Access::none : std::min(it->access, kept);
  if (it->access == Access::none) holders_.erase(it);
}

void Sharing::give_back_behind(NodeId from, Turn turn) {
  for (Holder& h : holders_)
    if (h.node == from && h.turn == turn) h.gone = true;
}

std::optional<Sharing::Grant> Sharing::next(Turn& turns, std::vector<Recall>& recalls, bool hasty) {
  if (queue_.empty()) return std::nullopt;
  const Request request = queue_.front();
  const auto blocks = [&](const Holder& h) { return in_the_way(h, request); };
  if (!serving_) {
    serving_ = true;
    for (const Holder& h : holders_)
      if (blocks(h) && h.node != request.from)  // what the asker had is on its way already
        recalls.push_back({h, request.wanted == Access::write ? Access::none : Access::read});
  }
  const auto left = std::count_if(holders_.begin(), holders_.end(), blocks);
  if (left > (hasty ? 1 : 0)) return std::nullopt;
  std::erase_if(holders_, blocks);

  serving_ = false;
  queue_.erase(queue_.begin());
  const auto it = std::find_if(holders_.begin(), holders_.end(),
                               [&](const Holder& h) { return h.node == request.from; });
  const Holder granted{request.from, request.wanted, ++turns, false};
  if (it != holders_.end()) {
    *it = granted;
    return Grant{granted, false};
  }
  holders_.push_back(granted);
  return Grant{granted, true};
}

}  // namespace dsm::core
