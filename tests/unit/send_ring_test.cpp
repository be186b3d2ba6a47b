// A ring of send buffers whose sends leave out of order and are reported now and then.
#include "transport/send_ring.hpp"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace dsm::transport {
namespace {

TEST(SendRing, GivesEverySlotOnceAndThenNone) {
  for (const std::uint32_t slots : {1u, 2u, 5u, 64u}) {
    SendRing ring(slots);
    std::set<std::uint32_t> given;
    for (std::uint32_t i = 0; i < slots; ++i) given.insert(ring.reserve().value());
    EXPECT_EQ(given.size(), slots);
    EXPECT_FALSE(ring.reserve().has_value());
    EXPECT_TRUE(ring.is_full());
  }
}

TEST(SendRing, SlotsPostedOutOfOrderComeBackInOrder) {
  SendRing ring(8);
  std::vector<std::uint32_t> slots;
  for (int i = 0; i < 8; ++i) slots.push_back(*ring.reserve());
  std::uint64_t last = 0;
  for (int i = 7; i > 0; --i) last = ring.post(slots[static_cast<std::size_t>(i)]).number;
  ring.done(last);
  EXPECT_FALSE(ring.reserve().has_value()) << "the oldest slot is still being filled";
  ring.done(ring.post(slots[0]).number);
  for (int i = 0; i < 8; ++i) EXPECT_TRUE(ring.reserve().has_value());
}

TEST(SendRing, FewSendsAreSignalled) {
  SendRing ring(256);
  int signalled = 0;
  for (int i = 0; i < 1600; ++i) {
    const SendRing::Post post = ring.post(ring.reserve().value());
    signalled += post.signalled;
    if (post.signalled) ring.done(post.number);
  }
  EXPECT_EQ(signalled, 100);
}

// However the fillers are held up: as long as the wire reports what it was told to report, a full
// ring becomes free.
TEST(SendRing, AFullRingAlwaysHasAReportToCome) {
  std::uint64_t random = 1;
  const auto next = [&random] {
    random = random * 6364136223846793005u + 1442695040888963407u;
    return random >> 33;
  };
  for (const std::uint32_t slots : {1u, 2u, 3u, 8u, 33u}) {
    SendRing ring(slots);
    std::vector<std::uint32_t> filling;
    std::vector<std::uint64_t> reports;
    std::size_t sent = 0;
    for (int step = 0; step < 200'000; ++step) {
      const auto slot = next() % 2 == 0 ? ring.reserve() : std::nullopt;
      if (slot) filling.push_back(*slot);
      if (!filling.empty() && next() % 3 == 0) {
        const std::size_t which = next() % filling.size();
        const SendRing::Post post = ring.post(filling[which]);
        filling.erase(filling.begin() + static_cast<std::ptrdiff_t>(which));
        if (post.signalled) reports.push_back(post.number);
        ++sent;
      }
      if (ring.is_full() && filling.empty()) {
        ASSERT_FALSE(reports.empty()) << "full, all posted, and nothing to come";
      }
      if (!reports.empty() && next() % 4 == 0) {
        ring.done(reports.front());
        reports.erase(reports.begin());
      }
    }
    EXPECT_GT(sent, 10'000u);
  }
}

}  // namespace
}  // namespace dsm::transport
