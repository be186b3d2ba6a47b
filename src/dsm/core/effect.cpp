#include "dsm/core/effect.hpp"

#include <utility>

namespace dsm::core {

template <typename E, typename Same>
bool Effects::extend(PageId page, Same same) {
  if (list_.empty()) return false;
  E* last = std::get_if<E>(&list_.back());
  if (last == nullptr || last->run.end() != page || !same(*last)) return false;
  ++last->run.count;
  return true;
}

void Effects::change(PageId page, Access from, Access to) {
  if (!extend<Change>(page, [&](const Change& c) { return c.from == from && c.to == to; }))
    list_.push_back(Change{{page, 1}, from, to});
}

void Effects::twin(PageId page) {
  if (!extend<Twin>(page, [](const Twin&) { return true; })) list_.push_back(Twin{{page, 1}});
}

void Effects::send_diff(PageId page, NodeId home, Stamp stamp, bool stays) {
  const auto same = [&](const SendDiff& d) {
    return d.home == home && d.stamp == stamp && d.stay == stays;
  };
  if (!extend<SendDiff>(page, same))
    list_.push_back(SendDiff{home, {page, 1}, std::move(stamp), stays});
}

void Effects::take_base(PageId page) {
  if (!extend<TakeBase>(page, [](const TakeBase&) { return true; }))
    list_.push_back(TakeBase{{page, 1}});
}

void Effects::drop_base(PageId page) {
  if (!extend<DropBase>(page, [](const DropBase&) { return true; }))
    list_.push_back(DropBase{{page, 1}});
}

}  // namespace dsm::core
