// What waiting learns: whether a thread is soon back, and whether who is waited for shares its
// core.
#include <gtest/gtest.h>

#include "dsm/absences.hpp"
#include "dsm/patience.hpp"

namespace dsm {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

class AbsencesTest : public ::testing::Test {
 protected:
  void be_away_for(std::chrono::nanoseconds time) {
    absences.begin(now);
    absences.end(now += time);
    now += microseconds(7);  // of polling
  }
  Absences absences;
  MonotonicTime now{milliseconds(5)};
};

TEST_F(AbsencesTest, AreShortAfterSeveralShortOnes) {
  EXPECT_FALSE(absences.are_short());
  be_away_for(microseconds(1));
  EXPECT_FALSE(absences.are_short()) << "one is no habit";
  for (int i = 0; i < 9; ++i) be_away_for(microseconds(20));
  EXPECT_TRUE(absences.are_short());
  EXPECT_EQ(absences.ended(), 10u);
}

TEST_F(AbsencesTest, OneLongOneEndsIt) {
  for (int i = 0; i < 10; ++i) be_away_for(microseconds(1));
  be_away_for(milliseconds(2));
  EXPECT_FALSE(absences.are_short());
  be_away_for(microseconds(1));
  EXPECT_FALSE(absences.are_short());
}

TEST_F(AbsencesTest, SoDoesOneThatIsLongAlready) {
  for (int i = 0; i < 10; ++i) be_away_for(microseconds(1));
  absences.begin(now);
  EXPECT_EQ(absences.lasts(now + Absences::nap_max), Absences::nap_max);
  absences.was_long();
  EXPECT_FALSE(absences.are_short());
}

TEST(YieldingTest, SpinsWhileThatIsWhatHelps) {
  Yielding yielding;
  const std::uint32_t most = yielding.spins();
  EXPECT_GT(most, 1u);
  yielding.was_spun_for();
  EXPECT_EQ(yielding.spins(), most);
}

TEST(YieldingTest, LearnsNothingWhereItMayNot) {
  Yielding yielding(false);
  const std::uint32_t most = yielding.spins();
  yielding.was_yielded_for();
  EXPECT_EQ(yielding.spins(), most);
}

TEST(YieldingTest, YieldsAtOnceBesideWhoSharesItsCoreAndSpinsAgainBehindIt) {
  Yielding yielding(true);
  const std::uint32_t most = yielding.spins();
  int times = 0;
  for (; yielding.spins() != 1 && times < 100; ++times) yielding.was_yielded_for();
  EXPECT_EQ(yielding.spins(), 1u) << "never none: a poll comes between two yields";
  yielding.was_yielded_for();
  EXPECT_EQ(yielding.spins(), 1u);
  for (; times > 0; --times) yielding.was_spun_for();
  EXPECT_EQ(yielding.spins(), most);
}

TEST(PatienceTest, EndsAfterItsTimeWithoutProgressAndBeginsAnewBehindSome) {
  Yielding yielding;
  for (const bool crowded : {false, true}) {
    const Patience::Policy policy{.before_sleep = milliseconds(20)};
    Patience patience(policy, yielding, crowded);
    for (int times = 0; times < 2; ++times) {
      const MonotonicTime start = quick_now();
      while (!patience.exhausted())
        ASSERT_LT(quick_now() - start, std::chrono::seconds(20)) << "it never ends";
      // The first look at the clock is behind some rounds; two clocks may differ a little.
      EXPECT_GE(quick_now() - start, policy.before_sleep - milliseconds(1));
      patience.reset();
    }
  }
}

TEST(PatienceTest, HasNoneWhereItIsToSleepAtOnce) {
  Yielding yielding;
  Patience patience({.before_sleep = microseconds(0)}, yielding, false);
  EXPECT_TRUE(patience.exhausted());
}

}  // namespace
}  // namespace dsm
