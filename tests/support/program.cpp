#include "support/program.hpp"

#include <algorithm>
#include <utility>

#include "base/check.hpp"

namespace dsm::sim {

const char* name_of(Do what) {
  switch (what) {
    case Do::read:
      return "read";
    case Do::write:
      return "write";
    case Do::set:
      return "set";
    case Do::observe:
      return "observe";
    case Do::acquire:
      return "acquire";
    case Do::try_acquire:
      return "try_acquire";
    case Do::timed_acquire:
      return "timed_acquire";
    case Do::release:
      return "release";
    case Do::acquire_shared:
      return "acquire_shared";
    case Do::try_acquire_shared:
      return "try_acquire_shared";
    case Do::timed_acquire_shared:
      return "timed_acquire_shared";
    case Do::release_shared:
      return "release_shared";
    case Do::acquire_semaphore:
      return "acquire_semaphore";
    case Do::try_acquire_semaphore:
      return "try_acquire_semaphore";
    case Do::timed_acquire_semaphore:
      return "timed_acquire_semaphore";
    case Do::release_semaphore:
      return "release_semaphore";
    case Do::arrive:
      return "arrive";
    case Do::join:
      return "join";
    case Do::wait:
      return "wait";
    case Do::await_count:
      return "await_count";
    case Do::count_up:
      return "count_up";
    case Do::notify_one:
      return "notify_one";
    case Do::notify_all:
      return "notify_all";
    case Do::await_waits:
      return "await_waits";
    case Do::team_arrive:
      return "team_arrive";
    case Do::team_join:
      return "team_join";
    case Do::atomic_add:
      return "atomic_add";
    case Do::atomic_swap:
      return "atomic_swap";
    case Do::pin:
      return "pin";
    case Do::unpin:
      return "unpin";
    case Do::take:
      return "take";
    case Do::give:
      return "give";
    case Do::if_has:
      return "if_has";
    case Do::add_region:
      return "add_region";
    case Do::drop_region:
      return "drop_region";
  }
  return "?";
}

std::string to_string(const Op& op) {
  std::string text = name_of(op.what);
  switch (op.what) {
    case Do::set:
    case Do::observe:
      return text + " page " + std::to_string(op.page) + " byte " + std::to_string(op.offset) +
             (op.what == Do::set ? " to " : " into register ") + std::to_string(op.arg);
    case Do::read:
    case Do::write:
    case Do::count_up:
    case Do::atomic_add:
    case Do::atomic_swap:
      return text + " page " + std::to_string(op.page) + " bytes " + std::to_string(op.offset) +
             "+" + std::to_string(op.length);
    case Do::acquire:
    case Do::try_acquire:
    case Do::timed_acquire:
    case Do::release:
      return text + " lock " + std::to_string(op.arg);
    case Do::acquire_shared:
    case Do::try_acquire_shared:
    case Do::timed_acquire_shared:
    case Do::release_shared:
      return text + " shared lock " + std::to_string(op.arg) +
             (op.mode == sync::Mode::shared ? " to read" : " to write");
    case Do::acquire_semaphore:
    case Do::try_acquire_semaphore:
    case Do::timed_acquire_semaphore:
      return text + " " + std::to_string(op.arg);
    case Do::release_semaphore:
      return text + " " + std::to_string(op.arg) + " by " + std::to_string(op.count);
    case Do::pin:
    case Do::unpin:
      return text + " page " + std::to_string(op.page) + "+" + std::to_string(op.arg);
    case Do::take:
    case Do::give:
      return text + " baton " + std::to_string(op.arg) + " at lock " + std::to_string(op.lock);
    case Do::if_has:
      return text + " baton " + std::to_string(op.arg);
    case Do::add_region:
    case Do::drop_region:
      return text + " region " + std::to_string(op.arg);
    case Do::wait:
      return text + " condition " + std::to_string(op.count) + " with lock " +
             std::to_string(op.arg) + (op.time == 0 ? "" : " at most " + std::to_string(op.time));
    case Do::await_count:
      return text + " to " + std::to_string(op.lock) + " page " + std::to_string(op.page) +
             " bytes " + std::to_string(op.offset) + "+" + std::to_string(op.length) +
             ", condition " + std::to_string(op.count) + " with lock " + std::to_string(op.arg) +
             (op.time == 0 ? "" : " at most " + std::to_string(op.time));
    case Do::notify_one:
    case Do::notify_all:
      return text + " condition " + std::to_string(op.arg);
    case Do::await_waits:
      return text + " " + std::to_string(op.count) + " of condition " + std::to_string(op.arg);
    case Do::team_arrive:
    case Do::team_join:
      return text + " team " + std::to_string(op.arg);
    case Do::arrive:
    case Do::join:
      return text;
  }
  return text;
}

std::size_t Program::operations() const {
  std::size_t sum = 0;
  for (const auto& threads : nodes)
    for (const auto& ops : threads) sum += ops.size();
  return sum;
}

Script::Script(std::uint32_t nodes, const std::vector<std::uint32_t>& homes, std::uint32_t locks,
               core::Policy policy) {
  program_.config.nodes = nodes;
  program_.config.chunk_pages = 4;
  program_.config.cache_chunks = 16;
  program_.config.mark_ring_slots = 16;
  program_.config.fetch_window = 1;
  region(homes, policy);
  for (std::uint32_t i = 0; i < locks; ++i) program_.locks.push_back(LockId(i));
  for (std::uint32_t i = 0; i < 2; ++i) program_.shared_locks.push_back(SharedLockId(i));
  program_.nodes.resize(nodes);
  for (std::uint32_t n = 0; n < nodes; ++n) node(n).add_region(0).append({Do::join});
}

std::uint32_t Script::region(const std::vector<std::uint32_t>& homes, core::Policy policy) {
  std::vector<NodeId> home_of_page;
  for (const std::uint32_t h : homes) home_of_page.push_back(NodeId(h));
  const auto number = static_cast<std::uint32_t>(program_.regions.size());
  const PageRun run{PageId(program_.config.space_pages), homes.size()};
  program_.config.space_pages += homes.size();
  program_.regions.emplace_back(RegionId(number), run, core::Homes::of(home_of_page), policy);
  return number;
}

Script& Script::bind(std::uint32_t lock, std::uint32_t page, std::uint32_t offset,
                     std::uint32_t length, core::Refresh refresh) {
  program_.bindings.push_back({lock, {PageId(page), offset, length}, refresh});
  return *this;
}

Script& Script::add_region(std::uint32_t region) {
  return append({Do::add_region, 0, 0, 0, region});
}
Script& Script::drop_region(std::uint32_t region) {
  return append({Do::drop_region, 0, 0, 0, region});
}

Script& Script::node(std::uint32_t node, std::uint32_t thread) {
  node_ = node;
  thread_ = thread;
  auto& threads = program_.nodes.at(node);
  DSM_CHECK(thread <= threads.size(), "a script's threads are named in order");
  if (thread == threads.size()) {
    threads.emplace_back();
    if (thread > 0) append({Do::join});
  }
  return *this;
}

Script& Script::append(Op op) {
  program_.nodes[node_][thread_].push_back(op);
  return *this;
}

Script& Script::read(std::uint32_t page, std::uint32_t offset, std::uint32_t length) {
  return append(
      {Do::read, static_cast<std::uint8_t>(length), static_cast<std::uint16_t>(offset), page});
}
Script& Script::write(std::uint32_t page, std::uint32_t offset, std::uint32_t length) {
  return append(
      {Do::write, static_cast<std::uint8_t>(length), static_cast<std::uint16_t>(offset), page});
}
Script& Script::set(std::uint32_t page, std::uint32_t offset, std::uint8_t value) {
  return append({Do::set, 1, static_cast<std::uint16_t>(offset), page, value});
}
Script& Script::observe(std::uint32_t page, std::uint32_t offset, std::uint32_t into) {
  program_.registers = std::max(program_.registers, into + 1);
  return append({Do::observe, 1, static_cast<std::uint16_t>(offset), page, into});
}
Script& Script::acquire(std::uint32_t lock) {
  return append({Do::acquire, 0, 0, 0, lock});
}
Script& Script::timed_acquire(std::uint32_t lock, std::uint32_t skip) {
  return append({Do::timed_acquire, 0, 0, 0, lock, skip + 1});
}
Script& Script::release(std::uint32_t lock) {
  return append({Do::release, 0, 0, 0, lock});
}
std::uint32_t Script::baton(std::uint32_t node, std::uint32_t thread) {
  program_.batons.push_back({false, 0, node, thread});
  return static_cast<std::uint32_t>(program_.batons.size()) - 1;
}
Script& Script::take(std::uint32_t baton, std::uint32_t lock) {
  return append({Do::take, 0, 0, 0, baton, 0, lock});
}
Script& Script::give(std::uint32_t baton, std::uint32_t lock) {
  return append({Do::give, 0, 0, 0, baton, 0, lock});
}
Script& Script::if_has(std::uint32_t baton, std::uint32_t skip) {
  return append({Do::if_has, 0, 0, 0, baton, skip});
}
Script& Script::lock_shared(std::uint32_t shared_lock) {
  return append({Do::acquire_shared, 0, 0, 0, shared_lock, 0, 0, 0, 0, sync::Mode::shared});
}
Script& Script::unlock_shared(std::uint32_t shared_lock) {
  return append({Do::release_shared, 0, 0, 0, shared_lock, 0, 0, 0, 0, sync::Mode::shared});
}
Script& Script::lock_exclusive(std::uint32_t shared_lock) {
  return append({Do::acquire_shared, 0, 0, 0, shared_lock, 0, 0, 0, 0, sync::Mode::exclusive});
}
Script& Script::unlock_exclusive(std::uint32_t shared_lock) {
  return append({Do::release_shared, 0, 0, 0, shared_lock, 0, 0, 0, 0, sync::Mode::exclusive});
}
Script& Script::timed_exclusive(std::uint32_t shared_lock, std::uint32_t skip) {
  return append(
      {Do::timed_acquire_shared, 0, 0, 0, shared_lock, skip + 1, 0, 0, 0, sync::Mode::exclusive});
}
std::uint32_t Script::semaphore(std::uint64_t id, std::uint64_t initial) {
  program_.semaphores.push_back({SemaphoreId(id), initial});
  return static_cast<std::uint32_t>(program_.semaphores.size()) - 1;
}
Script& Script::acquire_semaphore(std::uint32_t semaphore) {
  return append({Do::acquire_semaphore, 0, 0, 0, semaphore});
}
Script& Script::timed_acquire_semaphore(std::uint32_t semaphore, std::uint32_t skip) {
  return append({Do::timed_acquire_semaphore, 0, 0, 0, semaphore, skip + 1});
}
Script& Script::release_semaphore(std::uint32_t semaphore, std::uint32_t count) {
  return append({Do::release_semaphore, 0, 0, 0, semaphore, 0, 0, count});
}
Script& Script::arrive() {
  return append({Do::arrive});
}
Script& Script::wait(std::uint32_t lock, std::uint32_t ticks, std::uint32_t skip) {
  return append({Do::wait, 0, 0, 0, lock, skip + 1, 0, 0, ticks});
}
Script& Script::notify_one() {
  return append({Do::notify_one});
}
Script& Script::notify_all() {
  return append({Do::notify_all});
}
Script& Script::await_waits(std::uint32_t waits) {
  return append({Do::await_waits, 0, 0, 0, 0, 0, 0, waits});
}
std::uint32_t Script::team(const std::vector<std::uint32_t>& members) {
  program_.teams.emplace_back();
  for (const std::uint32_t node : members) program_.teams.back().push_back(NodeId(node));
  return static_cast<std::uint32_t>(program_.teams.size()) - 1;
}
Script& Script::team_arrive(std::uint32_t team) {
  return append({Do::team_arrive, 0, 0, 0, team});
}
Script& Script::team_join(std::uint32_t team) {
  return append({Do::team_join, 0, 0, 0, team});
}

Script& Script::find_races(std::uint32_t races) {
  program_.config.find_races = program_.config.atomics_by_message = true;
  program_.races = races;
  return *this;
}

Script& Script::find_forbidden(std::uint32_t writes) {
  find_races(0);
  program_.forbidden = writes;
  return *this;
}

Script& Script::atomic_add(std::uint32_t page, std::uint32_t offset) {
  return append({Do::atomic_add, 8, static_cast<std::uint16_t>(offset), page});
}

Script& Script::atomic_swap(std::uint32_t page, std::uint32_t offset, bool fails) {
  return append({Do::atomic_swap, 8, static_cast<std::uint16_t>(offset), page, fails ? 1u : 0u});
}
Script& Script::pin(std::uint32_t page, std::uint32_t pages) {
  return append({Do::pin, 0, 0, page, pages});
}
Script& Script::unpin(std::uint32_t page, std::uint32_t pages) {
  return append({Do::unpin, 0, 0, page, pages});
}

Script& Script::join_all() {
  for (auto& threads : program_.nodes)
    for (auto& ops : threads) ops.push_back({Do::join});
  return *this;
}

Program Script::finish() const {
  Program program = program_;
  for (auto& threads : program.nodes)
    for (auto& ops : threads) ops.push_back({Do::join});
  return program;
}

}  // namespace dsm::sim
