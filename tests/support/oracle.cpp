#include "support/oracle.hpp"

#include <algorithm>
#include <cstring>

#include "support/random.hpp"

namespace dsm::sim {

Bytes payload_of(std::uint32_t node, std::uint32_t barrier) {
  const std::uint64_t word = mix(node * 1000003ull + barrier + 1);
  Bytes bytes(word % 7 == 0 ? 0 : 1 + word % 8);  // some nodes contribute nothing
  if (!bytes.empty()) std::memcpy(bytes.data(), &word, bytes.size());
  return bytes;
}

Oracle::Oracle(const Program& program)
    : page_bytes_(program.page_bytes),
      memory_(program.config.space_pages * program.page_bytes),
      holder_(program.locks.size(), nobody),
      arrived_(program.node_count()),
      passed_(program.node_count()) {}

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

std::string Oracle::left(std::uint32_t node) const {
  if (passed_[node] == arrived_[node]) return {};
  return "node " + std::to_string(node) + " leaves a barrier that it was not told to have passed";
}

}  // namespace dsm::sim
