// How RC pairs come to be and end: on first use, by calls that cross, anew when they broke; and
// what may not be repeated.
#include <algorithm>
#include <cstring>
#include <string>

#include "pair.hpp"

namespace dsm::transport {
namespace {

using Kind = VerbsNote::Kind;

constexpr std::uint64_t words_count = 512;

Operation read_of(void* local, std::uint64_t size, std::uint64_t offset = 0) {
  return {.kind = Operation::Kind::read, .offset = offset, .local = local, .size = size};
}

std::size_t count_of(const End& end, Kind kind) {
  return static_cast<std::size_t>(std::count(end.told.begin(), end.told.end(), kind));
}

bool are_ready(Pair& pair) {
  return pair.pump([&] { return pair[0].lane.is_ready() && pair[1].lane.is_ready(); });
}

TEST(Links, WhoHasNoTrafficHasNoPairAndWhoOnlyServesHasNoSlots) {
  Pair pair;
  for (std::size_t i = 0; i < 2; ++i) {
    pair[i].pump();
    EXPECT_EQ(pair[i].lane.pair_number(), 0u);
    EXPECT_FALSE(pair[i].lane.has_slots());
    EXPECT_TRUE(pair[i].told.empty());
  }
  std::uint64_t value = 0;
  ASSERT_EQ(pair.run(read_of(&value, sizeof value)), Code::ok);
  EXPECT_NE(pair[1].lane.pair_number(), 0u);
  EXPECT_TRUE(pair[0].lane.has_slots());
  EXPECT_FALSE(pair[1].lane.has_slots());
  EXPECT_EQ(pair[0].told, (std::vector<Kind>{Kind::call, Kind::ready}));
  EXPECT_EQ(pair[1].told, (std::vector<Kind>{Kind::answer}));
}

TEST(Links, OfTwoCallsThatCrossTheLowerRanksCounts) {
  Pair pair;
  pair[0].lane.begin();
  pair[1].lane.begin();
  const std::uint32_t numbers[] = {pair[0].lane.pair_number(), pair[1].lane.pair_number()};
  ASSERT_TRUE(are_ready(pair));
  EXPECT_EQ(pair[0].told, (std::vector<Kind>{Kind::call, Kind::ready}));
  EXPECT_EQ(pair[1].told, (std::vector<Kind>{Kind::call, Kind::answer}));
  // The pairs are those that were there when both called.
  for (std::size_t i = 0; i < 2; ++i) EXPECT_EQ(pair[i].lane.pair_number(), numbers[i]);
  std::uint64_t value = 0;
  EXPECT_EQ(pair.run(read_of(&value, sizeof value)), Code::ok);
}

// Both directions, while pairs break on one side, the other, or both.
TEST(Links, NothingIsLostOrDoubledWhenPairsBreak) {
  Pair pair;
  std::array<std::vector<std::uint64_t>, 2> values{std::vector<std::uint64_t>(words_count),
                                                   std::vector<std::uint64_t>(words_count)};
  const auto post = [&](std::size_t i, std::uint64_t first, std::uint64_t last, std::uint64_t mix) {
    for (std::uint64_t w = first; w < last; ++w) {
      values[i][w] = mix << 32 | i << 16 | w;
      const Operation write{.kind = Operation::Kind::write,
                            .memory = pair[i].peer_memory,
                            .offset = 8 * w,
                            .local = &values[i][w],
                            .size = 8,
                            .cookie = w + 1};
      ASSERT_EQ(pair[i].post({&write, 1}), 1u);
    }
  };
  constexpr std::uint64_t rounds = 12;
  for (std::uint64_t round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < 2; ++i) {
      pair[i].arrived.clear();
      post(i, 0, words_count / 2, round);
    }
    for (std::size_t i = 0; i < 2; ++i) pair[i].pump();
    if (round % 3 != 0) pair[0].lane.fail_pair();
    if (round % 3 != 1) pair[1].lane.fail_pair();
    for (std::size_t i = 0; i < 2; ++i) post(i, words_count / 2, words_count, round);
    ASSERT_TRUE(pair.pump([&] {
      return pair[0].arrived.size() >= words_count && pair[1].arrived.size() >= words_count;
    })) << "round "
        << round << ": " << pair[0].why_lost << pair[1].why_lost;
    for (std::size_t i = 0; i < 2; ++i) {
      ASSERT_EQ(pair[i].arrived.size(), words_count);
      for (std::size_t w = 0; w < words_count; ++w) {
        ASSERT_EQ(pair[i].arrived[w].cookie, w + 1) << "in posted order, each once";
        ASSERT_EQ(pair[i].arrived[w].code, Code::ok);
      }
      EXPECT_EQ(std::memcmp(pair[1 - i].memory.data(), values[i].data(), 8 * words_count), 0);
    }
  }
  EXPECT_GE(count_of(pair[0], Kind::call) + count_of(pair[1], Kind::call), rounds);
}

TEST(Links, ReadsGoOnWhenTheDeviceGivesThePairUpAgainAndAgain) {
  VerbsOptions options;
  options.break_after = 5;
  Pair pair(options);
  for (std::uint64_t w = 0; w < words_count; ++w)
    std::memcpy(pair[1].memory.data() + 8 * w, &w, sizeof w);
  for (std::uint64_t w = 0; w < words_count; ++w) {
    std::uint64_t value = ~std::uint64_t{0};
    ASSERT_EQ(pair.run(read_of(&value, sizeof value, 8 * w)), Code::ok) << pair[0].why_lost;
    ASSERT_EQ(value, w);
  }
  EXPECT_GT(count_of(pair[0], Kind::call), 50u);
}

TEST(Links, AnAtomicUnderABrokenPairIsNotRepeated) {
  Pair pair;
  if (!pair[0].device->limits().atomics) GTEST_SKIP() << "this device has none";
  ASSERT_EQ(pair.run({.kind = Operation::Kind::fetch_add, .operand = 2}), Code::ok);
  pair[1].lane.fail_pair();  // from here on nobody answers
  EXPECT_EQ(pair.run({.kind = Operation::Kind::fetch_add, .operand = 2}), Code::peer_lost);
  EXPECT_NE(pair[0].why_lost.find("fetch-add"), std::string::npos) << pair[0].why_lost;
  std::uint64_t word = 0;
  std::memcpy(&word, pair[1].memory.data(), sizeof word);
  EXPECT_EQ(word, 2u);
}

TEST(Links, NotesOfPairsBeforeAreOld) {
  Pair pair;
  std::uint64_t value = 0;
  ASSERT_EQ(pair.run(read_of(&value, sizeof value)), Code::ok);
  ASSERT_TRUE(are_ready(pair));
  const std::uint32_t number = pair[1].lane.pair_number();
  for (const Kind kind : {Kind::call, Kind::answer, Kind::ready})
    pair[1].notes.push_back({.kind = kind,
                             .generation = kind == Kind::call ? 1u : 0u,
                             .pair = 7,
                             .port = pair[0].device->port()});
  pair[1].pump();
  EXPECT_EQ(pair[1].lane.pair_number(), number);
  EXPECT_TRUE(pair[1].lane.is_ready());
  EXPECT_EQ(pair.run(read_of(&value, sizeof value)), Code::ok);
}

TEST(Links, BytesThatAreNoNoteAreNone) {
  const VerbsNote call{.kind = Kind::call, .generation = 3, .pair = 4, .port = {.mtu = 1024}};
  const Bytes good = call.encode();
  ASSERT_TRUE(VerbsNote::decode(good).has_value());
  for (std::size_t size = 0; size < good.size(); ++size)
    EXPECT_FALSE(VerbsNote::decode(ByteView(good).first(size)).has_value()) << size;
  for (const int kind : {0, 7, 255}) {
    Bytes bad = good;
    bad[0] = static_cast<std::byte>(kind);
    EXPECT_FALSE(VerbsNote::decode(bad).has_value()) << kind;
  }
}

}  // namespace
}  // namespace dsm::transport
