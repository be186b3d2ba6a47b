// What comes in datagrams is decoded totally: random bytes, damaged packets, and packets that are
// sealed rightly and make no sense. A failing seed is printed.
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "transport/bundle.hpp"
#include "transport/lossy_port.hpp"
#include "transport/reliable.hpp"
#include "transport/seal.hpp"
#include "transport/tree.hpp"

namespace dsm::transport {
namespace {

constexpr std::uint64_t seeds = 400;
using Random = std::mt19937_64;

Bytes random_bytes(Random& random, std::size_t size) {
  Bytes bytes(size);
  for (std::byte& b : bytes) b = static_cast<std::byte>(random());
  return bytes;
}

Packet random_packet(Random& random, ByteView piece) {
  const auto near = [&](std::uint64_t around) {
    return random() % 16 == 0 ? random() >> (2 + random() % 62) : random() % (around + 1);
  };
  Packet packet{.kind = static_cast<Packet::Kind>(1 + random() % 6),
                .drained = random() % 2 == 0,
                .from = NodeId(1),
                .number = near(200),
                .largest = near(100),
                .delay_us = static_cast<std::uint32_t>(near(1000))};
  if (packet.largest != 0) packet.received = random();
  if (packet.largest == 0) packet.delay_us = 0;
  if (packet.kind == Packet::Kind::hello) {
    packet.message = random() % 4 == 0 ? random() : 2;
    packet.total = static_cast<std::uint32_t>(near(slots_max + 5));
    packet.offset = static_cast<std::uint32_t>(near(400));
  }
  if (packet.kind == Packet::Kind::data) {
    packet.lane = random() % 2 == 0 ? Lane::any_order : Lane::in_order;
    packet.message = near(300);
    packet.total = static_cast<std::uint32_t>(random() % (random() % 4 == 0 ? 3000 : 136));
    packet.offset = packet.total == 0 ? 0 : static_cast<std::uint32_t>(random() % packet.total);
    if (random() % 2 == 0) packet.offset -= packet.offset % 136;
    packet.piece = piece.first(std::min<std::size_t>(
        {piece.size(), packet.total - packet.offset, random() % 4 == 0 ? random() % 200 : 136}));
  }
  return packet;
}

Bytes datagram_of(const Packet& packet) {
  Bytes bytes(packet_header_bytes);
  packet.encode(bytes.data());
  bytes.insert(bytes.end(), packet.piece.begin(), packet.piece.end());
  return bytes;
}

TEST(PacketFuzz, WhatIsEncodedIsDecoded) {
  Random random(1);
  const Bytes piece = random_bytes(random, 300);
  std::size_t decoded = 0;
  for (int i = 0; i < 20'000; ++i) {
    Packet packet = random_packet(random, piece);
    packet.number %= 1'000'000;
    packet.largest %= 1'000'000;
    if (packet.largest == 0) packet.received = packet.delay_us = 0;
    const Bytes bytes = datagram_of(packet);
    ASSERT_TRUE(Packet::is_long_enough(bytes) && Packet::is_of_this_protocol(bytes));
    ASSERT_EQ(Packet::sender(bytes), NodeId(1));
    const auto again = Packet::decode(bytes);
    if (packet.kind == Packet::Kind::data && packet.piece.empty() && packet.total != 0) {
      ASSERT_FALSE(again);
      continue;
    }
    ASSERT_TRUE(again) << static_cast<int>(packet.kind);
    ASSERT_EQ(datagram_of(*again), bytes);
    ++decoded;
  }
  EXPECT_GT(decoded, 10'000u);
}

TEST(PacketFuzz, RandomAndDamagedBytesAreAPacketOrNone) {
  Random random(2);
  const Bytes piece = random_bytes(random, 300);
  for (int i = 0; i < 50'000; ++i) {
    Bytes bytes = datagram_of(random_packet(random, piece));
    if (i % 3 == 0) bytes = random_bytes(random, random() % 200);
    if (i % 3 == 1) bytes.resize(random() % (bytes.size() + 1));
    for (std::uint64_t n = random() % 4; n > 0 && !bytes.empty(); --n)
      bytes[random() % bytes.size()] = static_cast<std::byte>(random());
    const auto packet = Packet::decode(bytes);
    if (!packet) continue;
    if (packet->kind == Packet::Kind::data) {
      ASSERT_LE(packet->total, reliable_message_max);
      ASSERT_LE(packet->piece.size() + packet->offset, packet->total);
    }
  }
}

// Packets for as many nodes as fit, some of them with equal pieces.
TEST(BundleFuzz, EverybodyFindsItsOwnPacketAndNobodyElse) {
  Random random(4);
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    SCOPED_TRACE(seed);
    const Bytes piece = random_bytes(random, 1 + random() % 300);
    std::vector<Bytes> packets;
    Bytes room(100 + random() % 3000);
    Bundle bundle(NodeId(7), room);
    for (bool fits = true; fits;) {
      Bytes packet = random_bytes(random, packet_header_bytes);
      if (random() % 2 == 0) packet.insert(packet.end(), piece.begin(), piece.end());
      if (random() % 4 == 0) packet.resize(packet.size() + random() % 50, std::byte{1});
      fits = bundle.add(NodeId(static_cast<std::uint32_t>(packets.size())), packet);
      if (fits) packets.push_back(std::move(packet));
    }
    ASSERT_EQ(bundle.count(), packets.size());
    const ByteView datagram = bundle.finish();
    ASSERT_LE(datagram.size(), room.size());
    ASSERT_TRUE(Bundle::is_one(datagram));
    ASSERT_EQ(Bundle::sender(datagram), NodeId(7));
    Bytes out(4000);
    for (std::uint32_t i = 0; i < packets.size(); ++i) {
      const std::size_t size = Bundle::take(datagram, NodeId(i), out);
      ASSERT_EQ(size, packets[i].size());
      ASSERT_TRUE(std::equal(packets[i].begin(), packets[i].end(), out.begin())) << i;
      ASSERT_EQ(Bundle::take(datagram, NodeId(i), std::span(out).first(size - 1)), 0u);
    }
    const auto nobody = NodeId(static_cast<std::uint32_t>(packets.size()));
    ASSERT_EQ(Bundle::take(datagram, nobody, out), 0u);
  }
}

TEST(BundleFuzz, APieceThatAllGetTravelsOnce) {
  Random random(5);
  const Bytes message = random_bytes(random, packet_header_bytes + 1000);
  Bytes room(3000);
  Bundle bundle(NodeId(0), room);
  for (std::uint32_t i = 1; i <= 8; ++i) ASSERT_TRUE(bundle.add(NodeId(i), message));
  EXPECT_LT(bundle.finish().size(), 1000 + 9 * (packet_header_bytes + 8));
}

TEST(BundleFuzz, RandomAndDamagedBytesAreHarmless) {
  Random random(6);
  std::size_t taken = 0;
  for (int i = 0; i < 50'000; ++i) {
    const Bytes packet = random_bytes(random, packet_header_bytes + random() % 100);
    Bytes room(400);
    Bundle bundle(NodeId(0), room);
    for (std::uint32_t to = 1; to < 4; ++to) (void)bundle.add(NodeId(to), packet);
    const ByteView whole = bundle.finish();
    // On the heap, and no longer than it says: a sanitizer sees what is read beyond.
    Bytes bytes(whole.begin(), whole.end());
    if (i % 2 == 0) bytes.resize(random() % (bytes.size() + 1));
    for (std::uint64_t n = random() % 6; n > 0 && !bytes.empty(); --n)
      bytes[random() % std::min<std::size_t>(bytes.size(), 24)] = static_cast<std::byte>(random());
    bytes.shrink_to_fit();
    if (!Bundle::is_one(bytes)) continue;
    Bytes out(packet_header_bytes + random() % 200);
    const std::size_t size = Bundle::take(bytes, NodeId(1), out);
    ASSERT_LE(size, out.size());
    if (size == 0) continue;
    ASSERT_GE(size, packet_header_bytes);
    ++taken;
  }
  EXPECT_GT(taken, 1000u) << "hardly any was whole enough to be opened";
}

// Passes on to whoever is named, as long as it is a node.
class Relay final : public Tree::Node {
 public:
  explicit Relay(Random& random) : random_(random) {}
  std::size_t next_for_child(NodeId peer, std::span<std::byte> out) override {
    if (peer.value >= 5 || peer.value == 1 || random_() % 8 == 0) return 0;
    const Bytes packet = random_bytes(random_, packet_header_bytes);
    std::copy(packet.begin(), packet.end(), out.begin());
    return packet.size();
  }
  std::size_t next_for_other(NodeId, std::span<std::byte>) override { return 0; }
  bool send(NodeId child, ByteView datagram) override {
    EXPECT_TRUE(Bundle::is_one(datagram) && Bundle::is_passed_on(datagram));
    EXPECT_EQ(Bundle::receiver(datagram, 0), child);
    sent += Bundle::entries(datagram) - 1;
    return true;
  }
  void left(NodeId) override {}
  std::size_t sent = 0;

 private:
  Random& random_;
};

TEST(TreeFuzz, WhatIsPassedOnIsNoMoreThanWhatCame) {
  Random random(8);
  std::size_t passed_on = 0;
  constexpr std::size_t datagram_max = 700;
  for (int i = 0; i < 20'000; ++i) {
    Bytes room(datagram_max);
    Bundle bundle(NodeId(0), room, Bundle::Kind::passed_on);
    for (std::uint32_t to = 1; to < 6; ++to)
      (void)bundle.add(NodeId(to), random_bytes(random, packet_header_bytes + random() % 60));
    const ByteView whole = bundle.finish();
    Bytes bytes(whole.begin(), whole.end());
    if (i % 4 == 0) bytes.resize(random() % (bytes.size() + 1));
    for (std::uint64_t n = random() % 6; n > 0 && !bytes.empty(); --n)
      bytes[random() % bytes.size()] = static_cast<std::byte>(random());
    bytes.shrink_to_fit();
    if (!Bundle::is_one(bytes)) continue;
    Tree tree(NodeId(1), 5, 1 + static_cast<std::uint32_t>(random() % 3), datagram_max);
    Relay relay(random);
    tree.pass_on(bytes, relay);
    ASSERT_LE(relay.sent, Bundle::entries(bytes));
    passed_on += relay.sent;
  }
  EXPECT_GT(passed_on, 20'000u);
}

TEST(SealFuzz, OneChangedBitOrAnotherSessionBreaksIt) {
  Random random(3);
  const LinkKey key = link_key("the key", "wire");
  const Nonce one = fresh_nonce();
  const Nonce two = fresh_nonce();
  const SealKey right = seal_key(key, 2, NodeId(0), one, NodeId(1), two);
  const SealKey others[] = {seal_key(key, 2, NodeId(1), two, NodeId(0), one),
                            seal_key(key, 3, NodeId(0), one, NodeId(1), two),
                            seal_key(key, 2, NodeId(0), fresh_nonce(), NodeId(1), two),
                            seal_key(link_key("a key", "wire"), 2, NodeId(0), one, NodeId(1), two)};
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    Bytes bytes = random_bytes(random, packet_header_bytes + random() % 100);
    seal(right, bytes);
    ASSERT_TRUE(is_sealed(right, bytes));
    for (const SealKey& other : others) ASSERT_FALSE(is_sealed(other, bytes));
    bytes[random() % bytes.size()] ^= static_cast<std::byte>(1u << (random() % 8));
    ASSERT_FALSE(is_sealed(right, bytes));
  }
}

// A peer that has the key and has lost its mind.
TEST(ReliableFuzz, PacketsThatMakeNoSenseHarmNobody) {
  std::size_t whole = 0;
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    const Bytes piece = random_bytes(random, 300);
    BufferPool pool;
    Reliable reliable({.self = NodeId(0), .nodes = 2, .datagram = 200, .slots = 20}, pool);
    Time now{1000};
    reliable.greet(now);
    reliable.receive({.kind = Packet::Kind::hello,
                      .from = NodeId(1),
                      .message = 2,
                      .total = 20,
                      .offset = seed % 4 == 0 ? 1u : 136u},
                     now);
    Bytes out(200);
    for (int i = 0; i < 400; ++i) {
      now += Time(random() % 3'000'000);
      if (!reliable.down() && random() % 2 == 0)
        (void)reliable.send(random() % 2 == 0 ? Lane::any_order : Lane::in_order,
                            ByteView(piece).first(random() % 300), piece, false);
      Packet packet = random_packet(random, piece);
      // Most are near what makes sense: a number that is far off makes all later ones old.
      if (random() % 500 != 0) packet.number = static_cast<std::uint64_t>(i) + 1 + random() % 3;
      if (packet.kind == Packet::Kind::data && random() % 8 != 0) packet.message = random() % 40;
      reliable.receive(packet, now);
      while (reliable.has_message()) {
        pool.drop(reliable.take_message().buffer);
        ++whole;
      }
      reliable.tick(now);
      while (const std::size_t size = reliable.next(now, random() % 2 == 0, out)) {
        ASSERT_LE(size, out.size());
        ASSERT_TRUE(Packet::decode(ByteView(out).first(size)));
        reliable.left(now);
      }
      ASSERT_LE(reliable.charged(), slots_max);
      ASSERT_LE(reliable.half_received_bytes(), lanes_count * (reassembly_max + 3000));
    }
  }
  EXPECT_GT(whole, seeds) << "nothing got through: the test feeds nothing but garbage";
}

TEST(Losses, AreParsedAndAMalformedPartIsNamed) {
  const auto losses = Losses::parse("seed=9,loss=0.5,duplicate=0.25,reorder=0,corrupt=0.125");
  ASSERT_TRUE(losses.ok());
  EXPECT_EQ(losses.value().seed, 9u);
  EXPECT_EQ(losses.value().loss, 0.5);
  EXPECT_EQ(losses.value().duplicate, 0.25);
  EXPECT_EQ(losses.value().corrupt, 0.125);
  for (const char* part : {"los=1", "loss=0.6", "loss=", "loss", "corrupt=-1", "seed=x", "="}) {
    const auto wrong = Losses::parse(std::string("seed=1,") + part + ",loss=0.1");
    ASSERT_FALSE(wrong.ok()) << part;
    EXPECT_NE(wrong.status().message().find("'" + std::string(part) + "'"), std::string::npos);
    EXPECT_NE(wrong.status().message().find("0 to 0.5"), std::string::npos);
  }
}

}  // namespace
}  // namespace dsm::transport
