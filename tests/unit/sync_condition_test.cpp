// The manager's part of a condition.
#include <gtest/gtest.h>

#include "sync/condition.hpp"

namespace dsm::sync {
namespace {

constexpr Registration first{NodeId(3), 7}, second{NodeId(1), 7}, third{NodeId(3), 8};

TEST(Condition, FirstComeFirstTaken) {
  ConditionQueue queue;
  EXPECT_EQ(queue.take(), std::nullopt);
  for (const Registration& r : {first, second, third}) queue.add(r);
  EXPECT_EQ(queue.take(), first);
  EXPECT_EQ(queue.take(), second);
  EXPECT_EQ(queue.take(), third);
  EXPECT_TRUE(queue.empty());
}

TEST(Condition, WhoIsTakenBackIsNotTaken) {
  ConditionQueue queue;
  for (const Registration& r : {first, second, third}) queue.add(r);
  EXPECT_TRUE(queue.remove(second));
  EXPECT_FALSE(queue.remove(second));
  EXPECT_EQ(queue.take(), first);
  EXPECT_FALSE(queue.remove(first));
  EXPECT_EQ(queue.take(), third);
  EXPECT_EQ(queue.take(), std::nullopt);
}

// Another wait of the same node is another registration.
TEST(Condition, NumbersTellWaitsOfANodeApart) {
  ConditionQueue queue;
  queue.add(third);
  EXPECT_FALSE(queue.remove(first));
  EXPECT_TRUE(queue.remove(third));
}

}  // namespace
}  // namespace dsm::sync
