// One-sided operations over one RC pair: exact, in order, over chunks that are registered on
// demand, and after the pair broke.
#include <algorithm>
#include <cstring>
#include <string>

#include "pair.hpp"

namespace dsm::transport {
namespace {

std::string pattern(std::size_t count, std::uint64_t seed) {
  std::string text(count, '\0');
  std::uint64_t x = seed * 0x9e3779b97f4a7c15u + 0x1234567;
  for (char& c : text) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    c = static_cast<char>(x);
  }
  return text;
}

VerbsOptions smallest() {
  VerbsOptions options;
  options.queue_depth = 16;
  options.inline_bytes = 0;
  options.rd_atomic = 1;
  return options;
}

class Lanes : public testing::TestWithParam<bool> {
 protected:
  static VerbsOptions options() { return GetParam() ? smallest() : VerbsOptions(); }
};
INSTANTIATE_TEST_SUITE_P(Device, Lanes, testing::Bool(), [](const auto& each) {
  return each.param ? std::string("smallest_limits") : std::string("own_limits");
});

TEST_P(Lanes, ReadsAndWritesAreExact) {
  Pair pair(options());
  std::byte* const there = pair[1].memory.data();
  for (const std::size_t size : {0u, 1u, 7u, 8u, 9u, 4096u, 16384u, 16385u, 70001u, 300000u}) {
    for (const std::size_t shift : {0u, 1u, 8u}) {
      std::string expected = pattern(1 << 20, size + shift);
      std::memcpy(there, expected.data(), expected.size());
      std::string out = pattern(size, 7);
      ASSERT_EQ(pair.run({.kind = Operation::Kind::write,
                          .offset = 4096 + shift,
                          .local = out.data(),
                          .size = size}),
                Code::ok);
      expected.replace(4096 + shift, size, out);
      ASSERT_EQ(std::memcmp(there, expected.data(), expected.size()), 0) << size;
      std::string in(size, '#');
      ASSERT_EQ(pair.run({.kind = Operation::Kind::read,
                          .offset = 4096 + shift,
                          .local = in.data(),
                          .size = size}),
                Code::ok);
      ASSERT_TRUE(in == out) << size;
    }
  }
}

TEST_P(Lanes, ChunksAreRegisteredWhenTheyAreFirstReached) {
  const std::size_t size = 2 * verbs_eager_bytes;
  Pair pair(options(), size);
  EXPECT_EQ(pair[1].registered.registered_bytes(), 0u);
  // Over the border of two chunks.
  const std::size_t at = 3 * verbs_chunk_bytes - 5000;
  const std::string expected = pattern(10'000, 3);
  std::memcpy(pair[1].memory.data() + at, expected.data(), expected.size());
  std::string in(expected.size(), '\0');
  for (int i = 0; i < 3; ++i)
    ASSERT_EQ(
        pair.run(
            {.kind = Operation::Kind::read, .offset = at, .local = in.data(), .size = in.size()}),
        Code::ok);
  EXPECT_TRUE(in == expected);
  EXPECT_EQ(pair[1].asked, 2);
  EXPECT_EQ(pair[1].registered.registered_bytes(), 2 * verbs_chunk_bytes);
}

TEST_P(Lanes, AKeyThatIsNoneBreaksThePairAndIsAskedForAgain) {
  Pair pair(options());
  const std::string expected = pattern(100'000, 4);
  std::memcpy(pair[1].memory.data(), expected.data(), expected.size());
  pair[0].lane.know({pair[1].key.memory, 0, pair[1].key.keys[0] + 0x100000});
  std::string in(expected.size(), '\0');
  ASSERT_EQ(pair.run({.kind = Operation::Kind::read, .local = in.data(), .size = in.size()}),
            Code::ok);
  EXPECT_TRUE(in == expected);
  EXPECT_EQ(pair[1].asked, 1);
  // The other direction has a new pair too.
  std::string back(1000, '\0');
  Operation read{.kind = Operation::Kind::read,
                 .memory = pair[1].peer_memory,
                 .local = back.data(),
                 .size = back.size(),
                 .cookie = 5};
  ASSERT_EQ(pair[1].post({&read, 1}), 1u);
  ASSERT_TRUE(pair.pump([&] { return !pair[1].arrived.empty(); }));
  EXPECT_EQ(pair[1].arrived.front().code, Code::ok);
}

TEST_P(Lanes, ManyOperationsCompleteInOrder) {
  Pair pair(options());
  constexpr std::size_t count = 3000;
  std::vector<std::uint64_t> values(count);
  std::vector<std::uint64_t> seen(count);
  std::vector<Operation> operations;
  for (std::size_t i = 0; i < count; ++i) {
    values[i] = i + 1;
    const std::uint64_t offset = 8 * (i % 64);
    operations.push_back({.kind = Operation::Kind::write,
                          .memory = pair[0].peer_memory,
                          .offset = offset,
                          .local = &values[i],
                          .size = 8});
    operations.push_back({.kind = Operation::Kind::read,
                          .memory = pair[0].peer_memory,
                          .offset = offset,
                          .local = &seen[i],
                          .size = 8,
                          .cookie = i + 1});
  }
  std::span<const Operation> rest(operations);
  ASSERT_TRUE(pair.pump([&] {
    rest = rest.subspan(pair[0].post(rest.first(std::min<std::size_t>(rest.size(), 50))));
    return pair[0].arrived.size() == count;
  }));
  for (std::size_t i = 0; i < count; ++i) {
    ASSERT_EQ(pair[0].arrived[i].cookie, i + 1);
    ASSERT_EQ(seen[i], i + 1) << "a READ did not see the WRITE before it";
  }
}

TEST_P(Lanes, AnEndedLaneFailsWhatItHas) {
  Pair pair(options());
  std::uint64_t value = 0;
  std::vector<Operation> operations(10, {.kind = Operation::Kind::read,
                                         .memory = pair[0].peer_memory,
                                         .local = &value,
                                         .size = 8,
                                         .cookie = 1});
  ASSERT_EQ(pair[0].post(operations), 10u);
  pair[0].lane.end();
  ASSERT_EQ(pair[0].post(operations), 10u);
  ASSERT_TRUE(pair.pump([&] { return pair[0].arrived.size() == 20; }));
  for (const Event& event : pair[0].arrived) EXPECT_EQ(event.code, Code::peer_lost);
}

TEST_P(Lanes, AtomicsReturnWhatWasThere) {
  Pair pair(options());
  if (!pair[0].device->limits().atomics) GTEST_SKIP() << "this device has none";
  std::uint64_t before = 0;
  auto* const word = reinterpret_cast<std::uint64_t*>(pair[1].memory.data());
  *word = 40;
  ASSERT_EQ(pair.run({.kind = Operation::Kind::fetch_add, .local = &before, .operand = 2}),
            Code::ok);
  EXPECT_EQ(before, 40u);
  EXPECT_EQ(*word, 42u);
  ASSERT_EQ(
      pair.run(
          {.kind = Operation::Kind::compare_swap, .local = &before, .operand = 7, .compare = 42}),
      Code::ok);
  EXPECT_EQ(before, 42u);
  EXPECT_EQ(*word, 7u);
  ASSERT_EQ(pair.run({.kind = Operation::Kind::fetch_add, .offset = 4, .operand = 2}),
            Code::invalid);
}

}  // namespace
}  // namespace dsm::transport
