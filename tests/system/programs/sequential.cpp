// Sequential regions: programs that race on purpose, without a lock or a barrier between their
// accesses; and what else is done with such memory.
#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <mutex>

#include "scenario.hpp"

using namespace scenario;  // NOLINT: a test program

namespace {

template <typename T>
std::span<T> shared(std::size_t count, const dsm::Placement& placement = dsm::Placement::block()) {
  return dsm::allocate<T>(count, placement, dsm::Policy::sequential);
}

// Atomics of the language on plain shared memory.
template <typename T>
std::atomic_ref<T> at(T& word) {
  return std::atomic_ref<T>(word);
}

template <typename T>
void wait_for(T& word, T value) {
  while (at(word).load(std::memory_order_acquire) != value) ::sched_yield();
}

// Mutual exclusion of two nodes by loads and stores alone (Peterson): wrong wherever a store may be
// overtaken by a later load.
void exclusion() {
  auto wants = shared<std::uint32_t>(2 * dsm::page_size() / 4, dsm::Placement::cyclic());
  auto turn = shared<std::uint32_t>(1, dsm::Placement::on(nodes() - 1));
  auto counter = shared<std::uint64_t>(1);
  const std::size_t stride = dsm::page_size() / 4;
  constexpr std::uint64_t times = 150;
  if (me() < 2) {
    const auto self = static_cast<std::uint32_t>(me()), other = 1 - self;
    for (std::uint64_t i = 0; i < times; ++i) {
      at(wants[self * stride]).store(1);
      at(turn[0]).store(other);
      while (at(wants[other * stride]).load() == 1 && at(turn[0]).load() == other) ::sched_yield();
      counter[0] = counter[0] + 1;
      at(wants[self * stride]).store(0);
    }
  }
  dsm::barrier();
  same(counter[0], times * static_cast<unsigned>(std::min(nodes(), 2)), "the counter");
}

// A word goes around: each node waits for its number and writes the next.
void ring() {
  auto word = shared<std::uint64_t>(1);
  const auto n = static_cast<std::uint64_t>(nodes());
  constexpr std::uint64_t rounds = 100;
  for (std::uint64_t r = 0; r < rounds; ++r) {
    wait_for(word[0], r * n + static_cast<unsigned>(me()));
    at(word[0]).store(r * n + static_cast<unsigned>(me()) + 1, std::memory_order_release);
  }
  wait_for(word[0], rounds * n);
}

// Data in plain words, then a flag; the reader answers by another flag. Node 0 writes for all.
void flags() {
  constexpr std::size_t words = 3000;  // several pages
  auto data = shared<std::uint64_t>(words, dsm::Placement::cyclic());
  auto full = shared<std::uint64_t>(1, dsm::Placement::on(0));
  auto seen = shared<std::uint64_t>(static_cast<std::size_t>(nodes()) * 64);
  for (std::uint64_t r = 1; r <= 20; ++r) {
    if (me() == 0) {
      for (std::size_t i = 0; i < words; ++i) data[i] = mix(r, i);
      at(full[0]).store(r, std::memory_order_release);
    } else {
      wait_for(full[0], r);
      for (std::size_t i = 0; i < words; ++i) same_at(data[i], mix(r, i), "word", i);
    }
    at(seen[static_cast<std::size_t>(me()) * 64]).store(r, std::memory_order_release);
    if (me() == 0)
      for (int n = 0; n < nodes(); ++n) wait_for(seen[static_cast<std::size_t>(n) * 64], r);
  }
}

// Threads of all nodes count in one page: at one word by atomics, and each at one of its own.
void sharing() {
  constexpr int threads = 2;
  constexpr std::uint64_t times = 200;
  auto word = shared<std::uint64_t>(static_cast<std::size_t>(nodes()) * threads + 1);
  in_threads(threads, [&](int t) {
    auto& mine = word[static_cast<std::size_t>(me() * threads + t) + 1];
    for (std::uint64_t i = 0; i < times; ++i) {
      at(word[0]).fetch_add(1);
      same(mine, i, "a word of this thread");
      mine = i + 1;
    }
  });
  dsm::barrier();
  same(word[0], times * threads * static_cast<unsigned>(nodes()), "the sum");
  for (int i = 0; i < nodes() * threads; ++i)
    same_at(word[static_cast<std::size_t>(i) + 1], times, "the word of thread",
            static_cast<unsigned>(i));
}

// Many threads of all nodes at many words of few pages: words only grow, and nothing is lost.
void storm() {
  constexpr int threads = 3;
  constexpr std::uint64_t times = 400;
  const std::size_t stride = dsm::page_size() / 16;  // bytes: words of 8, 16 a page
  auto words = shared<std::uint64_t>(5 * dsm::page_size() / 8, dsm::Placement::cyclic());
  const std::size_t count = words.size() * 8 / stride;
  in_threads(threads, [&](int t) {
    std::vector<std::uint64_t> least(count);
    for (std::uint64_t i = 0; i < times; ++i) {
      const std::uint64_t draw = mix(i, static_cast<unsigned>(me()), static_cast<unsigned>(t));
      const std::size_t which = draw % count;
      auto word = at(words[which * stride / 8]);
      const std::uint64_t found = draw % 5 < 2 ? word.fetch_add(1) + 1 : word.load();
      check(found >= least[which], "word " + std::to_string(which) + " went back");
      least[which] = found;
    }
  });
  dsm::barrier();
  std::uint64_t sum = 0, made = 0;
  for (std::size_t w = 0; w < count; ++w) sum += words[w * stride / 8];
  for (int n = 0; n < nodes(); ++n)
    for (unsigned t = 0; t < threads; ++t)
      for (std::uint64_t i = 0; i < times; ++i) made += mix(i, static_cast<unsigned>(n), t) % 5 < 2;
  same(sum, made, "the sum of all words");
}

// One instruction that needs two pages at once. Nodes take them from each other, and nobody sees
// half of a store.
void straddling() {
  const std::size_t page = dsm::page_size();
  auto bytes = shared<unsigned char>(3 * page, dsm::Placement::cyclic());
  constexpr std::uint64_t every = 0x0101010101010101;
  const auto mine = static_cast<std::uint64_t>(me() + 1) * every;
  for (int i = 0; i < 100; ++i) {
    for (const std::size_t border : {page, 2 * page}) {
      unsigned char* const where = &bytes[border - 1 - static_cast<std::size_t>(i) % 7];
      std::uint64_t found = 0;
      std::memcpy(&found, where, sizeof found);
      asm volatile("" ::: "memory");
      if (i % 7 == 3) check(found % every == 0, "half a store is seen: " + std::to_string(found));
      if (i % 7 == 3) std::memcpy(where, &mine, sizeof mine);
      asm volatile("" ::: "memory");
    }
  }
  dsm::barrier();
  for (const std::size_t border : {page, 2 * page}) {
    std::uint64_t found = 0;
    std::memcpy(&found, &bytes[border - 4], sizeof found);
    check(found % every == 0 && found != 0, "the last store is whole: " + std::to_string(found));
  }
}

// More than the cache holds, written by each node in turn.
void crowd() {
  const std::size_t pages = (40u << 20) / dsm::page_size();
  const std::size_t stride = dsm::page_size() / 8;
  auto words = shared<std::uint64_t>(pages * stride, dsm::Placement::cyclic(16));
  auto turn = shared<int>(1);
  wait_for(turn[0], me());
  for (std::size_t p = 0; p < pages; ++p) {
    auto& word = words[p * stride + p % stride];
    same_at(word, static_cast<std::uint64_t>(me()) * p, "the word of page", p);
    word += p;
  }
  at(turn[0]).store(me() + 1);
  wait_for(turn[0], nodes());
  for (std::size_t p = 0; p < pages; p += 7)
    same_at(words[p * stride + p % stride], static_cast<std::uint64_t>(nodes()) * p,
            "the word of page", p);
  dsm::barrier();
  if (nodes() > 1) check(dsm::statistics().chunks_evicted > 0, "nothing was evicted");
}

// System calls: ensure(), load() and store().
void files() {
  constexpr std::size_t size = 300'000;
  auto bytes = shared<unsigned char>(size, dsm::Placement::cyclic());
  auto turn = shared<int>(1);
  char name[] = "/tmp/dsm-sequential-XXXXXX";
  const int fd = ::mkstemp(name);
  check(fd >= 0, "a temporary file");
  ::unlink(name);
  wait_for(turn[0], me());
  for (std::size_t i = 0; i < size; ++i) {
    same_at<unsigned>(bytes[i], static_cast<unsigned char>(i * static_cast<unsigned>(me())), "byte",
                      i);
    bytes[i] = static_cast<unsigned char>(i * static_cast<unsigned>(me() + 1));
  }
  same(dsm::store(fd, bytes.data(), size, 0), size, "what store() wrote");
  std::memset(bytes.data(), 1, size);
  same(dsm::load(fd, bytes.data(), size, 0), size, "what load() read");
  {
    const dsm::Ensured here = dsm::ensure(bytes.data(), size, dsm::Intent::read);
    same(::pwrite(fd, bytes.data(), size, 0), static_cast<ssize_t>(size), "what pwrite() wrote");
  }
  ::close(fd);
  at(turn[0]).store(me() + 1);
  dsm::barrier();
  for (std::size_t i = 0; i < size; i += 11)
    same_at<unsigned>(bytes[i], static_cast<unsigned char>(i * static_cast<unsigned>(nodes())),
                      "byte", i);
}

// Three policies in one program: what is written under a lock, what happened before, and a flag.
void mixed() {
  auto scoped = dsm::allocate<std::uint64_t>(4000, dsm::Placement::cyclic(), dsm::Policy::scope);
  auto released =
      dsm::allocate<std::uint64_t>(4000, dsm::Placement::cyclic(), dsm::Policy::release);
  auto flag = shared<std::uint64_t>(4000, dsm::Placement::cyclic());
  dsm::Lock lock;
  const auto n = static_cast<std::uint64_t>(nodes());
  for (std::uint64_t r = 0; r < 20; ++r) {
    wait_for(flag[0], r * n + static_cast<unsigned>(me()));
    released[r] += 2;  // before the scope
    {
      std::scoped_lock hold(lock);
      scoped[r] += 3;
      if (me() > 0) same(released[r] >= 2, true, "what the node before had written");
    }
    flag[1000 + r] += 1;  // this node's turn: nobody else writes
    at(flag[0]).store(r * n + static_cast<unsigned>(me()) + 1);
  }
  dsm::barrier();
  for (std::uint64_t r = 0; r < 20; ++r) {
    same_at(scoped[r], 3 * n, "the scoped word", r);
    same_at(flag[1000 + r], n, "the sequential word", r);
  }
}

// Regions come and go, and the next one begins with zeros.
void reuse() {
  for (std::uint64_t round = 1; round <= 12; ++round) {
    auto words = shared<std::uint64_t>(round * 700, dsm::Placement::cyclic());
    for (std::uint64_t i = 0; i < words.size(); i += 50)
      same_at(at(words[i]).load() / 1000, std::uint64_t{0}, "a new word", i);
    for (std::uint64_t i = static_cast<unsigned>(me()); i < words.size(); i += 97)
      at(words[i]).store(round);
    dsm::free(words);
    auto plain = dsm::allocate<std::uint64_t>(round * 700, dsm::Placement::cyclic());
    for (const std::uint64_t word : plain) same(word, std::uint64_t{0}, "a word of a new region");
    dsm::barrier();
    dsm::free(plain);
  }
}

}  // namespace

int main(int argc, char** argv) {
  return run(argc, argv,
             {{"exclusion", exclusion},
              {"ring", ring},
              {"flags", flags},
              {"sharing", sharing},
              {"storm", storm},
              {"straddling", straddling},
              {"crowd", crowd},
              {"files", files},
              {"mixed", mixed},
              {"reuse", reuse}});
}
