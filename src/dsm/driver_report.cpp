// What DSM_DEBUG=1 finds, in one line for the user. The job goes on.
#include <algorithm>
#include <string>
#include <vector>

#include "base/log.hpp"
#include "dsm/driver.hpp"

namespace dsm {
namespace {

std::string words(const core::Origin& origin) {
  switch (origin.kind) {
    case core::Origin::Kind::lock:
      return "sent home when lock " + std::to_string(origin.number) + " left it";
    case core::Origin::Kind::shared_lock:
      return "sent home when shared lock " + std::to_string(origin.number) + " left it";
    case core::Origin::Kind::semaphore:
      return "sent home by a release of semaphore " + std::to_string(origin.number);
    case core::Origin::Kind::barrier:
      return "sent home by the collective call" +
             (origin.site.empty() ? std::string() : " at " + origin.site);
    case core::Origin::Kind::team:
      return "sent home by its team's call" +
             (origin.site.empty() ? std::string() : " at " + origin.site);
    case core::Origin::Kind::dropped:
      return "sent home when its copy had to go";
  }
  return "";
}

std::string words(const core::Race::Party& party) {
  const std::string who = "node " + std::to_string(party.node.value);
  return party.atomic ? who + " (through a dsm::Atomic)" : who + " (" + words(party.origin) + ")";
}

}  // namespace

void Driver::carry_out(core::Report& e, Work&) {
  const core::Race& race = e.race;
  const PageId first = look([&](const core::Engine& engine) {
    const core::Region* region = engine.layout().region_of(race.page);
    return region == nullptr ? race.page : region->run().first;
  });
  const bool mixed = race.first.atomic || race.second.atomic;
  const auto address =
      reinterpret_cast<std::uintptr_t>(parts_.space.program(race.page)) + race.offset;
  log_line(
      "%s: %s and %s wrote %u bytes at 0x%lx, page %lu of its region, offset %u, with no %s "
      "between",
      mixed ? "atomic and plain use of a word" : "data race", words(race.first).c_str(),
      words(race.second).c_str(), race.bytes, static_cast<unsigned long>(address),
      static_cast<unsigned long>(race.page - first), race.offset,
      mixed ? "barrier of the job" : "lock or barrier");
}

// It may be that the others compute, or that they are in another call, for which they wait for us.
void Driver::report_waiting(const Meeting& meeting) const {
  std::vector<NodeId> nodes = look([&](const core::Engine& engine) {
    return meeting.team ? engine.awaited(*meeting.team) : engine.awaited();
  });
  std::erase(nodes, parts_.self);
  std::string who;
  for (const NodeId node : nodes)
    who +=
        (who.empty() ? nodes.size() == 1 ? "node " : "nodes " : ", ") + std::to_string(node.value);
  const std::string where = meeting.site.empty() ? "" : " at " + meeting.site;
  log_line(
      "%ld s in the collective call%s, which is of %s, and no word of %s: is every one of them on "
      "its way to the same call?",
      static_cast<long>(silent_max.count()), where.c_str(), meeting.team ? "a team" : "all nodes",
      who.empty() ? "its end" : who.c_str());
}

}  // namespace dsm
