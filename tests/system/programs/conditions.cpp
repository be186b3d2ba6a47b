// Conditions: nobody is missed, time-outs end, what was written before is seen behind.
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <shared_mutex>

#include "scenario.hpp"

using namespace scenario;  // NOLINT: a test program
using namespace std::chrono_literals;

namespace {

// A bounded queue in shared memory: every node fills it with one thread and empties it with
// another.
void queue() {
  constexpr std::uint64_t each = 150, room = 4;
  struct Queue {
    std::uint64_t head, tail, sum, taken, items[room];
  };
  auto shared = dsm::allocate<Queue>(1, dsm::Placement::on(nodes() - 1));
  Queue& q = shared[0];
  dsm::Lock lock;
  dsm::Condition filled, emptied;
  const auto self = static_cast<std::uint64_t>(me());
  in_threads(2, [&](int thread) {
    for (std::uint64_t i = 0; i < each; ++i) {
      std::unique_lock hold(lock);
      if (thread == 0) {
        emptied.wait(hold, [&] { return q.head - q.tail < room; });
        q.items[q.head++ % room] = mix(self, i) % 1000;
        filled.notify_one();
      } else {
        filled.wait(hold, [&] { return q.head != q.tail; });
        q.sum += q.items[q.tail++ % room];
        ++q.taken;
        emptied.notify_one();
      }
    }
  });
  dsm::barrier();
  std::uint64_t sum = 0;
  for (int n = 0; n < nodes(); ++n)
    for (std::uint64_t i = 0; i < each; ++i) sum += mix(static_cast<unsigned>(n), i) % 1000;
  same(q.taken, each * static_cast<std::uint64_t>(nodes()), "the number of items");
  same(q.sum, sum, "the sum of the items");
}

void everyone() {
  auto word = dsm::allocate<std::uint64_t>(2);
  dsm::Lock lock(3);
  dsm::Condition turned(77);
  for (std::uint64_t round = 1; round <= 50; ++round) {
    const bool turns = round % static_cast<std::uint64_t>(nodes()) == static_cast<unsigned>(me());
    std::unique_lock hold(lock);
    if (turns) {
      word[1] = mix(round);
      word[0] = round;
      turned.notify_all();
    } else {
      turned.wait(hold, [&] { return word[0] >= round; });
    }
    if (word[0] == round) same_at(word[1], mix(round), "word of round", round);
    hold.unlock();
    dsm::barrier();
  }
}

// Readers wait together, with a SharedLock that they hold to read; a writer turns the word.
void readers() {
  auto word = dsm::allocate<std::uint64_t>(2, dsm::Placement::on(nodes() - 1));
  dsm::SharedLock lock;
  dsm::Condition turned, seen;
  auto count = dsm::allocate<int>(1);
  for (std::uint64_t round = 1; round <= 20; ++round) {
    in_threads(2, [&](int thread) {
      if (thread == 0) {
        std::shared_lock hold(lock);
        turned.wait(hold, [&] { return word[0] >= round; });
        check(hold.owns_lock(), "it is held to read again");
        same_at(word[1], mix(word[0]), "word of round", round);
        hold.unlock();
        const std::unique_lock alone(lock);
        ++count[0];
        seen.notify_one();
      } else if (round % static_cast<std::uint64_t>(nodes()) == static_cast<unsigned>(me())) {
        std::unique_lock hold(lock);
        word[1] = mix(round);
        word[0] = round;
        turned.notify_all();
        seen.wait(hold, [&] { return count[0] == static_cast<int>(round) * nodes(); });
      }
    });
    dsm::barrier();
  }
}

void time_outs() {
  dsm::Lock lock;
  dsm::Condition never;
  for (const auto time : {-5ms, 0ms, 1ms, 30ms}) {
    std::unique_lock hold(lock);
    const auto begun = std::chrono::steady_clock::now();
    check(never.wait_for(hold, time) == std::cv_status::timeout, "nobody notifies");
    check(std::chrono::steady_clock::now() - begun >= time, "it waits as long as it is told");
    check(hold.owns_lock(), "the lock is held again");
    same(never.wait_for(hold, time, [] { return false; }), false, "the predicate");
    same(never.wait_for(hold, time, [] { return true; }), true, "the predicate");
    same(never.wait_until(hold, std::chrono::system_clock::now() + time, [] { return false; }),
         false, "the predicate");
  }
  // Time-outs and notifications at once: none of those who wait without one is forgotten.
  auto left = dsm::allocate<int>(1);
  dsm::Condition often;
  dsm::barrier();
  in_threads(2, [&](int thread) {
    for (int i = 0; i < 60; ++i) {
      std::unique_lock hold(lock);
      if (thread == 0) {
        ++left[0];
        if (often.wait_for(hold, std::chrono::microseconds(100 * (i % 7))) ==
            std::cv_status::no_timeout)
          often.notify_one();
        --left[0];
      } else {
        often.notify_one();
      }
    }
  });
  dsm::barrier();
  same(left[0], 0, "the number of those who still wait");
}

void misuse() {
  dsm::Condition condition;
  dsm::Lock lock(900 + static_cast<std::uint64_t>(me()));
  refused([&] { condition.wait(lock); }, {"unlock", "holds lock 90"});
  std::unique_lock hold(lock, std::defer_lock);
  refused([&] { condition.wait(hold); }, {"Condition::wait()", "needs its lock held"});
  refused([] { const dsm::Condition wrong(std::uint64_t{1} << 63); }, {"2^63"});
  // What is notified while nobody waits is nobody's.
  condition.notify_all();
  condition.notify_one();
  hold.lock();
  check(condition.wait_for(hold, 20ms) == std::cv_status::timeout || nodes() > 1,
        "nobody notifies");
}

}  // namespace

int main(int argc, char** argv) {
  return run(argc, argv,
             {{"queue", queue},
              {"everyone", everyone},
              {"readers", readers},
              {"time_outs", time_outs},
              {"misuse", misuse}});
}
