// Which cores nodes of one host have for themselves.
#include "dsm/cores.hpp"

#include <gtest/gtest.h>

#include <array>
#include <vector>

namespace dsm {
namespace {

constexpr std::array<std::uint32_t, 4> numbers = {0, 1, 2, 3};
constexpr std::span<const std::uint32_t> four(numbers);

TEST(Cores, OfNodesThatMayRunOnAllAreSharedOutEvenly) {
  const Cores all(four);
  for (std::size_t nodes = 1; nodes < 9; ++nodes) {
    const std::vector<Cores> together(nodes, all);
    EXPECT_EQ(all.share_among(together), 4 / nodes) << nodes;
  }
}

TEST(Cores, OfNodesThatKeepToTheirOwnAreTheirs) {
  const Cores left(four.first(3)), right(four.last(1));
  const Cores together[] = {left, right};
  EXPECT_EQ(left.share_among(together), 3u);
  EXPECT_EQ(right.share_among(together), 1u);
}

TEST(Cores, ThatSomeShareCountInParts) {
  const Cores all(four), last(four.last(1));
  const Cores together[] = {all, last, last};
  EXPECT_EQ(all.share_among(together), 3u);
  EXPECT_EQ(last.share_among(together), 0u);
}

TEST(Cores, AreTheSameBehindAWire) {
  const Cores left(four.first(3));
  Bytes bytes;
  Writer out(bytes);
  left.encode(out);
  Reader in(bytes);
  const Cores together[] = {Cores::decode(in)};
  EXPECT_TRUE(in.done());
  EXPECT_EQ(left.share_among(together), 3u);
  EXPECT_EQ(Cores(four).share_among(together), 4u);
}

TEST(Cores, OfThisProcessAreSome) {
  const Cores here = Cores::allowed_here();
  EXPECT_GE(here.share_among(std::span(&here, 1)), 1u);
}

}  // namespace
}  // namespace dsm
