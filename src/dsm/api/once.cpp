// What is done once. Two semaphores make a flag: whose turn it is, and whether it is done. What the
// call wrote is told by the turn's release to everyone who has the turn after it.
#include <atomic>
#include <string>

#include "dsm/api/current.hpp"

namespace dsm {
namespace {

// Semaphores of the program, and those made without a number (semaphore.cpp), lie below.
constexpr std::uint64_t first_turn = std::uint64_t{3} << 62;
constexpr std::uint64_t numbers = std::uint64_t{1} << 60;  // of flags that a program numbers
std::atomic<std::uint64_t> next_flag{numbers};

SemaphoreId turn(std::uint64_t number) {
  return SemaphoreId(first_turn + 2 * number);
}
SemaphoreId done(std::uint64_t number) {
  return SemaphoreId(first_turn + 2 * number + 1);
}
constexpr std::uint64_t first_turns = 1, first_done = 0;

}  // namespace

OnceFlag::OnceFlag() : number_(next_flag.fetch_add(1)) {}

OnceFlag::OnceFlag(std::uint64_t number) : number_(number) {
  if (number >= numbers)
    throw Error("a flag's number lies below 2^60, not " + std::to_string(number));
}

bool OnceFlag::enter() {
  Driver& driver = api::current("call_once()").driver();
  driver.acquire(turn(number_), first_turns);
  if (!driver.try_acquire(done(number_), first_done)) return true;
  driver.release(done(number_), first_done, 1);  // for whoever comes next
  driver.release(turn(number_), first_turns, 1);
  return false;
}

void OnceFlag::leave(bool is_done) {
  Driver& driver = api::current("call_once()").driver();
  if (is_done) driver.release(done(number_), first_done, 1);
  driver.release(turn(number_), first_turns, 1);
}

}  // namespace dsm
