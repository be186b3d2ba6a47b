#include "support/oracle.hpp"

#include <algorithm>
#include <cstring>

#include "support/random.hpp"

namespace dsm::sim {

Bytes payload_of(std::uint32_t node, std::uint32_t barrier, std::uint32_t group) {
  const std::uint64_t word = mix(node * 1000003ull + barrier + 1 + (std::uint64_t{group} << 40));
  Bytes bytes(word % 7 == 0 ? 0 : 1 + word % 8);  // some nodes contribute nothing
  if (!bytes.empty()) std::memcpy(bytes.data(), &word, bytes.size());
  return bytes;
}

Oracle::Oracle(const Program& program)
    : page_bytes_(program.page_bytes),
      memory_(program.config.space_pages * program.page_bytes),
      holder_(program.locks.size(), nobody),
      shared_(program.shared_locks.size()),
      arrived_(program.node_count()),
      passed_(program.node_count()) {
  const std::vector<std::uint32_t> none(program.node_count());
  for (const Program::Semaphore& semaphore : program.semaphores) free_.push_back(semaphore.initial);
  for (const std::vector<NodeId>& members : program.teams) teams_.push_back({members, none, none});
}

void Oracle::write(std::uint32_t page, std::uint32_t offset, std::uint32_t length,
                   std::uint64_t bytes) {
  std::memcpy(memory_.data() + std::size_t{page} * page_bytes_ + offset, &bytes, length);
}

std::uint64_t Oracle::expected(std::uint32_t page, std::uint32_t offset,
                               std::uint32_t length) const {
  std::uint64_t bytes = 0;
  std::memcpy(&bytes, memory_.data() + std::size_t{page} * page_bytes_ + offset, length);
  return bytes;
}

void Oracle::zero(PageRun run) {
  std::fill_n(memory_.begin() + static_cast<std::ptrdiff_t>(run.first.value * page_bytes_),
              run.count * page_bytes_, std::byte{0});
}

std::string Oracle::acquired(std::uint32_t lock, std::uint32_t node, std::uint32_t thread) {
  const std::uint32_t before = holder_[lock];
  holder_[lock] = node * 256 + thread;
  if (before == nobody) return {};
  return "lock " + std::to_string(lock) + " is given to thread " + std::to_string(thread) +
         " of node " + std::to_string(node) + " while thread " + std::to_string(before % 256) +
         " of node " + std::to_string(before / 256) + " holds it";
}

void Oracle::released(std::uint32_t lock) {
  holder_[lock] = nobody;
}

std::string Oracle::acquired_shared(std::uint32_t lock, sync::Mode mode) {
  Shared& shared = shared_[lock];
  ++(mode == sync::Mode::exclusive ? shared.writers : shared.readers);
  if (shared.writers == 0 || (shared.writers == 1 && shared.readers == 0)) return {};
  return "shared lock " + std::to_string(lock) + " has " + std::to_string(shared.writers) +
         " writers and " + std::to_string(shared.readers) + " readers at once";
}

void Oracle::released_shared(std::uint32_t lock, sync::Mode mode) {
  --(mode == sync::Mode::exclusive ? shared_[lock].writers : shared_[lock].readers);
}

std::string Oracle::acquired_semaphore(std::uint32_t semaphore) {
  if (free_[semaphore] == 0)
    return "semaphore " + std::to_string(semaphore) + " lets more in than it was released for";
  --free_[semaphore];
  return {};
}

void Oracle::released_semaphore(std::uint32_t semaphore, std::uint64_t count) {
  free_[semaphore] += count;
}

void Oracle::arrived(std::uint32_t node) {
  ++arrived_[node];
}

std::string Oracle::passed(std::uint32_t node, const std::vector<Bytes>& payloads) {
  const std::uint32_t barrier = ++passed_[node];
  for (std::uint32_t other = 0; other < arrived_.size(); ++other)
    if (arrived_[other] < barrier)
      return "node " + std::to_string(node) + " passes barrier " + std::to_string(barrier) +
             " before node " + std::to_string(other) + " arrives";
  if (payloads.size() != arrived_.size()) return "a barrier yields one payload for each node";
  for (std::uint32_t other = 0; other < payloads.size(); ++other)
    if (payloads[other] != payload_of(other, barrier))
      return "node " + std::to_string(node) + " finds the wrong payload of node " +
             std::to_string(other) + " at barrier " + std::to_string(barrier);
  return {};
}

std::string Oracle::passed_team(std::uint32_t node, std::uint32_t team,
                                const std::vector<Bytes>& payloads) {
  Team& t = teams_[team];
  const std::uint32_t barrier = ++t.passed[node];
  const std::string where = "node " + std::to_string(node) + " at barrier " +
                            std::to_string(barrier) + " of team " + std::to_string(team) + " ";
  if (payloads.size() != t.members.size()) return where + "has not one payload for each member";
  for (std::size_t i = 0; i < payloads.size(); ++i) {
    const std::uint32_t member = t.members[i].value;
    if (t.arrived[member] < barrier)
      return where + "is through before node " + std::to_string(member) + " arrives";
    if (payloads[i] != payload_of(member, barrier, team + 1))
      return where + "finds the wrong payload of node " + std::to_string(member);
  }
  return {};
}

std::string Oracle::left_team(std::uint32_t node, std::uint32_t team) const {
  if (teams_[team].passed[node] == teams_[team].arrived[node]) return {};
  return "node " + std::to_string(node) + " leaves a barrier of team " + std::to_string(team) +
         " that it was not told to have passed";
}

std::uint64_t Oracle::hash() const {
  std::uint64_t h = 0;
  const auto add = [&](std::uint64_t v) { h = mix(h ^ v) + 0x9e3779b97f4a7c15u; };
  for (std::size_t i = 0; i + 8 <= memory_.size(); i += 8) {
    std::uint64_t word;
    std::memcpy(&word, &memory_[i], sizeof word);
    add(word);
  }
  for (const std::uint32_t holder : holder_) add(holder);
  for (const Shared& s : shared_) add(std::uint64_t{s.readers} << 32 | s.writers);
  for (const std::uint64_t free : free_) add(free);
  for (std::size_t n = 0; n < arrived_.size(); ++n)
    add(std::uint64_t{arrived_[n]} << 32 | passed_[n]);
  for (const Team& team : teams_)
    for (std::size_t n = 0; n < team.arrived.size(); ++n)
      add(std::uint64_t{team.arrived[n]} << 32 | team.passed[n]);
  return h;
}

std::string Oracle::left(std::uint32_t node) const {
  if (passed_[node] == arrived_[node]) return {};
  return "node " + std::to_string(node) + " leaves a barrier that it was not told to have passed";
}

}  // namespace dsm::sim
