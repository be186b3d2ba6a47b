// What DSM_DEBUG=1 finds, in one line for the user. The job goes on.
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "base/log.hpp"
#include "dsm/core/diff.hpp"
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

// What was written there is no part of any diff, so nobody else sees it.
void Driver::report_unlocked(const core::Forbidden& forbidden, const core::Origin& origin,
                             ByteView twin) const {
  const core::Span& span = forbidden.span;
  const auto differs =
      core::difference({frame_of(span), span.length}, twin.subspan(span.offset, span.length));
  if (!differs) return;
  const PageId first = look([&](const core::Engine& engine) {
    const core::Region* region = engine.layout().region_of(span.page);
    return region == nullptr ? span.page : region->run().first;
  });
  const std::size_t offset = span.offset + differs->first;
  const auto address = reinterpret_cast<std::uintptr_t>(parts_.space.program(span.page)) + offset;
  log_line(
      "bound memory written without its lock: node %u (%s) wrote %lu bytes at 0x%lx, page %lu of "
      "its "
      "region, offset %lu, and had not lock %lu, to which they are bound; nobody else sees this "
      "write",
      parts_.self.value, words(origin).c_str(),
      static_cast<unsigned long>(differs->second - differs->first),
      static_cast<unsigned long>(address), static_cast<unsigned long>(span.page - first),
      static_cast<unsigned long>(offset), static_cast<unsigned long>(forbidden.lock.value));
}

std::string Driver::name_data_of(NodeId lost) const {
  constexpr std::size_t named_most = 3;
  return look([&](const core::Engine& engine) {
    const std::vector<LockId> locks = engine.bound_locks_of(lost);
    std::string text;
    for (std::size_t i = 0; i < std::min(locks.size(), named_most); ++i) {
      const core::Bindings::Parts& parts = *engine.bindings().of(locks[i]);
      std::size_t bytes = 0;
      std::uintptr_t first = ~std::uintptr_t{0};
      for (const core::BoundPart& part : parts) {
        bytes += part.span.length;
        first = std::min(first, reinterpret_cast<std::uintptr_t>(
                                    parts_.space.program(part.span.page) + part.span.offset));
      }
      char range[64];
      std::snprintf(range, sizeof range, " (%zu bytes from 0x%lx on)", bytes,
                    static_cast<unsigned long>(first));
      text += (i == 0 ? ", and with it what was bound to lock " : ", lock ") +
              std::to_string(locks[i].value) + range;
    }
    if (locks.size() > named_most)
      text += " and " + std::to_string(locks.size() - named_most) + " more";
    return text;
  });
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
