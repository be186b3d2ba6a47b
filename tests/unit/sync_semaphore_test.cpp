// sync::SemaphoreQueue: counts, and who waits for one.
#include <gtest/gtest.h>

#include <vector>

#include "sync/semaphore.hpp"

namespace dsm::sync {
namespace {

using Requests = std::vector<SemaphoreRequest>;
constexpr SemaphoreRequest first{NodeId(1), 7}, second{NodeId(2), 0}, third{NodeId(1), 8};

TEST(Semaphore, ACountIsTakenOnce) {
  SemaphoreQueue queue(2);
  EXPECT_TRUE(queue.acquire(first));
  EXPECT_TRUE(queue.try_acquire());
  EXPECT_FALSE(queue.try_acquire());
  EXPECT_FALSE(queue.acquire(second));
  EXPECT_EQ(queue.release(1), Requests{second});
  EXPECT_EQ(queue.free(), 0u);
  EXPECT_EQ(queue.initial(), 2u);
}

TEST(Semaphore, FirstComeFirstServed) {
  SemaphoreQueue queue;
  for (const SemaphoreRequest& r : {first, second, third}) EXPECT_FALSE(queue.acquire(r));
  const Requests both{first, second};
  EXPECT_EQ(queue.release(2), both);
  EXPECT_EQ(queue.release(3), Requests{third});
  EXPECT_EQ(queue.free(), 2u);
  EXPECT_EQ(queue.broken_invariant(), "");
}

TEST(Semaphore, WhoIsTakenBackIsNotGranted) {
  SemaphoreQueue queue;
  for (const SemaphoreRequest& r : {first, second}) EXPECT_FALSE(queue.acquire(r));
  EXPECT_TRUE(queue.withdraw(first));
  EXPECT_FALSE(queue.withdraw(first));
  EXPECT_FALSE(queue.withdraw(third)) << "another call of the same node";
  EXPECT_EQ(queue.release(1), Requests{second});
  EXPECT_FALSE(queue.withdraw(second)) << "it was granted";
}

TEST(Semaphore, ACountHasALimit) {
  SemaphoreQueue queue(semaphore_count_max - 3);
  EXPECT_TRUE(queue.takes(3));
  EXPECT_FALSE(queue.takes(4));
  EXPECT_FALSE(queue.takes(~std::uint64_t{0}));
  EXPECT_TRUE(queue.release(3).empty());
  EXPECT_FALSE(queue.takes(1));
  EXPECT_EQ(queue.broken_invariant(), "");
}

}  // namespace
}  // namespace dsm::sync
