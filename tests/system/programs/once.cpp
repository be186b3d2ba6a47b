// What is done once in the whole job: by one thread of one node, seen by all.
#include <atomic>

#include "scenario.hpp"

using namespace scenario;  // NOLINT: a test program

namespace {

void shared_start() {
  constexpr std::size_t words = 3000;
  auto table = dsm::allocate<std::uint64_t>(words, dsm::Placement::cyclic());
  auto calls = dsm::allocate<int>(1);
  dsm::OnceFlag flag;
  // An old copy of every page, on every node.
  for (std::size_t i = 0; i < words; ++i) same_at(table[i], 0u, "fresh word", i);
  dsm::barrier();
  dsm::call_once(flag, [&] {
    ++calls[0];
    for (std::size_t i = 0; i < words; ++i) table[i] = mix(i, 3);
  });
  for (std::size_t i = 0; i < words; ++i) same_at(table[i], mix(i, 3), "word", i);
  dsm::call_once(flag, [] { check(false, "it is not done again"); });
  same(calls[0], 1, "the number of calls");
}

void threads() {
  constexpr std::size_t flags = 40;
  auto word = dsm::allocate<std::uint64_t>(flags, dsm::Placement::on(nodes() - 1));
  auto made = dsm::allocate<std::uint64_t>(flags * static_cast<std::size_t>(nodes()));
  std::vector<std::unique_ptr<dsm::OnceFlag>> once;
  for (std::size_t i = 0; i < flags; ++i) once.push_back(std::make_unique<dsm::OnceFlag>());
  std::vector<std::atomic<int>> here(flags);
  in_threads(4, [&](int t) {
    for (std::size_t n = 0; n < flags; ++n) {
      const std::size_t i = t % 2 == 0 ? n : flags - 1 - n;
      dsm::call_once(*once[i], [&] {
        ++here[i];
        word[i] = mix(i, 8);
      });
      same_at(word[i], mix(i, 8), "word", i);
    }
  });
  for (std::size_t i = 0; i < flags; ++i)
    made[static_cast<std::size_t>(me()) * flags + i] = static_cast<std::uint64_t>(here[i].load());
  dsm::barrier();
  for (std::size_t i = 0; i < flags; ++i) {
    std::uint64_t calls = 0;
    for (std::size_t n = 0; n < static_cast<std::size_t>(nodes()); ++n)
      calls += made[n * flags + i];
    same_at(calls, 1u, "calls of flag", i);
  }
}

// By number: whoever comes names it, and may do so again.
void numbered() {
  auto calls = dsm::allocate<int>(30);
  for (std::uint64_t n = 0; n < 30; ++n) {
    const auto i = static_cast<std::size_t>((n + static_cast<std::uint64_t>(me()) * 7) % 30);
    for (int again = 0; again < 2; ++again) {
      dsm::OnceFlag flag(i);
      dsm::call_once(flag, [&] { ++calls[i]; });
      same_at(calls[i], 1, "calls of flag", i);
    }
  }
  // A semaphore and a lock of the same number are other things.
  dsm::Semaphore semaphore(4, 3);
  semaphore.acquire();
  dsm::Lock lock(3);
  lock.lock();
  lock.unlock();
  refused([] { dsm::OnceFlag wrong(std::uint64_t{1} << 60); }, {"2^60"});
}

// Each node's first try fails until everyone's has; then one does it.
void throwing() {
  auto tried = dsm::allocate<int>(2);
  dsm::OnceFlag flag;
  bool mine = false;
  for (bool done = false; !done;) {
    try {
      dsm::call_once(flag, [&] {
        tried[0] += mine ? 0 : 1;
        mine = true;
        if (tried[0] < nodes()) throw Difference("not yet");
        ++tried[1];
      });
      done = true;
    } catch (const Difference&) {
    }
  }
  same(tried[0] <= nodes() && tried[0] >= 1, true, "that each node tried once at most");
  same(tried[1], 1, "the number of calls that ended well");
}

}  // namespace

int main(int argc, char** argv) {
  return run(argc, argv,
             {{"shared_start", shared_start},
              {"threads", threads},
              {"numbered", numbered},
              {"throwing", throwing}});
}
