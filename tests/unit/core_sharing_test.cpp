// core::Sharing: who may use a page of a sequential region, at its home.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <random>
#include <vector>

#include "dsm/core/sequential.hpp"

namespace dsm::core {
namespace {

constexpr NodeId home(0), a(1), b(2), c(3);

class SharingTest : public testing::Test {
 protected:
  std::optional<Sharing::Grant> next() {
    recalls.clear();
    return sharing.next(turns, recalls, false);
  }
  Turn granted(NodeId node, Access access, bool content) {
    const auto grant = next();
    EXPECT_TRUE(grant.has_value());
    if (!grant) return 0;
    EXPECT_EQ(grant->holder.node, node);
    EXPECT_EQ(grant->holder.access, access);
    EXPECT_EQ(grant->content, content);
    return grant->holder.turn;
  }

  Sharing sharing{home};
  Turn turns = 0;
  std::vector<Sharing::Recall> recalls;
};

TEST_F(SharingTest, AReaderLeavesTheWriterACopyToRead) {
  sharing.ask({a, Access::read, false});
  EXPECT_FALSE(next());
  ASSERT_EQ(recalls.size(), 1u);
  EXPECT_EQ(recalls[0].holder.node, home);
  EXPECT_EQ(recalls[0].keep, Access::read);
  EXPECT_FALSE(next());
  EXPECT_TRUE(recalls.empty()) << "recalled once";
  sharing.give_back(home, 0, Access::read);
  granted(a, Access::read, true);
  EXPECT_EQ(sharing.holders().size(), 2u);
  EXPECT_FALSE(next());
}

TEST_F(SharingTest, AWriterWaitsForEveryReader) {
  sharing.give_back(home, 0, Access::none);
  for (const NodeId node : {a, b, c}) sharing.ask({node, Access::read, false});
  const Turn of_a = granted(a, Access::read, true), of_b = granted(b, Access::read, true);
  granted(c, Access::read, true);
  sharing.ask({c, Access::write, true});
  EXPECT_FALSE(next());
  EXPECT_EQ(recalls.size(), 2u) << "not its own";
  sharing.give_back(b, of_b, Access::none);
  EXPECT_FALSE(next());
  sharing.give_back(a, of_a + 1, Access::none);
  EXPECT_FALSE(next()) << "another turn is another copy";
  sharing.give_back(a, of_a, Access::none);
  granted(c, Access::write, false);
  ASSERT_EQ(sharing.holders().size(), 1u);
}

TEST_F(SharingTest, RequestsAreServedInOrder) {
  sharing.ask({a, Access::write, false});
  sharing.ask({b, Access::read, false});
  sharing.ask({c, Access::write, false});
  EXPECT_FALSE(next());
  sharing.give_back(home, 0, Access::none);
  const Turn first = granted(a, Access::write, true);
  EXPECT_FALSE(next());
  sharing.give_back(a, first, Access::read);
  const Turn second = granted(b, Access::read, true);
  EXPECT_FALSE(next());
  EXPECT_EQ(recalls.size(), 2u);
  sharing.give_back(a, first, Access::none);
  sharing.give_back(b, second, Access::none);
  EXPECT_GT(granted(c, Access::write, true), second);
}

// The request has overtaken what the node gave back.
TEST_F(SharingTest, WhoAsksWithoutACopyIsWaitedFor) {
  sharing.give_back(home, 0, Access::none);
  sharing.ask({a, Access::write, false});
  const Turn before = granted(a, Access::write, true);
  sharing.ask({a, Access::write, false});
  EXPECT_FALSE(next());
  EXPECT_TRUE(recalls.empty()) << "it is on its way";
  sharing.give_back(a, before, Access::none);
  EXPECT_GT(granted(a, Access::write, true), before);
}

TEST_F(SharingTest, AnUpgradeWhoseCopyWasTakenGetsTheContent) {
  sharing.give_back(home, 0, Access::none);
  sharing.ask({a, Access::read, false});
  sharing.ask({b, Access::read, false});
  const Turn of_a = granted(a, Access::read, true), of_b = granted(b, Access::read, true);
  sharing.ask({b, Access::write, true});
  sharing.ask({a, Access::write, true});
  EXPECT_FALSE(next());
  sharing.give_back(a, of_a, Access::none);
  EXPECT_GT(granted(b, Access::write, false), of_b);
  EXPECT_FALSE(next());
  sharing.give_back(b, sharing.holders()[0].turn, Access::none);
  granted(a, Access::write, true);
}

// Both parts of what a writer gave back, in the wrong order.
TEST_F(SharingTest, AReturnThatOvertakesTheContentWaitsForIt) {
  sharing.give_back(home, 0, Access::none);
  sharing.ask({a, Access::write, false});
  const Turn turn = granted(a, Access::write, true);
  sharing.ask({b, Access::write, false});
  EXPECT_FALSE(next());
  sharing.give_back_behind(a, turn);
  EXPECT_FALSE(next());
  sharing.give_back(a, turn, Access::read);
  granted(b, Access::write, true);
}

// One writer or many readers, whatever comes in whatever order.
TEST_F(SharingTest, AWriterIsAlone) {
  std::mt19937 random(1);
  std::uint64_t grants = 0;
  for (int round = 0; round < 20'000; ++round) {
    const NodeId node(random() % 4);
    const Sharing::Holder* holder = sharing.holder(node);
    const bool asks = std::none_of(sharing.queue().begin(), sharing.queue().end(),
                                   [&](const Sharing::Request& r) { return r.from == node; });
    if (random() % 2 == 0 && asks && (holder == nullptr || holder->access == Access::read)) {
      sharing.ask({node, holder == nullptr && random() % 2 == 0 ? Access::read : Access::write,
                   holder != nullptr});
    } else if (holder != nullptr && asks) {
      sharing.give_back(node, holder->turn, random() % 2 == 0 ? Access::read : Access::none);
    } else if (holder != nullptr && holder->access == Access::read) {  // recalled while it asks
      sharing.give_back(node, holder->turn, Access::none);
    }
    while (next()) ++grants;
    std::size_t writers = 0;
    for (const Sharing::Holder& h : sharing.holders()) writers += h.access == Access::write;
    ASSERT_TRUE(writers == 0 || sharing.holders().size() == 1) << "round " << round;
  }
  EXPECT_GT(grants, 1000u);
}

}  // namespace
}  // namespace dsm::core
