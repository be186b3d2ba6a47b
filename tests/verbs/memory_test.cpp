// Memory that is lent to peers: told, revoked, deregistered, given back, in this order, also under
// traffic and when a peer is lost; never more than the limit.
#include <fcntl.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "pair.hpp"

namespace dsm::transport {
namespace {

constexpr std::uint64_t chunk = verbs_chunk_bytes;
constexpr std::size_t page = 4096;
constexpr std::size_t large = 2 * verbs_eager_bytes;  // registered chunk by chunk

VerbsOptions lending(std::uint32_t mebibytes) {
  VerbsOptions options;
  options.lent_mb_max = mebibytes;
  options.rd_atomic = 1;
  return options;
}

// What end 1 does with frames that come back.
GiveBack punch(Pair& pair, std::uint64_t& given_back) {
  const SharedMemory& memory = pair[1].memory;
  return [&memory, &given_back](std::span<std::byte> part) {
    ASSERT_EQ(::fallocate(memory.fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                          part.data() - memory.data(), static_cast<off_t>(part.size())),
              0);
    given_back += part.size();
  };
}

bool is_clear(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

// End 0 writes numbers to end 1 without a pause, a page each, in the first half of `chunks` chunks
// by turns; between two looks `disturb` may do something to end 1.
struct Traffic {
  static constexpr std::size_t pages = chunk / page / 2;

  Pair& pair;
  std::size_t chunks;
  std::vector<std::uint64_t> last;  // by page written: what was written last
  std::vector<std::vector<std::uint64_t>> bodies;
  std::uint64_t posted = 0;
  std::uint64_t completed = 0;

  Traffic(Pair& of, std::size_t over)
      : pair(of), chunks(over), last(over * pages), bodies(512, std::vector<std::uint64_t>(512)) {}

  std::uint64_t offset_of(std::size_t i) const { return i % chunks * chunk + i / chunks * page; }

  template <typename Disturb>
  void run(std::uint64_t count, Disturb disturb) {
    const double end = now_seconds() + 60;
    while (completed < count) {
      while (posted < count && posted - completed < bodies.size() / 2) {
        std::vector<std::uint64_t>& body = bodies[posted % bodies.size()];
        std::fill(body.begin(), body.end(), posted + 1);
        // Several in a row to one chunk, so that many are under way when it goes.
        const std::size_t i =
            (posted / 8 % chunks + posted % 8 * 31 % pages * chunks) % last.size();
        const Operation write{.kind = Operation::Kind::write,
                              .memory = pair[0].peer_memory,
                              .offset = offset_of(i),
                              .local = body.data(),
                              .size = page,
                              .cookie = posted + 1};
        if (pair[0].post({&write, 1}) == 0) break;
        last[i] = ++posted;
      }
      disturb();
      pair[0].pump();
      pair[1].pump();
      for (; !pair[0].arrived.empty(); pair[0].arrived.pop_front()) {
        ASSERT_EQ(pair[0].arrived.front().code, Code::ok);
        ASSERT_EQ(pair[0].arrived.front().cookie, ++completed);
      }
      ASSERT_LT(now_seconds(), end) << completed << " of " << count;
    }
  }

  void expect_all_there() const {
    for (std::size_t i = 0; i < last.size(); ++i) {
      if (last[i] == 0) continue;
      std::vector<std::uint64_t> seen(page / 8);
      std::memcpy(seen.data(), pair[1].memory.data() + offset_of(i), page);
      ASSERT_EQ(seen, std::vector<std::uint64_t>(page / 8, last[i])) << "page " << i;
    }
  }
};

TEST(Lent, NoMoreThanTheLimitAndNoWriteIsLost) {
  Pair pair(lending(4), large);
  Traffic traffic(pair, 8);
  traffic.run(4000, [&] {
    ASSERT_LE(pair[1].registered.lent_bytes(), 2 * chunk);
    ASSERT_EQ(pair[1].registered.registered_bytes(), pair[1].registered.lent_bytes());
  });
  traffic.expect_all_there();
  EXPECT_GT(pair[1].asked, 100) << "chunks came and went";
  EXPECT_EQ(pair[0].renewals(), 0) << "a key was used that was none";
}

// Pages of a chunk are discarded again and again, while others of it are written.
struct Discards {
  static constexpr std::size_t bytes = 16 * page;

  Pair& pair;
  std::uint64_t given_back = 0;
  Cookie begun = 0;
  std::size_t number = 0;

  void operator()() {
    if (pair[1].gone.size() < begun) return;
    const auto part = pair[1].memory.span().subspan(number * chunk + chunk / 2, bytes);
    ASSERT_TRUE(begun == 0 || is_clear(part));
    number = (number + 1) % 4;
    const auto next = pair[1].memory.span().subspan(number * chunk + chunk / 2, bytes);
    std::memset(next.data(), 0x55, next.size());
    VerbsMemory::Out decided;
    if (pair[1].registered.discard(next, punch(pair, given_back), begun + 1, decided))
      decided.gone.push_back(begun + 1);
    ++begun;
    pair[1].act(decided);
  }
};

TEST(Lent, FramesGoUnderTraffic) {
  Pair pair(lending(1024), large);
  Traffic traffic(pair, 4);
  Discards discards{pair};
  traffic.run(4000, [&] { discards(); });
  ASSERT_TRUE(pair.pump([&] { return pair[1].gone.size() == discards.begun; }));
  traffic.expect_all_there();
  std::vector<Cookie> expected(discards.begun);
  std::iota(expected.begin(), expected.end(), Cookie{1});
  EXPECT_EQ(pair[1].gone, expected);
  EXPECT_EQ(discards.given_back, discards.begun * Discards::bytes);
  EXPECT_GT(discards.begun, 20u);
  EXPECT_EQ(pair[0].renewals(), 0) << "a key was used that was none";
}

// The tests above see what they are for: an owner that goes on while its peer still uses the key.
TEST(Lent, WhoDoesNotWaitIsSeen) {
  Pair pair(lending(1024), large);
  pair[0].on_note = [&](const VerbsNote& note) {
    if (note.kind != VerbsNote::Kind::revoke) return false;
    pair[1].notes.push_front({.kind = VerbsNote::Kind::released, .chunk = note.chunk});
    return true;
  };
  Traffic traffic(pair, 4);
  Discards discards{pair};
  traffic.run(500, [&] { discards(); });
  EXPECT_GT(pair[0].renewals(), 0);
}

class Told : public testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Again, Told, testing::Bool(), [](const auto& each) {
  return each.param ? std::string("as_if_it_were_new") : std::string("late");
});

// The message that tells a key may come behind the one that revokes it. A peer that obeyed it would
// break its pair.
TEST_P(Told, AnOldKeyIsNotObeyed) {
  Pair pair({}, large);
  std::optional<VerbsNote> told;
  pair[0].on_note = [&](const VerbsNote& note) {
    if (note.kind == VerbsNote::Kind::told && !told) told = note;
    return false;
  };
  std::uint64_t value = 7;
  const Operation write{.kind = Operation::Kind::write, .local = &value, .size = 8};
  ASSERT_EQ(pair.run(write), Code::ok);
  std::uint64_t given_back = 0;
  VerbsMemory::Out decided;
  ASSERT_FALSE(pair[1].registered.discard(pair[1].memory.span().first(page),
                                          punch(pair, given_back), 1, decided));
  pair[1].act(decided);
  ASSERT_TRUE(pair.pump([&] { return pair[1].gone.size() == 1; }));
  ASSERT_TRUE(told.has_value());
  if (GetParam()) ++told->chunk.generation;
  pair[0].lane.know(told->chunk);
  value = 8;
  ASSERT_EQ(pair.run(write), Code::ok);
  std::memcpy(&value, pair[1].memory.data(), 8);
  EXPECT_EQ(value, 8u);
  EXPECT_EQ(pair[0].renewals(), GetParam() ? 1 : 0);
  EXPECT_EQ(pair[1].asked, 2);
}

struct Lost : testing::Test {
  Pair pair{VerbsOptions(), large};
  std::uint64_t value = 7;
  std::uint64_t given_back = 0;
  VerbsMemory::Out decided;

  // End 0 knows a key of end 1 and hears nothing any more; end 1 wants the frames back.
  void SetUp() override {
    ASSERT_EQ(pair.run({.kind = Operation::Kind::write, .local = &value, .size = 8}), Code::ok);
    pair[0].on_note = [](const VerbsNote&) { return true; };
    ASSERT_FALSE(pair[1].registered.discard(pair[1].memory.span().first(chunk),
                                            punch(pair, given_back), 9, decided));
    pair[1].act(decided);
    decided = {};
    ASSERT_FALSE(pair.pump([&] { return !pair[1].gone.empty(); }, 0.2));
    ASSERT_EQ(given_back, 0u);
  }
};

TEST_F(Lost, APeerThatIsLostNeedNotAnswer) {
  pair[0].lane.end();
  pair[1].lane.end();
  pair[1].registered.forget(NodeId(0), decided);
  EXPECT_EQ(decided.gone, std::vector<Cookie>{9});
  EXPECT_EQ(given_back, chunk);
  EXPECT_EQ(pair[1].registered.registered_bytes(), 0u);
}

TEST_F(Lost, WhoAsksMeanwhileIsAnsweredBehind) {
  pair[1].registered.ask(NodeId(0), 0, 0, decided);
  pair[1].registered.ask(NodeId(0), 0, 0, decided);
  EXPECT_TRUE(decided.words.empty());
  pair[1].registered.released(NodeId(0), {.generation = 1}, decided);
  EXPECT_EQ(decided.gone, std::vector<Cookie>{9});
  ASSERT_EQ(decided.words.size(), 1u);
  EXPECT_EQ(decided.words[0].kind, VerbsMemory::Word::Kind::told);
  EXPECT_EQ(decided.words[0].chunk.generation, 2u);
}

TEST_F(Lost, WhatIsCoveredMeanwhileStays) {
  std::vector<VerbsChunk> fresh;
  ASSERT_TRUE(pair[1].registered.cover(pair[1].memory.span().first(page), fresh, decided).ok());
  EXPECT_EQ(decided.gone, std::vector<Cookie>{9});
  EXPECT_EQ(given_back, 0u);
  EXPECT_TRUE(is_clear(pair[1].memory.span().first(chunk)));
  ASSERT_EQ(fresh.size(), 1u);
  EXPECT_EQ(fresh[0].generation, 2u);
  EXPECT_EQ(pair[1].registered.lent_bytes(), 0u);
  EXPECT_EQ(pair[1].registered.registered_bytes(), chunk);

  pair[0].on_note = {};
  pair[0].lane.know(fresh[0]);
  pair[1].registered.released(NodeId(0), {.generation = 1}, decided);
  ASSERT_EQ(pair.run({.kind = Operation::Kind::write, .local = &value, .size = 8}), Code::ok);
  std::uint64_t seen = 0;
  std::memcpy(&seen, pair[1].memory.data(), 8);
  EXPECT_EQ(seen, 7u);
  // What stays is cleared when it is discarded, and goes on being seen.
  ASSERT_TRUE(pair[1].registered.discard(pair[1].memory.span().first(page), punch(pair, given_back),
                                         10, decided));
  ASSERT_EQ(pair.run({.kind = Operation::Kind::read, .local = &seen, .size = 8}), Code::ok);
  EXPECT_EQ(seen, 0u);
  EXPECT_EQ(given_back, 0u);
}

TEST_F(Lost, WithoutACookieNothingIsWaitedFor) {
  std::memset(pair[1].memory.data() + chunk / 2, 1, page);
  EXPECT_TRUE(pair[1].registered.discard(pair[1].memory.span().subspan(chunk / 2, page),
                                         punch(pair, given_back), 0, decided));
  EXPECT_TRUE(is_clear(pair[1].memory.span().subspan(chunk / 2, page)));
  EXPECT_EQ(given_back, 0u);
}

TEST(Lent, MemoryThatIsNotThereIsRefused) {
  Pair pair({}, large);
  VerbsMemory::Out decided;
  pair[1].registered.ask(NodeId(0), 0, large / chunk, decided);
  pair[1].registered.ask(NodeId(0), 7, 0, decided);
  ASSERT_EQ(decided.words.size(), 2u);
  for (const VerbsMemory::Word& word : decided.words)
    EXPECT_EQ(word.kind, VerbsMemory::Word::Kind::refused);
  EXPECT_EQ(pair[1].registered.registered_bytes(), 0u);
}

}  // namespace
}  // namespace dsm::transport
