// The engine's decoders are total: any bytes are a message or nothing, and what is decoded encodes
// to the same bytes again.
#include <gtest/gtest.h>

#include <random>

#include "dsm/core/mark.hpp"
#include "dsm/core/message.hpp"

namespace dsm::core {
namespace {

constexpr std::uint32_t seeds = 50'000;

Bytes random_bytes(std::mt19937& random, std::size_t max) {
  Bytes bytes(random() % (max + 1));
  // Small values, so that counts and flags are often plausible.
  for (std::byte& b : bytes)
    b = static_cast<std::byte>(random() % 5 == 0 ? random() : random() % 3);
  return bytes;
}

PageSet random_pages(std::mt19937& random) {
  std::vector<PageId> pages;
  for (std::uint32_t i = static_cast<std::uint32_t>(random()) % 20; i > 0; --i)
    pages.push_back(PageId(random() % 64));
  return PageSet::of(pages);
}

Bytes random_message(std::mt19937& random) {
  Bytes bytes;
  switch (random() % 9) {
    case 0: {
      LockGrant grant{LockId(random()), {}};
      for (std::uint32_t turn = 1; turn < 5; ++turn) {
        grant.token.recent[turn % 2].scope.note(random_pages(random), Seq(turn));
        grant.token.recent[turn % 2].before.note(NodeId(turn % 3), random_pages(random), Seq(turn));
      }
      if (random() % 2 == 0) {
        encode(SharedGrant{SharedLockId(random()), sync::Mode::shared, random(), grant.token},
               bytes);
      } else {
        encode(grant, bytes);
      }
      break;
    }
    case 1: {
      BarrierRound round{Epoch(1), 2, {}};
      for (std::uint32_t i = 0; i < 4; ++i)
        round.known.push_back({NodeId(i), random_bytes(random, 20)});
      encode(round, bytes);
      break;
    }
    case 2: {
      const Bytes body = random_bytes(random, 40);
      Stamp stamp;
      if (random() % 2 == 0)
        stamp = {Epoch(3), Clock(NodeId(1), 3), {Origin::Kind::team, random(), "file:7"}};
      encode(Diff{{PageId(random() % 9), 1 + random() % 9}, body, stamp}, bytes);
      break;
    }
    case 3: {
      const Bytes body = random_bytes(random, 40);
      encode(PageReturn{PageId(random() % 9), static_cast<std::uint32_t>(random() % 9),
                        Access::read, body},
             bytes);
      break;
    }
    case 4:
      encode(PageRequest{PageId(random() % 9), Access::write, random() % 2 == 0}, bytes);
      break;
    case 5: {
      TeamRound round{TeamId(2), random(), Epoch(3), 1, {}};
      for (std::uint32_t i = 0; i < 3; ++i)
        round.known.push_back({NodeId(i), random_bytes(random, 20)});
      encode(round, bytes);
      break;
    }
    case 6: {
      Token token;
      token.recent[random() % 2].scope.note(random_pages(random), Seq(1));
      const auto kind = static_cast<SemaphoreAnswer::Kind>(random() % 6);
      if (random() % 2 == 0) {
        encode(SemaphoreRelease{SemaphoreId(random()), random(), random() % 9, 1, token}, bytes);
      } else {
        encode(SemaphoreAnswer{random(), kind, random(), token}, bytes);
      }
      break;
    }
    case 7: {
      AtomicRequest request{Ticket(random() % 9), {}};
      request.operation.offset = static_cast<std::uint32_t>(random());
      request.operation.compare = random();
      if (random() % 2 == 0) {
        encode(AtomicReply{Ticket(random() % 9), random()}, bytes);
      } else {
        encode(request, bytes);
      }
      break;
    }
    default:
      encode(LockForward{LockId(3), NodeId(1)}, bytes);
      break;
  }
  return bytes;
}

void expect_total(const Bytes& bytes, std::uint32_t seed) {
  const std::optional<Message> message = decode(bytes);
  if (!message) return;
  Bytes again;
  encode(*message, again);
  ASSERT_EQ(again, bytes) << "seed " << seed << " " << name_of(*message);
}

TEST(CoreDecoders, RandomBytes) {
  for (std::uint32_t seed = 0; seed < seeds; ++seed) {
    std::mt19937 random(seed);
    Bytes bytes = random_bytes(random, 120);
    if (!bytes.empty()) bytes[0] = static_cast<std::byte>(random() % 14);
    expect_total(bytes, seed);
  }
}

TEST(CoreDecoders, DamagedMessages) {
  int refused = 0;
  for (std::uint32_t seed = 0; seed < seeds; ++seed) {
    std::mt19937 random(seed);
    Bytes bytes = random_message(random);
    switch (random() % 7) {
      case 0:
        bytes.resize(random() % bytes.size());
        break;
      case 1:
        bytes.push_back(static_cast<std::byte>(random()));
        break;
      default:
        bytes[random() % bytes.size()] = static_cast<std::byte>(random());
        break;
    }
    refused += !decode(bytes);
    expect_total(bytes, seed);
  }
  EXPECT_GT(refused, 1000);
}

TEST(CoreDecoders, AHugeCountIsNotBelieved) {
  Bytes bytes;
  encode(BarrierRound{Epoch(0), 0, {}}, bytes);
  const std::size_t count_at = bytes.size() - 4;
  for (std::size_t i = count_at; i < bytes.size(); ++i) bytes[i] = std::byte{0xff};
  EXPECT_FALSE(decode(bytes));
}

TEST(CoreDecoders, AnyWordIsAMarkOrNone) {
  std::mt19937_64 random(1);
  int read = 0;
  for (std::uint32_t i = 0; i < 2'000'000; ++i) {
    const std::uint64_t number = random() % 4096;
    const auto entry = decode_mark(random(), number, 512, Epoch(100));
    if (!entry) continue;
    ++read;
    ASSERT_GE(entry->run.count, 1u);
    ASSERT_LE(entry->run.count, 32u);
  }
  EXPECT_GT(read, 0);
}

}  // namespace
}  // namespace dsm::core
