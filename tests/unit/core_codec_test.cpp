// What crosses the wire or a ring: marks, diffs, messages. And the merging of effects.
#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "dsm/core/diff.hpp"
#include "dsm/core/effect.hpp"
#include "dsm/core/mark.hpp"
#include "dsm/core/message.hpp"
#include "dsm/core/push.hpp"

namespace dsm::core {
namespace {

Bytes random_page(std::mt19937& random, std::size_t size) {
  Bytes page(size);
  for (std::byte& b : page) b = static_cast<std::byte>(random());
  return page;
}

// ---- marks ----

TEST(Mark, ComesBackAsItWentFromItsOwnSlotAlone) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 5000; ++round) {
    const std::uint64_t slots = 1 + random() % 600;
    const std::uint64_t number = random() % 1'000'000;
    const std::uint64_t count = 1 + random() % 32;
    const Epoch now(static_cast<std::uint32_t>(random() % 10'000'000));
    const Epoch epoch(now.value + static_cast<std::uint32_t>(random() % 2));
    const MarkEntry entry{
        {PageId(random() % (mark_pages_max - 32)), count}, epoch, random() % 2 == 0};
    const std::uint64_t word = encode_mark(entry, number, slots);
    EXPECT_EQ(decode_mark(word, number, slots, now), entry);
    EXPECT_FALSE(decode_mark(word, number + slots, slots, now)) << "the next lap is not there yet";
    if (number < slots) continue;
    EXPECT_FALSE(decode_mark(word, number - slots, slots, now)) << "an old lap is not this entry";
  }
}

TEST(Mark, ASlotNeverWrittenIsNoEntry) {
  for (std::uint64_t number = 0; number < 10; ++number)
    EXPECT_FALSE(decode_mark(0, number, 4, Epoch(0)));
}

TEST(Mark, AnOldEpochIsUnderstoodLater) {
  const MarkEntry entry{{PageId(7), 1}, Epoch(5), true};
  EXPECT_EQ(decode_mark(encode_mark(entry, 0, 8), 0, 8, Epoch(2000)), entry);
}

// ---- diffs ----

void expect_round_trip(const Bytes& twin, const Bytes& page) {
  Bytes body;
  std::size_t changed = 0;
  for (std::size_t i = 0; i < page.size(); ++i) changed += page[i] != twin[i];
  ASSERT_EQ(append_diff(page, twin, 3, body), changed);
  if (changed == 0) {
    ASSERT_TRUE(body.empty());
    return;
  }
  std::size_t runs = 0, lines = 0;
  for (std::size_t line = 0; line < page.size(); line += 64) {
    const std::size_t before = runs;
    for (std::size_t i = line; i < std::min(line + 64, page.size()); ++i)
      runs += page[i] != twin[i] && (i == line || page[i - 1] == twin[i - 1]) ? 1 : 0;
    lines += runs != before ? 1 : 0;
  }
  const bool by_lines = page.size() % 64 == 0 && 4 * runs + changed > 74 * lines / 2;
  ASSERT_EQ(body.size(), 5 + (by_lines ? 74 * lines : 4 * runs + changed));
  // Where the writer changed nothing, the home has its own bytes by now, and keeps them.
  Bytes home = twin;
  for (std::byte& b : home) b = ~b;
  ASSERT_TRUE(apply_diff(body, page.size(), 4, [&](std::size_t index) {
    EXPECT_EQ(index, 3u);
    return home.data();
  }));
  for (std::size_t i = 0; i < page.size(); ++i)
    ASSERT_EQ(home[i], page[i] != twin[i] ? page[i] : ~twin[i]) << i;
}

TEST(Diff, OneRunAtEveryOffsetOfEveryLength) {
  std::mt19937 random(2);
  const Bytes twin = random_page(random, 72);
  for (std::size_t offset = 0; offset < twin.size(); ++offset) {
    for (std::size_t length = 1; offset + length <= twin.size(); ++length) {
      Bytes page = twin;
      for (std::size_t i = offset; i < offset + length; ++i) page[i] ^= std::byte{0x11};
      expect_round_trip(twin, page);
    }
  }
}

TEST(Diff, AnyDensityAndAnySize) {
  std::mt19937 random(3);
  for (const std::size_t size : {1u, 7u, 8u, 9u, 64u, 100u, 4096u, 32768u}) {
    const Bytes twin = random_page(random, size);
    for (const unsigned percent : {0u, 1u, 3u, 10u, 50u, 100u}) {
      Bytes page = twin;
      for (std::byte& b : page)
        if (random() % 100 < percent) b = static_cast<std::byte>(random());
      expect_round_trip(twin, page);
    }
    Bytes inverted = twin;
    for (std::byte& b : inverted) b = ~b;
    expect_round_trip(twin, inverted);
  }
}

TEST(Diff, FewRunsAreRunsAndManyAreLines) {
  const Bytes twin(4096);
  Bytes few = twin, many = twin, body;
  few[100] = std::byte{1};
  append_diff(few, twin, 0, body);
  EXPECT_EQ(body.size(), 3u + 2 + 4 + 1);
  for (std::size_t i = 0; i < many.size(); i += 2) many[i] = std::byte{1};
  body.clear();
  append_diff(many, twin, 0, body);
  EXPECT_EQ(body.size(), 3u + 2 + 64 * 74);
}

// ---- pushes ----

// A reader with bytes of its own takes what has changed, one with nothing newer takes the lines.
TEST(Push, BringsWhatChangedSinceTheBase) {
  std::mt19937 random(7);
  for (const unsigned percent : {0u, 1u, 10u, 60u, 100u}) {
    SCOPED_TRACE(percent);
    const Bytes base = random_page(random, 4096);
    Bytes page = base, kept = base, body;
    for (std::byte& b : page)
      if (random() % 100 < percent) b ^= std::byte{0x21};
    const std::size_t lines = append_push(page, kept, 5, body);
    EXPECT_EQ(body.size(), lines == 0 ? 0 : 4 + lines * 74);
    EXPECT_EQ(kept, page) << "the base is what was compared";
    Bytes frame = base, twin = base, whole = base;
    for (std::byte& b : frame) b = ~b;
    for (std::byte& b : twin) b = ~b;
    const auto apply = [&](PushTarget target) {
      return apply_push(body, 4096, 6, [&](std::size_t index) {
        EXPECT_EQ(index, 5u);
        return target;
      });
    };
    ASSERT_TRUE(apply({Taken::changed_bytes, frame.data(), twin.data()}));
    ASSERT_TRUE(apply({Taken::whole_lines, whole.data(), nullptr}));
    ASSERT_TRUE(apply({Taken::nothing, nullptr, nullptr}));
    for (std::size_t i = 0; i < page.size(); ++i)
      ASSERT_EQ(frame[i], page[i] != base[i] ? page[i] : ~base[i]) << i;
    EXPECT_EQ(twin, frame);
    EXPECT_EQ(whole, page);
  }
}

TEST(Push, AnyBytesAreRefusedOrStayInThePage) {
  std::mt19937 random(8);
  unsigned refused = 0;
  for (int round = 0; round < 3000; ++round) {
    Bytes base = random_page(random, 256), body;
    append_push(random_page(random, 256), base, static_cast<std::uint16_t>(random() % 3), body);
    for (unsigned flips = random() % 4; flips > 0; --flips)
      body[random() % body.size()] ^= static_cast<std::byte>(1u << random() % 8);
    body.resize(random() % 2 == 0 ? body.size() : random() % body.size());
    Bytes frame(256 + 64);  // a store behind the page would show
    refused += !apply_push(body, 256, 2, [&](std::size_t) {
      return PushTarget{Taken::changed_bytes, frame.data(), nullptr};
    });
    EXPECT_EQ(Bytes(frame.begin() + 256, frame.end()), Bytes(64));
  }
  EXPECT_GT(refused, 1000u);
}

TEST(Diff, SeveralPagesInOneBody) {
  std::mt19937 random(4);
  Bytes body;
  std::vector<Bytes> twins, pages, homes;
  for (std::uint16_t i = 0; i < 16; ++i) {
    twins.push_back(random_page(random, 256));
    pages.push_back(twins.back());
    for (unsigned n = 0; n < i; ++n) pages.back()[random() % 256] ^= std::byte{0xff};
    append_diff(pages.back(), twins.back(), i, body);
  }
  homes = twins;
  ASSERT_TRUE(apply_diff(body, 256, 16, [&](std::size_t index) { return homes[index].data(); }));
  EXPECT_EQ(homes, pages);
}

TEST(Diff, AMalformedBodyIsRefusedAndStaysInItsPage) {
  std::mt19937 random(5);
  constexpr std::size_t size = 128;
  constexpr std::uint64_t pages = 4;
  int refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    Bytes body;
    if (round % 2 == 0) {
      const Bytes twin = random_page(random, size);
      Bytes page = twin;
      for (unsigned n = 0; n < 20; ++n) page[random() % size] = static_cast<std::byte>(random());
      append_diff(page, twin, static_cast<std::uint16_t>(random() % pages), body);
      if (body.empty()) continue;
      body[random() % body.size()] = static_cast<std::byte>(random());
      if (random() % 3 == 0) body.resize(random() % body.size());
    } else {
      body = random_page(random, random() % 60);
      if (body.size() > 2) body[0] = std::byte{0}, body[1] = std::byte{0}, body[2] &= std::byte{1};
    }
    Bytes memory(size * (pages + 2), std::byte{0x5a});
    refused += !apply_diff(body, size, pages,
                           [&](std::uint64_t index) { return memory.data() + size * (index + 1); });
    for (std::size_t i = 0; i < size; ++i) {
      ASSERT_EQ(memory[i], std::byte{0x5a}) << "round " << round;
      ASSERT_EQ(memory[memory.size() - 1 - i], std::byte{0x5a}) << "round " << round;
    }
  }
  EXPECT_GT(refused, 1000);
}

// ---- messages ----

template <typename M>
void expect_same(const M& message) {
  Bytes bytes;
  encode(message, bytes);
  const std::optional<Message> back = decode(bytes);
  ASSERT_TRUE(back.has_value()) << name_of(Message(message));
  ASSERT_TRUE(std::holds_alternative<M>(*back));
  if constexpr (requires { message.body; }) {
    Bytes again;
    encode(*back, again);
    EXPECT_EQ(again, bytes);
    EXPECT_TRUE(std::equal(message.body.begin(), message.body.end(),
                           std::get<M>(*back).body.begin(), std::get<M>(*back).body.end()));
  } else {
    EXPECT_EQ(std::get<M>(*back), message);
  }
  if constexpr (!requires { message.body; }) {
    for (std::size_t cut = 0; cut < bytes.size(); ++cut)
      EXPECT_FALSE(decode(ByteView(bytes).first(cut)))
          << name_of(Message(message)) << " cut at " << cut;
    bytes.push_back(std::byte{0});
    EXPECT_FALSE(decode(bytes)) << "one byte too many";
  }
}

TEST(Message, EveryKindSurvivesTheWire) {
  expect_same(LockRequest{LockId(~std::uint64_t{0})});
  expect_same(LockForward{LockId(5), NodeId(3)});
  expect_same(
      AtomicRequest{Ticket(7),
                    {PageId(4), 24, WordOperation::Kind::compare_swap, ~std::uint64_t{0}, 5},
                    Epoch(3)});
  expect_same(AtomicReply{Ticket(7), std::uint64_t{1} << 63});
  LockGrant grant{LockId(9), {}};
  grant.token.turn = Seq(12);
  grant.token.passed = Epoch(3);
  grant.token.recent[0].scope.note(PageSet::of({PageId(1), PageId(2), PageId(7)}), Seq(11));
  grant.token.recent[0].scope.note(PageSet::of({PageId(2)}), Seq(12));
  grant.token.recent[1].scope.note({{}, true}, Seq(12));
  grant.token.recent[0].before.note(NodeId(4), PageSet::of({PageId(6)}), Seq(90));
  grant.token.recent[0].before.note(NodeId(2), PageSet::of({PageId(3), PageId(4)}), Seq(7));
  expect_same(grant);
  grant.token.clock = Clock(NodeId(2), 5);
  expect_same(grant);
  grant.aboard = {{{PageId(5), 8, 3}, Where::aboard},
                  {{PageId(6), 0, 4096}, Where::at_home},
                  {{PageId(7), 0, 4096}, Where::at_sender}};
  grant.bytes.assign(3, std::byte{9});
  expect_same(grant);
  const Bytes body(33, std::byte{7});
  expect_same(BoundDiff{PageId(40), {{LockId(3), Seq(12), {PageId(40), 16, 5}}}, body});
  expect_same(Diff{{PageId(40), 3}, body});
  expect_same(Diff{{PageId(40), 3},
                   body,
                   {Epoch(4), Clock(NodeId(1), 3), {Origin::Kind::barrier, 0, "here.cpp:12"}}});
  expect_same(BoundTaken{LockId(3), Seq(12)});
  expect_same(Holding{{LockId(3), LockId(1)}});
  expect_same(Holding{});
  expect_same(Hurry{});
  expect_same(MoveReady{Epoch(9)});
  expect_same(MoveContent{Epoch(9), {PageId(40), 3}, body});
  expect_same(MoveDone{NodeId(2), Epoch(9)});
  expect_same(DiffAck{{PageId(40), 3}});
  expect_same(ConditionCall{ConditionId(5), ConditionCall::Kind::notify_all, 9});
  expect_same(ConditionAnswer{~std::uint64_t{0}, ConditionAnswer::Kind::notified});
  expect_same(TeamRound{TeamId(3),
                        0x1234567890abcdef,
                        Epoch(9),
                        1,
                        {{NodeId(2), Bytes(7, std::byte{2})}, {NodeId(1), {}}}});
  expect_same(TeamLeft{TeamId(3), 0x1234567890abcdef, Epoch(9)});
  expect_same(BarrierRound{Epoch(8), 2, {{NodeId(1), Bytes(5, std::byte{1})}, {NodeId(0), {}}}});
  expect_same(MarkFlush{});
  expect_same(MarkCredit{77});
  expect_same(MarkNote{{PageId(40), 3}, Epoch(6)});
  expect_same(MarkTaken{{PageId(40), 3}});
  expect_same(SharedRequest{SharedLockId(4), sync::Mode::exclusive, 8});
  expect_same(SharedWithdraw{SharedLockId(4), 8});
  expect_same(SharedWithdrawn{SharedLockId(4), 8});
  expect_same(SharedGrant{SharedLockId(4), sync::Mode::shared, 12, grant.token});
  expect_same(SharedRevoke{SharedLockId(4), 12});
  expect_same(SharedReturn{SharedLockId(4), grant.token});
  expect_same(SemaphoreCall{SemaphoreId(4), SemaphoreCall::Kind::withdraw, 12, 3});
  expect_same(SemaphoreRelease{SemaphoreId(4), 12, sync::semaphore_count_max, 2, grant.token});
  expect_same(SemaphoreAnswer{12, SemaphoreAnswer::Kind::granted, 0, grant.token});
  expect_same(SemaphoreAnswer{12, SemaphoreAnswer::Kind::differs, 77, {}});
  expect_same(PageRequest{PageId(9), Access::write, true});
  expect_same(PageRecall{PageId(9), 17, Access::none});
  expect_same(PageReturn{PageId(9), ~std::uint32_t{0}, Access::read, body});
  expect_same(PageReturn{PageId(9), 3, Access::none, {}});
  expect_same(PageGrant{PageId(9), 4, Access::write, body});
}

// ---- effects ----

TEST(Effects, NeighboursBecomeOneRun) {
  Effects effects;
  for (std::uint64_t p = 4; p < 8; ++p) effects.change(PageId(p), Access::none, Access::read);
  effects.change(PageId(8), Access::read, Access::none);
  effects.change(PageId(10), Access::read, Access::none);
  for (std::uint64_t p = 4; p < 8; ++p) effects.send_diff(PageId(p), NodeId(p < 6 ? 1 : 2));
  for (std::uint64_t p = 0; p < 3; ++p) effects.twin(PageId(p));
  const std::vector<Effect>& list = effects.list();
  ASSERT_EQ(list.size(), 6u);
  const PageRun first{PageId(4), 4}, second{PageId(8), 1}, third{PageId(10), 1},
      twins{PageId(0), 3};
  EXPECT_EQ(std::get<Change>(list[0]).run, first);
  EXPECT_EQ(std::get<Change>(list[1]).run, second);
  EXPECT_EQ(std::get<Change>(list[2]).run, third);
  EXPECT_EQ(std::get<SendDiff>(list[3]).run.count, 2u);
  EXPECT_EQ(std::get<SendDiff>(list[4]).home, NodeId(2));
  EXPECT_EQ(std::get<Twin>(list[5]).run, twins);
}

// A run must not grow past an effect between: effects are carried out in order.
TEST(Effects, AnEffectBetweenEndsTheRun) {
  Effects effects;
  effects.change(PageId(1), Access::none, Access::read);
  effects.push(Wake{Ticket(1)});
  effects.change(PageId(2), Access::none, Access::read);
  EXPECT_EQ(effects.list().size(), 3u);
  effects.clear();
  EXPECT_TRUE(effects.empty());
}

}  // namespace
}  // namespace dsm::core
