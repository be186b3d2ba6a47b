// What this node tells of its writes, and what it makes of those of others, where races are looked
// for (Config::find_races).
//
// A node's clock counts its scopes. What it tells others (tell(), the parts of barriers) carries
// the clock, and then a new scope begins. Everything written before is home by then, with a diff
// whose stamp says so much or less; whoever was told knows of it.
#include <utility>

#include "dsm/core/engine.hpp"

namespace dsm::core {

// A new scope begins, once what has been told carries the clock.
Clock Engine::tell_clock() {
  if (!config_.find_races) return {};
  Clock told = clock_;
  clock_.tick(config_.self);
  return told;
}

// The barrier interval that what happens here now belongs to.
Epoch Engine::interval() const {
  return contributed_ ? epoch() + 1 : epoch();
}

Origin Engine::origin_of(const Publication& p) const {
  switch (p.kind) {
    case Publication::Kind::grant:
      return {Origin::Kind::lock, p.lock.value, {}};
    case Publication::Kind::shared:
      return {Origin::Kind::shared_lock, p.shared.value, {}};
    case Publication::Kind::semaphore:
      return {Origin::Kind::semaphore, semaphores_.calls.at(p.call).semaphore.value, {}};
    case Publication::Kind::barrier:
      return {Origin::Kind::barrier, 0, barrier_wait_.site};
    case Publication::Kind::team:
      return {Origin::Kind::team, p.team.value, teams_.at(p.team).site};
  }
  return {};
}

// Of a page whose diff leaves now.
Stamp Engine::stamp(PageId id) {
  if (!config_.find_races) return {};
  Stamp stamp{interval(), clock_, {}};
  if (const auto why = origins_.extract(id); !why.empty()) stamp.origin = std::move(why.mapped());
  return stamp;
}

void Engine::look_for_races(const Diff& m, NodeId from, Effects& out) {
  if (!config_.find_races || m.stamp.empty() || planted(Bug::races_unseen)) return;
  std::vector<Race> found;
  races_.wrote(from, m.stamp, m.run, m.body, found);
  for (Race& race : found) out.push(Report{std::move(race)});
}

void Engine::look_for_races(const WordOperation& operation, NodeId asker, Epoch interval,
                            Effects& out) {
  if (!config_.find_races || planted(Bug::races_unseen)) return;
  std::vector<Race> found;
  races_.changed_atomically(asker, interval, operation.page, operation.offset, found);
  for (Race& race : found) out.push(Report{std::move(race)});
}

}  // namespace dsm::core
