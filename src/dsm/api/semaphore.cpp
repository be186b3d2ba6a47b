// Semaphores.
#include <dsm/semaphore.hpp>

#include <atomic>
#include <string>

#include "dsm/api/current.hpp"

namespace dsm {
namespace {

// Semaphores made without a number count from here, so that they meet none that a program numbers.
constexpr std::uint64_t first_own_semaphore = std::uint64_t{1} << 63;
std::atomic<std::uint64_t> next_semaphore{first_own_semaphore};

static_assert(Semaphore::max() == sync::semaphore_count_max);

std::uint64_t checked(std::ptrdiff_t count) {
  if (count < 0 || count > Semaphore::max())
    throw Error("a semaphore starts with a count from 0 to " + std::to_string(Semaphore::max()) +
                ", not " + std::to_string(count));
  return static_cast<std::uint64_t>(count);
}

// Nodes that made it with different counts do not mean the same semaphore.
void must_agree(const char* call, Node& node, SemaphoreId id, std::uint64_t initial) {
  const auto other = node.driver().look(
      [&](const core::Engine& engine) { return engine.semaphore_made_with(id); });
  if (other && *other != initial)
    throw Error(std::string(call) + ": node " + std::to_string(node.self().value) +
                " made semaphore " + std::to_string(id.value) + " with a count of " +
                std::to_string(initial) + ", another node with " + std::to_string(*other) +
                "; every node makes it with the same");
}

}  // namespace

Semaphore::Semaphore(std::ptrdiff_t count)
    : number_(next_semaphore.fetch_add(1)), initial_(checked(count)) {}

Semaphore::Semaphore(std::ptrdiff_t count, std::uint64_t number)
    : number_(number), initial_(checked(count)) {
  if (number >= first_own_semaphore)
    throw Error("a semaphore's number lies below 2^63, not " + std::to_string(number));
}

void Semaphore::acquire() {
  constexpr const char* call = "Semaphore::acquire()";
  Node& node = api::current(call);
  const SemaphoreId id(number_);
  if (!node.driver().acquire(id, initial_)) must_agree(call, node, id, initial_);
}

bool Semaphore::try_acquire() {
  return try_acquire_within(std::chrono::nanoseconds::zero());
}

bool Semaphore::try_acquire_within(std::chrono::nanoseconds time) {
  constexpr const char* call = "Semaphore::try_acquire()";
  Node& node = api::current(call);
  const SemaphoreId id(number_);
  const bool acquired = time > time.zero()
                            ? node.driver().try_acquire_until(id, initial_, deadline_in(time))
                            : node.driver().try_acquire(id, initial_);
  if (!acquired) must_agree(call, node, id, initial_);
  return acquired;
}

void Semaphore::release(std::ptrdiff_t count) {
  constexpr const char* call = "Semaphore::release()";
  Node& node = api::current(call);
  if (count < 1)
    throw Error(std::string(call) + " adds at least one to the count, not " +
                std::to_string(count));
  const SemaphoreId id(number_);
  const bool fits =
      count <= max() && node.driver().release(id, initial_, static_cast<std::uint64_t>(count));
  if (fits) return;
  must_agree(call, node, id, initial_);
  throw Error(std::string(call) + " of " + std::to_string(count) +
              " would make the count of semaphore " + std::to_string(number_) + " more than " +
              std::to_string(max()) + ", which is the most; release what was acquired");
}

}  // namespace dsm
