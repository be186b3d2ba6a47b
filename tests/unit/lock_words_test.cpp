// LockWords: what threads and the engine's effects do to one word, in both orders, and at once.
#include <gtest/gtest.h>

#include <atomic>

#include <thread>
#include <vector>

#include "dsm/lock_words.hpp"

namespace dsm {
namespace {

using Given = LockWords::Given;
constexpr LockId lock{7};

TEST(LockWords, AreTheEnginesUntilLent) {
  LockWords words;
  EXPECT_FALSE(words.take(lock));
  EXPECT_EQ(words.give(lock), Given::ask);
  EXPECT_FALSE(words.lend(lock));
  EXPECT_TRUE(words.take(lock));
  EXPECT_FALSE(words.take(lock));
  EXPECT_EQ(words.give(lock), Given::back);
  EXPECT_EQ(words.give(lock), Given::nobody_held);
  EXPECT_EQ(words.taken(), 1u);
}

TEST(LockWords, ComeBackFreeOrHeld) {
  LockWords words;
  words.lend(lock);
  EXPECT_EQ(words.recall(lock), false);
  EXPECT_FALSE(words.take(lock));
  words.lend(lock);
  EXPECT_TRUE(words.take(lock));
  EXPECT_EQ(words.recall(lock), true);
  EXPECT_EQ(words.give(lock), Given::ask) << "its release is the engine's";
}

TEST(LockWords, MayBeRecalledBeforeTheyAreLent) {
  LockWords words;
  EXPECT_EQ(words.recall(lock), std::nullopt);
  EXPECT_FALSE(words.take(lock));
  EXPECT_EQ(words.lend(lock), false);
  EXPECT_FALSE(words.take(lock));
  EXPECT_EQ(words.lend(lock), std::nullopt);
  EXPECT_TRUE(words.take(lock));
}

TEST(LockWords, ManyShareTheTable) {
  LockWords words;
  constexpr std::uint64_t locks = 100'000;
  for (std::uint64_t i = 0; i < locks; ++i) words.lend(LockId(i * i));
  for (std::uint64_t i = 0; i < locks; ++i) ASSERT_TRUE(words.take(LockId(i * i))) << i;
  for (std::uint64_t i = 0; i < locks; ++i) ASSERT_FALSE(words.take(LockId(i * i))) << i;
  EXPECT_EQ(words.taken(), locks);
}

// Threads count under locks that are lent and recalled all the while. The last holder of a recalled
// lock gives it to the engine, which is this test.
TEST(LockWords, ExcludeThreads) {
  LockWords words;
  constexpr int locks = 3, threads = 4, rounds = 20'000;
  std::uint64_t counters[locks] = {};
  std::atomic<bool> held_outside[locks] = {};
  std::atomic<int> done{0};
  for (std::uint64_t i = 0; i < locks; ++i) words.lend(LockId(i));
  std::vector<std::thread> all;
  for (int t = 0; t < threads; ++t) {
    all.emplace_back([&, t] {
      for (int i = 0; i < rounds; ++i) {
        const auto which = static_cast<std::uint64_t>(i + t) % locks;
        while (!words.take(LockId(which))) std::this_thread::yield();
        ++counters[which];
        if (words.give(LockId(which)) == Given::ask) held_outside[which].store(false);
      }
      ++done;
    });
  }
  for (std::uint64_t i = 0; done < threads; i = (i + 1) % locks) {
    held_outside[i].store(true);
    const std::optional<bool> held = words.recall(LockId(i));
    ASSERT_TRUE(held.has_value());
    while (*held && held_outside[i].load()) std::this_thread::yield();
    words.lend(LockId(i));
    std::this_thread::yield();
  }
  for (std::thread& thread : all) thread.join();
  std::uint64_t sum = 0;
  for (const std::uint64_t counter : counters) sum += counter;
  EXPECT_EQ(sum, std::uint64_t{threads} * rounds);
  EXPECT_EQ(words.taken(), sum);
}

}  // namespace
}  // namespace dsm
