// Atomic operations on shared words, from every node and several of their threads.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "scenario.hpp"

using namespace scenario;  // NOLINT: a test program

namespace {

constexpr int per_node = 3;

std::size_t self() {
  return static_cast<std::size_t>(me());
}
std::size_t everyone() {
  return static_cast<std::size_t>(nodes());
}

// Every number is given out once, and in the end all have been.
void numbers() {
  constexpr std::uint64_t each = 60;
  for (int home = 0; home < nodes(); ++home) {
    auto next = dsm::allocate<std::uint64_t>(1, dsm::Placement::on(home));
    auto owner = dsm::allocate<std::uint32_t>(each * per_node * everyone());
    in_threads(per_node, [&](int t) {
      std::uint64_t last = 0;
      for (std::uint64_t i = 0; i < each; ++i) {
        const std::uint64_t mine = dsm::Atomic(next[0]).fetch_add(1);
        check(i == 0 || mine > last, "a thread's numbers rise");
        check(mine < owner.size(), "no number is given out twice");
        last = mine;
        owner[mine] =
            static_cast<std::uint32_t>(self() * per_node) + static_cast<std::uint32_t>(t) + 1;
      }
    });
    dsm::barrier();
    same(next[0], owner.size(), "how many numbers were given out, read behind a barrier");
    std::vector<std::uint64_t> got(per_node * everyone() + 1);
    for (const std::uint32_t who : owner) ++got.at(who);
    same(got[0], 0u, "numbers that nobody got");
    for (std::size_t who = 1; who < got.size(); ++who) same_at(got[who], each, "numbers of", who);
    dsm::barrier();
  }
}

// Each step from one value to the next is made by one thread.
void swaps() {
  constexpr std::int64_t steps = 150;
  auto words = dsm::allocate<std::int64_t>(2, dsm::Placement::on(nodes() - 1));
  const dsm::Atomic<std::int64_t> value(words[0]), made(words[1]);
  in_threads(per_node, [&](int) {
    std::int64_t expected = 0;
    while (expected > -steps)
      if (value.compare_exchange(expected, expected - 1)) {
        made.fetch_add(1);
        --expected;
      }
  });
  dsm::barrier();
  same(words[0], -steps, "the last value");
  same(words[1], steps, "steps made");
}

// Two words of 4 bytes in one of 8, next to bytes that are written plainly meanwhile.
void halves() {
  constexpr int rounds = 40;
  struct Line {
    std::int32_t low, high;
    unsigned char plain[56];
  };
  auto lines = dsm::allocate<Line>(2 * everyone(), dsm::Placement::cyclic());
  for (Line& line : lines) {
    for (int i = 0; i < rounds; ++i) {
      dsm::Atomic(line.low).fetch_add(-1);
      dsm::Atomic(line.high).fetch_add(2);
      line.plain[self()] = static_cast<unsigned char>(i);
    }
  }
  dsm::barrier();
  for (const Line& line : lines) {
    same(line.low, -rounds * nodes(), "the lower word");
    same(line.high, 2 * rounds * nodes(), "the higher word");
    for (std::size_t n = 0; n < everyone(); ++n)
      same_at(line.plain[n], static_cast<unsigned char>(rounds - 1), "plain byte of node", n);
  }
}

template <typename T>
void every_operation_of() {
  auto words = dsm::allocate<T>(everyone(), dsm::Placement::on(nodes() - 1));
  const dsm::Atomic word(words[self()]);
  same(word.load(), T(0), "a new word");
  word.store(T(12));
  same(word.exchange(T(10)), T(12), "exchange");
  same(word.fetch_or(T(5)), T(10), "fetch_or");
  same(word.fetch_and(T(14)), T(15), "fetch_and");
  same(word.fetch_xor(T(3)), T(14), "fetch_xor");
  same(word.fetch_sub(T(20)), T(13), "fetch_sub");
  same(word.load(), static_cast<T>(T(13) - T(20)), "load");
  T expected = T(1);
  check(!word.compare_exchange(expected, T(2)), "a comparison that fails");
  same(expected, static_cast<T>(T(13) - T(20)), "what it found");
  check(word.compare_exchange(expected, std::numeric_limits<T>::max()), "one that succeeds");
  same(word.fetch_add(T(1)), std::numeric_limits<T>::max(), "the largest");
  same(word.load(), std::numeric_limits<T>::min(), "it wraps");
  dsm::barrier();
  for (const T value : words) same(value, std::numeric_limits<T>::min(), "a word of another node");
  dsm::barrier();
}

void operations() {
  every_operation_of<std::int32_t>();
  every_operation_of<std::uint32_t>();
  every_operation_of<std::int64_t>();
  every_operation_of<std::uint64_t>();
}

// Plain and atomic by turns, with barriers between; everyone has had a copy.
void phases() {
  auto words = dsm::allocate<long>(8 * everyone(), dsm::Placement::cyclic());
  long expected = 0;
  for (int round = 0; round < 12; ++round) {
    const int writer = round % nodes();
    if (me() == writer)
      for (long& word : words) ++word;
    ++expected;
    dsm::barrier();
    for (const long word : words) same(word, expected, "a word written plainly");
    dsm::barrier();
    for (long& word : words) dsm::Atomic(word).fetch_add(2);
    expected += 2 * nodes();
    dsm::barrier();
    for (const long word : words) same(word, expected, "a word written atomically");
    dsm::barrier();
  }
}

// A lock made of a word: the data under it go through words too, since Atomics order nothing else.
void spinning() {
  auto words = dsm::allocate<std::uint32_t>(3, dsm::Placement::on(0));
  const dsm::Atomic<std::uint32_t> taken(words[0]), first(words[1]), second(words[2]);
  constexpr int turns = 15;
  for (int i = 0; i < turns; ++i) {
    std::uint32_t free = 0;
    while (!taken.compare_exchange(free, 1)) {
      free = 0;
      std::this_thread::yield();
    }
    const std::uint32_t seen = first.load();
    same(second.load(), seen, "two words under one lock");
    first.store(seen + 1);
    second.store(seen + 1);
    taken.store(0);
  }
  dsm::barrier();
  same(words[1], static_cast<std::uint32_t>(turns * nodes()), "turns");
}

void policies() {
  for (const dsm::Policy policy :
       {dsm::Policy::scope, dsm::Policy::release, dsm::Policy::sequential}) {
    auto words = dsm::allocate<std::uint64_t>(2, dsm::Placement::block(), policy);
    for (int i = 0; i < 20; ++i) {
      dsm::Atomic(words[0]).fetch_add(1);
      (void)dsm::Atomic(words[1]).fetch_or(std::uint64_t{1} << self());
    }
    dsm::barrier();
    same(words[0], 20 * everyone(), "additions");
    same(words[1], (std::uint64_t{1} << everyone()) - 1, "bits");
    dsm::barrier();
    dsm::free(words);
  }
}

void misuse() {
  auto words = dsm::allocate<std::uint64_t>(4);
  auto* bytes = reinterpret_cast<unsigned char*>(words.data());
  std::uint64_t own = 0;
  const auto at = [](void* address) -> std::uint64_t& {
    return *static_cast<std::uint64_t*>(address);
  };
  refused([&] { (void)dsm::Atomic(own); }, {"Atomic", "not shared memory", "allocate()"});
#if !defined(__SANITIZE_ADDRESS__)  // with it comes UBSan, which ends at the reference
  refused([&] { (void)dsm::Atomic(at(bytes + 4)); }, {"Atomic", "not aligned", "8 bytes"});
  refused([&] { (void)dsm::Atomic(*reinterpret_cast<std::int32_t*>(bytes + 2)); },
          {"Atomic", "not aligned", "4 bytes"});
#endif
  refused([&] { dsm::Atomic(at(bytes + (std::size_t{1} << 29))).store(1); },
          {"Atomic", "no region", "never allocated"});
  auto bound = dsm::allocate<std::uint64_t>(1, dsm::Placement::block(), dsm::Policy::bound);
  refused([&] { dsm::Atomic(bound[0]).store(1); }, {"Atomic", "bound region", "lock"});
  const dsm::Atomic word(words[0]);
  word.fetch_add(1);
  dsm::barrier();
  dsm::free(words);
  refused([&] { word.fetch_add(1); }, {"Atomic", "no region", "freed"});
  same(dsm::all_reduce(1), nodes(), "the number of nodes, counted");
}

}  // namespace

int main(int argc, char** argv) {
  return run(argc, argv,
             {{"numbers", numbers},
              {"swaps", swaps},
              {"halves", halves},
              {"operations", operations},
              {"phases", phases},
              {"spinning", spinning},
              {"policies", policies},
              {"misuse", misuse}});
}
