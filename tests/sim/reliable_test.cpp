// Reliable on a simulated wire that loses, doubles, reorders, alters and delays, held against an
// oracle; rings that nobody may overrun; and bugs planted in it that all of this must find.
#include <gtest/gtest.h>

#include "support/wire_simulator.hpp"

namespace dsm::transport {
namespace {

using namespace std::chrono_literals;

constexpr WireFaults unkind{
    .loss = 0.05, .duplicate = 0.05, .corrupt = 0.02, .delay_least = 10us, .delay_most = 900us};

// The fewest that a lossy wire should have: see control_slots_wanted.
constexpr std::uint32_t lossy_slots = control_slots_wanted + 1;

std::size_t size_of(sim::Random& random) {
  if (random.one_in(50)) return random.below(60'000);
  return random.one_in(4) ? random.below(5'000) : random.below(300);
}

// So many messages between all nodes, of many sizes, in both lanes.
bool history(WireSimulator& net, std::uint32_t nodes, std::size_t messages, std::uint64_t seed) {
  sim::Random random(seed + 77);
  for (std::size_t sent = 0; sent < messages && net.broken().empty();) {
    const std::uint32_t from = random.below(nodes);
    const std::uint32_t to = (from + 1 + random.below(nodes - 1)) % nodes;
    const Lane lane = random.one_in(2) ? Lane::any_order : Lane::in_order;
    if (net.send(from, to, lane, size_of(random))) ++sent;
    if (random.one_in(4)) net.run_until(net.now() + Time(random.below(200'000)));
    if (random.one_in(2000)) net.run_until(net.now() + 300ms);
  }
  return net.run_until_quiet(60s);
}

TEST(Reliable, TenThousandMessagesOverAnUnkindWire) {
  for (const std::uint64_t seed : {1u, 2u, 3u}) {
    SCOPED_TRACE(seed);
    WireSimulator net({.seed = seed, .nodes = 3, .faults = unkind});
    EXPECT_TRUE(history(net, 3, 10'000, seed)) << net.missing() << " messages never came";
    EXPECT_EQ(net.broken(), "");
    EXPECT_EQ(net.delivered(), 10'000u);
    EXPECT_GT(net.unsealed(), 0u) << "nothing was altered: the test proves less than it says";
    const ReliableCounters counters = net.counters();
    EXPECT_GT(counters.pieces_resent, 0u);
    EXPECT_GT(counters.duplicate_packets, 0u);
  }
}

// Up to 15 % lost.
WireFaults unkind_by(std::uint64_t seed) {
  WireFaults faults = unkind;
  faults.loss = 0.05 * static_cast<double>(seed % 4);
  return faults;
}

TEST(Reliable, ManySeedsOfShortHistories) {
  for (std::uint64_t seed = 10; seed < 60; ++seed) {
    SCOPED_TRACE(seed);
    const std::uint32_t nodes = 2 + static_cast<std::uint32_t>(seed % 3);
    WireSimulator net({.seed = seed,
                       .nodes = nodes,
                       .slots = seed % 2 == 0 ? lossy_slots : 20,
                       .datagram = seed % 3 == 0 ? 200u : 2000u,
                       .faults = unkind_by(seed)});
    EXPECT_TRUE(history(net, nodes, 300, seed)) << net.missing() << " messages never came";
    EXPECT_EQ(net.broken(), "");
  }
}

TEST(Reliable, OnACleanWireNothingIsSentTwice) {
  for (const Time poll_every : {20us, 2000us, 30000us}) {
    WireSimulator net({.nodes = 4, .poll_every = poll_every});
    EXPECT_TRUE(history(net, 4, 2'000, 5)) << net.missing();
    EXPECT_EQ(net.counters().pieces_resent, 0u) << poll_every.count();
    EXPECT_EQ(net.counters().duplicate_packets, 0u);
    EXPECT_EQ(net.counters().refused_pieces, 0u);
  }
}

// Eight nodes send to one, which stops now and then.
struct Flood {
  std::uint32_t slots;
  double loss;
  ReliableBug bug = ReliableBug::none;
};

WireSimulator flood(const Flood& about) {
  constexpr std::uint32_t nodes = 9;
  WireSimulator net({.seed = about.slots,
                     .nodes = nodes,
                     .slots = about.slots,
                     .datagram = 600,
                     .faults = {.loss = about.loss, .delay_least = 10us, .delay_most = 300us},
                     .poll_every = 3ms,
                     .bug = about.bug});
  sim::Random random(about.slots);
  for (int burst = 0; burst < 6; ++burst) {
    if (burst % 2 == 1) net.stop(0);
    for (std::uint32_t from = 1; from < nodes; ++from)
      for (int i = 0; i < 60; ++i)
        net.send(from, 0, random.one_in(2) ? Lane::any_order : Lane::in_order, random.below(3000));
    net.run_until(net.now() + 700ms);
    net.go_on(0);
  }
  net.run_until_quiet(60s);
  return net;
}

TEST(Reliable, AllOthersAtOnceOverrunNoRing) {
  for (const std::uint32_t slots : {slots_min, lossy_slots, 8u, slots_max}) {
    for (const double loss : {0.0, 0.1}) {
      SCOPED_TRACE(slots);
      if (slots < lossy_slots && loss != 0) continue;
      const WireSimulator net = flood({.slots = slots, .loss = loss});
      EXPECT_EQ(net.broken(), "");
      EXPECT_EQ(net.missing(), 0u);
      EXPECT_EQ(net.overruns(), 0u);
      EXPECT_GT(net.fullest_ring(), (slots - control_slots(slots)) * 4u) << "it was no flood";
    }
  }
}

TEST(Reliable, ALongMessageAndWhatIsHalfReceived) {
  WireSimulator net({.datagram = 8192, .faults = {.loss = 0.02}});
  ASSERT_TRUE(net.send(0, 1, Lane::in_order, 20u << 20));
  EXPECT_FALSE(net.send(0, 1, Lane::in_order, 100)) << "the queue has no limit";
  ASSERT_TRUE(net.send(0, 1, Lane::any_order, 100)) << "the lanes share their limit";
  net.run_until(net.now() + 1ms);
  EXPECT_EQ(net.link(1, 0).half_received_bytes(), 20u << 20);
  EXPECT_EQ(net.delivered(), 1u) << "a short message waits for a long one of another lane";
  EXPECT_TRUE(net.run_until_quiet(60s));
  EXPECT_EQ(net.link(1, 0).half_received_bytes(), 0u);
}

TEST(Reliable, AnIdlePeerLivesAndASilentOneIsDownInTime) {
  WireSimulator net({.nodes = 3, .faults = {.loss = 0.1}, .poll_every = 1ms});
  net.run_until(60s);
  for (std::uint32_t i = 0; i < 3; ++i)
    for (std::uint32_t j = 0; j < 3; ++j)
      ASSERT_TRUE(i == j || !net.link(i, j).down()) << i << " " << j;
  EXPECT_LT(net.counters().packets_sent, 3u * 2 * 60 * 5) << "idle nodes talk too much";
  // Stopped for 3 s: not dead, for either side.
  net.stop(1);
  net.run_until(net.now() + 3s);
  net.go_on(1);
  net.run_until(net.now() + 1s);
  for (const std::uint32_t i : {0u, 2u}) {
    EXPECT_FALSE(net.link(i, 1).down());
    EXPECT_FALSE(net.link(1, i).down());
  }
  net.send(0, 1, Lane::any_order, 50'000);
  net.cut(1);
  const Time cut = net.now();
  while (!net.link(0, 1).down() && net.now() < cut + 10s) net.run_until(net.now() + 10ms);
  EXPECT_GE(net.now() - cut, 2500ms);
  EXPECT_LE(net.now() - cut, 4500ms);
  EXPECT_FALSE(net.link(0, 2).down());
}

// Whatever ends a peer, one that has nothing to say is asked in time.
TEST(Reliable, AnIdlePeerLivesWhereSilenceEndsItSoon) {
  for (const Time dead_after : {100ms, 1000ms, 1001ms}) {
    SCOPED_TRACE(dead_after.count());
    WireSimulator net({.nodes = 3, .poll_every = 1ms, .dead_after = dead_after});
    net.run_until(20 * dead_after);
    for (std::uint32_t i = 0; i < 3; ++i)
      for (std::uint32_t j = 0; j < 3; ++j)
        EXPECT_TRUE(i == j || !net.link(i, j).down()) << i << " " << j;
  }
}

// A node that could not look for a long time blames nobody.
TEST(Reliable, ANodeThatWasStoppedForLongFindsItsPeersAlive) {
  WireSimulator net({.poll_every = 1ms});
  net.run_until(1s);
  net.stop(0);
  net.stop(1);
  net.run_until(30s);
  net.go_on(0);
  net.go_on(1);
  net.run_until(35s);
  EXPECT_FALSE(net.link(0, 1).down());
  EXPECT_FALSE(net.link(1, 0).down());
}

TEST(Reliable, GoodByeIsHeardBehindWhatWasSent) {
  WireSimulator net({});
  net.run_until(10ms);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(net.send(0, 1, Lane::any_order, 100));
  net.link(0, 1).part();
  net.run_until(20ms);
  EXPECT_EQ(net.delivered(), 10u);
  EXPECT_TRUE(net.link(1, 0).has_parted());
  EXPECT_FALSE(net.link(0, 1).has_parted());
}

// --- one datagram for several ---

// Messages to all others, or to all but one, among messages to one.
bool multicast_history(WireSimulator& net, std::uint32_t nodes, int rounds, std::uint64_t seed) {
  sim::Random random(seed + 99);
  for (int round = 0; round < rounds && net.broken().empty(); ++round) {
    const std::uint32_t from = random.below(nodes);
    const std::uint32_t without = random.one_in(2) ? random.below(nodes) : from;
    std::vector<std::uint32_t> to;
    for (std::uint32_t i = 0; i < nodes; ++i)
      if (i != from && i != without) to.push_back(i);
    const Lane lane = random.one_in(2) ? Lane::any_order : Lane::in_order;
    net.send_each(from, to, lane, random.one_in(20) ? random.below(9000) : random.below(120));
    if (random.one_in(3)) net.send(from, to.front(), lane, size_of(random));
    if (random.one_in(2)) net.run_until(net.now() + Time(random.below(2'000'000)));
  }
  return net.run_until_quiet(60s);
}

TEST(Multicast, NothingIsLostAndNothingComesTwice) {
  std::size_t bundles = 0;
  std::uint64_t asides = 0;
  for (std::uint64_t seed = 1; seed < 25; ++seed) {
    SCOPED_TRACE(seed);
    const std::uint32_t nodes = 3 + static_cast<std::uint32_t>(seed % 4);
    WireSimulator net({.seed = seed,
                       .nodes = nodes,
                       .slots = seed % 2 == 0 ? 12u : slots_max,
                       .datagram = seed % 3 == 0 ? 700u : 2000u,
                       .faults = unkind_by(seed),
                       .multicast = true});
    EXPECT_TRUE(multicast_history(net, nodes, 400, seed)) << net.missing() << " never came";
    EXPECT_EQ(net.broken(), "");
    bundles += net.bundles();
    asides += net.counters().asides_sent;
  }
  EXPECT_GT(bundles, 1'500u) << "too few went to all: the test proves less than it says";
  EXPECT_GT(asides, 500u);
}

TEST(Multicast, OnACleanWireNothingIsSentTwice) {
  WireSimulator net({.nodes = 5, .multicast = true});
  EXPECT_TRUE(multicast_history(net, 5, 1'000, 3)) << net.missing();
  EXPECT_EQ(net.counters().pieces_resent, 0u);
  EXPECT_EQ(net.counters().duplicate_packets, 0u);
  EXPECT_GT(net.bundles(), 500u);
}

constexpr std::uint32_t flooding_nodes = 6;

// Six bursts, in which each node from `first` on sends to all the others of these. In every second
// one a node is stopped.
template <typename Stopped>
void flood(WireSimulator& net, std::uint32_t first, Stopped stopped_in) {
  net.run_until(5ms);
  for (std::uint32_t burst = 0; burst < 6; ++burst) {
    if (burst % 2 == 1) net.stop(stopped_in(burst));
    for (int i = 0; i < 100; ++i) {
      for (std::uint32_t from = first; from < flooding_nodes; ++from) {
        std::vector<std::uint32_t> to;
        for (std::uint32_t peer = first; peer < flooding_nodes; ++peer)
          if (peer != from) to.push_back(peer);
        net.send_each(from, to, Lane::any_order, 40);
      }
      if (i % 8 == 0) net.run_until(net.now() + 2ms);
    }
    net.run_until(net.now() + 500ms);
    net.go_on(stopped_in(burst));
  }
  net.run_until_quiet(60s);
}

// A node gets what is about the others only, and stops now and then.
WireSimulator multicast_flood(std::uint32_t slots, ReliableBug bug) {
  WireSimulator net({.seed = slots,
                     .nodes = flooding_nodes,
                     .slots = slots,
                     .datagram = 1500,
                     .poll_every = 1ms,
                     .multicast = true,
                     .bug = bug});
  flood(net, 1, [](std::uint32_t) { return 0u; });
  return net;
}

TEST(Multicast, WhatIsAboutOthersOverrunsNoRing) {
  for (const std::uint32_t slots : {slots_min, 9u, slots_max}) {
    SCOPED_TRACE(slots);
    const WireSimulator net = multicast_flood(slots, ReliableBug::none);
    EXPECT_EQ(net.broken(), "");
    EXPECT_EQ(net.missing(), 0u);
    EXPECT_GT(net.counters().asides_sent, 0u);
  }
}

// The aside that comes behind it must not be taken for its having arrived.
TEST(Multicast, AHelloThatIsLostIsSaidAgain) {
  BufferPool pools[2];
  Reliable zero({.self = NodeId(0), .datagram = 1000, .slots = 20}, pools[0]);
  Reliable one({.self = NodeId(1), .datagram = 1000, .slots = 20}, pools[1]);
  Reliable* const both[] = {&zero, &one};
  Bytes bytes(1000);
  Time now{0};
  for (Reliable* each : both) each->greet(now);
  bool lost = false;
  for (; !(zero.connected() && one.connected()) && now < 5s; now += 1ms) {
    for (int from = 0; from < 2; ++from) {
      both[from]->tick(now);
      for (;;) {
        const bool in_bundle = from == 0 && zero.greeted() && zero.counters().asides_sent == 0;
        const std::size_t size =
            in_bundle ? zero.next_in_bundle(now, bytes) : both[from]->next(now, true, bytes);
        if (size == 0) break;
        both[from]->left(now);
        if (from == 0 && !std::exchange(lost, true)) continue;
        both[1 - from]->receive(Packet::decode(ByteView(bytes).first(size)).value(), now);
      }
    }
  }
  EXPECT_GT(zero.counters().asides_sent, 0u);
  EXPECT_TRUE(zero.connected() && one.connected());
}

// What the peer may let lie until it looks; that it looks at all, a probe sees to.
TEST(Urgency, OfWhatLeaves) {
  BufferPool pools[2];
  Reliable zero({.self = NodeId(0), .datagram = 1000, .slots = 20}, pools[0]);
  Reliable one({.self = NodeId(1), .datagram = 1000, .slots = 20}, pools[1]);
  Reliable* const both[] = {&zero, &one};
  Bytes bytes(1000);
  Time now{0};
  // The next packet that leaves a node within a second, and how urgent it is.
  const auto leave = [&](int from, Urgency& urgency) -> std::optional<Packet> {
    for (const Time end = now + 1s; now < end; now += 1ms) {
      both[from]->tick(now);
      const std::size_t size = both[from]->next(now, true, bytes);
      if (size == 0) continue;
      urgency = both[from]->urgency();
      both[from]->left(now);
      return Packet::decode(ByteView(bytes).first(size));
    }
    return std::nullopt;
  };
  Urgency urgency{};
  for (Reliable* each : both) each->greet(now);
  for (int from = 0; !(zero.connected() && one.connected()); from = 1 - from) {
    const auto packet = leave(from, urgency);
    ASSERT_TRUE(packet.has_value());
    EXPECT_EQ(urgency == Urgency::patient, packet->kind == Packet::Kind::acknowledgement);
    both[1 - from]->receive(*packet, now);
  }
  const std::byte text[] = {std::byte{1}, std::byte{2}};
  for (const Urgency wanted : {Urgency::patient, Urgency::prompt, Urgency::patient}) {
    ASSERT_TRUE(zero.send(Lane::any_order, text, {}, false, wanted));
    EXPECT_TRUE(zero.has_data());
    const auto message = leave(0, urgency);
    ASSERT_TRUE(message && message->kind == Packet::Kind::data);
    EXPECT_FALSE(zero.has_data());
    EXPECT_EQ(urgency, wanted);
    const auto probe = leave(0, urgency);
    ASSERT_TRUE(probe && probe->kind == Packet::Kind::probe);
    EXPECT_EQ(urgency, Urgency::prompt);
    one.receive(*message, now);
    one.receive(*probe, now);
    const auto answer = leave(1, urgency);
    ASSERT_TRUE(answer && answer->kind == Packet::Kind::acknowledgement);
    EXPECT_EQ(urgency, Urgency::patient);
    zero.receive(*answer, now);
    EXPECT_TRUE(zero.all_acknowledged());
  }
  EXPECT_EQ(zero.counters().pieces_resent, 0u);
}

TEST(Multicast, APeerThatIsDownHoldsNobodyUp) {
  WireSimulator net({.nodes = 4, .poll_every = 1ms, .multicast = true});
  net.run_until(5ms);
  net.cut(3);
  const std::uint32_t others[] = {1, 2};
  net.send(0, 3, Lane::any_order, 100);
  while (!net.link(0, 3).down() && net.now() < 20s) net.run_until(net.now() + 10ms);
  ASSERT_TRUE(net.link(0, 3).down());
  const std::size_t before = net.bundles();
  EXPECT_EQ(net.send_each(0, others, Lane::any_order, 100), 2u);
  EXPECT_EQ(net.bundles(), before + 1);
  net.run_until(net.now() + 10ms);
  EXPECT_EQ(net.delivered(), 2u);
}

// --- by way of each other ---

TEST(Tree, NothingIsLostAndNothingComesTwice) {
  std::size_t planted = 0, passed_on = 0;
  for (std::uint64_t seed = 1; seed < 40; ++seed) {
    SCOPED_TRACE(seed);
    const std::uint32_t nodes = 4 + static_cast<std::uint32_t>(seed % 6);
    WireSimulator net({.seed = seed,
                       .nodes = nodes,
                       .slots = seed % 2 == 0 ? 12u : slots_max,
                       .datagram = seed % 3 == 0 ? 500u : 2000u,
                       .faults = unkind_by(seed),
                       .fan_out = 1 + static_cast<std::uint32_t>(seed % 3)});
    EXPECT_TRUE(multicast_history(net, nodes, 300, seed)) << net.missing() << " never came";
    EXPECT_EQ(net.broken(), "");
    planted += net.planted();
    passed_on += net.passed_on();
  }
  EXPECT_GT(planted, 3'000u) << "too few went by a tree: the test proves less than it says";
  EXPECT_GT(passed_on, 3'000u);
}

// Though what is brought by others comes behind what was sent later. But what was not passed on is.
TEST(Tree, OnACleanWireNothingIsSentTwice) {
  for (const std::uint32_t fan_out : {1u, 2u, 4u}) {
    for (const Time poll_every : {20us, 2000us}) {
      SCOPED_TRACE(fan_out);
      WireSimulator net({.nodes = 8, .poll_every = poll_every, .fan_out = fan_out});
      EXPECT_TRUE(multicast_history(net, 8, 1'000, 3)) << net.missing();
      EXPECT_EQ(net.counters().pieces_resent, net.dropped()) << poll_every.count();
      EXPECT_EQ(net.counters().duplicate_packets, 0u);
      EXPECT_LT(net.dropped(), 10u);
      EXPECT_GT(net.passed_on(), 1'000u);
    }
  }
}

// A node's datagrams for many are as many as the tree has branches, and each of the others gets
// one.
TEST(Tree, WhoSendsSendsFew) {
  for (const std::uint32_t fan_out : {1u, 3u, 5u}) {
    SCOPED_TRACE(fan_out);
    WireSimulator net({.nodes = 16, .datagram = 4096, .fan_out = fan_out});
    net.run_until(5ms);
    std::vector<std::uint32_t> to;
    for (std::uint32_t i = 1; i < 16; ++i) to.push_back(i);
    EXPECT_EQ(net.send_each(0, to, Lane::any_order, 40), 15u);
    EXPECT_EQ(net.planted(), fan_out);
    EXPECT_TRUE(net.run_until_quiet(5ms)) << net.missing();
    EXPECT_EQ(net.planted() + net.passed_on(), 15u);
    EXPECT_EQ(net.counters().pieces_resent, 0u);
    // As few as there are branches need none.
    to.resize(fan_out);
    net.send_each(0, to, Lane::any_order, 40);
    EXPECT_EQ(net.planted(), fan_out);
  }
}

// A node that others pass on to stops now and then; what is for it comes from all of them.
WireSimulator tree_flood(std::uint32_t slots) {
  WireSimulator net({.seed = slots,
                     .nodes = flooding_nodes,
                     .slots = slots,
                     .datagram = 1500,
                     .poll_every = 1ms,
                     .fan_out = 2});
  flood(net, 0, [](std::uint32_t burst) { return burst % flooding_nodes; });
  return net;
}

TEST(Tree, WhatIsPassedOnOverrunsNoRing) {
  for (const std::uint32_t slots : {slots_min, 9u, slots_max}) {
    SCOPED_TRACE(slots);
    const WireSimulator net = tree_flood(slots);
    EXPECT_EQ(net.broken(), "");
    EXPECT_EQ(net.missing(), 0u);
    EXPECT_GT(net.passed_on(), 0u);
    EXPECT_TRUE(slots == slots_min || net.counters().asides_sent != 0);
  }
}

// What all others sent by way of node 1 stays there while it is stopped; meanwhile they send it
// again themselves, and then as much as they may to node 0, which is stopped now. Then node 1 goes
// on.
WireSimulator late_flood(ReliableBug bug) {
  constexpr std::uint32_t nodes = 6, many = 40;
  WireSimulator net({.nodes = nodes, .slots = 20, .fan_out = 1, .bug = bug});
  net.run_until(5ms);
  const std::uint32_t by_way_of_1[] = {1, 0};
  net.stop(1);
  for (std::uint32_t from = 2; from < nodes; ++from)
    for (std::uint32_t i = 0; i < many; ++i) net.send_each(from, by_way_of_1, Lane::any_order, 40);
  net.run_until(net.now() + 500ms);
  net.stop(0);
  for (std::uint32_t from = 2; from < nodes; ++from)
    for (std::uint32_t i = 0; i < many; ++i) net.send(from, 0, Lane::any_order, 40);
  net.run_until(net.now() + 1ms);
  net.go_on(1);
  net.run_until(net.now() + 100ms);
  net.go_on(0);
  net.run_until_quiet(60s);
  return net;
}

TEST(Tree, WhatIsPassedOnLateOverrunsNoRing) {
  const WireSimulator net = late_flood(ReliableBug::none);
  EXPECT_EQ(net.broken(), "");
  EXPECT_EQ(net.missing(), 0u);
  EXPECT_GT(net.planted(), 20u);
  EXPECT_GT(net.passed_on(), 0u);
  EXPECT_GT(net.dropped(), 0u) << "it was no flood";
}

// What a child does not pass on its sender sends straight; once it is silent others are the
// children.
TEST(Tree, ANodeThatIsSilentHoldsNobodyUpForLong) {
  for (const bool dies : {false, true}) {
    SCOPED_TRACE(dies);
    WireSimulator net({.nodes = 7, .datagram = 2000, .fan_out = 1});
    net.run_until(5ms);
    if (dies) net.cut(1);
    net.stop(1);
    const std::uint32_t to[] = {1, 2, 3, 4, 5, 6};
    const Time begun = net.now();
    for (std::uint64_t round = 1; round <= 5; ++round) {
      EXPECT_EQ(net.send_each(0, to, Lane::in_order, 40), 6u);
      EXPECT_EQ(net.planted(), round);
      const Time sent = net.now();
      while (net.delivered() < 5 * round && net.now() < sent + 5s) net.run_until(net.now() + 1ms);
      // The first time nobody knows yet; later another one is asked.
      EXPECT_LE(net.now() - sent, round == 1 ? 300ms : 5ms) << round;
      EXPECT_EQ(net.delivered(), 5 * round);
    }
    if (!dies) net.go_on(1);
    net.run_until(begun + 6s);
    EXPECT_EQ(net.link(0, 1).down(), dies);
    EXPECT_EQ(net.missing(), dies ? 5u : 0u);
    EXPECT_EQ(net.broken(), "");
  }
}

bool is_found(ReliableBug bug) {
  if (bug == ReliableBug::aside_is_free) {
    const WireSimulator all = multicast_flood(slots_min, bug);
    const WireSimulator tree = late_flood(bug);
    const auto shows = [](const WireSimulator& net) {
      return !net.broken().empty() || net.missing() != 0;
    };
    return shows(all) && shows(tree);
  }
  if (bug == ReliableBug::overtaken_is_lost) {
    WireSimulator net({.nodes = 8, .fan_out = 2, .bug = bug});
    return !multicast_history(net, 8, 300, 3) || net.counters().pieces_resent > net.dropped();
  }
  for (std::uint64_t seed = 1; seed < 20; ++seed) {
    WireSimulator net({.seed = seed,
                       .nodes = 4,
                       .slots = 9,
                       .datagram = 300,
                       .faults = unkind,
                       .poll_every = 4ms,
                       .bug = bug});
    if (!history(net, 4, 600, seed)) return true;
  }
  const WireSimulator net = flood({.slots = slots_min, .loss = 0, .bug = bug});
  return !net.broken().empty() || net.missing() != 0;
}

TEST(Reliable, PlantedBugsAreFound) {
  EXPECT_FALSE(is_found(ReliableBug::none));
  EXPECT_TRUE(is_found(ReliableBug::duplicate_delivered));
  EXPECT_TRUE(is_found(ReliableBug::lost_piece_forgotten));
  EXPECT_TRUE(is_found(ReliableBug::credits_ignored));
  EXPECT_TRUE(is_found(ReliableBug::retransmission_is_free));
  EXPECT_TRUE(is_found(ReliableBug::order_ignored));
  EXPECT_TRUE(is_found(ReliableBug::aside_is_free));
  EXPECT_TRUE(is_found(ReliableBug::overtaken_is_lost));
}

}  // namespace
}  // namespace dsm::transport
