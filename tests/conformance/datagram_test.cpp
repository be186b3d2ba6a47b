// ReliableChannel over UDP: who is let in, who is named when he is missing, what a stranger's
// datagrams do (nothing), rings that nobody overruns, and a peer that dies in the middle.
#include <poll.h>

#include <thread>

#include "datagram_job.hpp"
#include "transport/ipoib.hpp"

namespace dsm::transport {
namespace {

using Kind = ReliableChannel::Arrival::Kind;
constexpr int short_ms = 500;

void expect_connected(const ChannelNodes& nodes) {
  for (const Status& each : connect_channels(nodes)) ASSERT_TRUE(each.ok()) << each.message();
}

TEST(Datagrams, ANodeOfAnotherJobIsNamedAndNoKeyIsPrinted) {
  ChannelNodes nodes;
  nodes.push_back(std::make_unique<ChannelNode>(
      0, 2, ChannelOptions{.key = "one key", .timeout_ms = short_ms}));
  nodes.push_back(std::make_unique<ChannelNode>(
      1, 2, ChannelOptions{.key = "another key", .timeout_ms = short_ms}));
  const auto results = connect_channels(nodes);
  for (std::uint32_t i = 0; i < 2; ++i) {
    EXPECT_EQ(results[i].code(), Code::timed_out);
    const std::string& text = results[i].message();
    EXPECT_NE(text.find("node " + std::to_string(1 - i) + " "), std::string::npos) << text;
    EXPECT_NE(text.find("another job's key"), std::string::npos) << text;
    EXPECT_EQ(text.find("one key"), std::string::npos) << text;
    EXPECT_EQ(text.find('\n'), std::string::npos);
    EXPECT_GT(nodes[i]->channel->refused().forged, 0u);
  }
}

TEST(Datagrams, AMissingNodeIsNamed) {
  const ChannelNodes nodes = channel_nodes(3, {.timeout_ms = short_ms});
  std::vector<Bytes> addresses;
  for (const auto& node : nodes) addresses.push_back(node->channel->address());
  Status results[2];
  std::thread other([&] { results[1] = nodes[1]->channel->connect(addresses); });
  results[0] = nodes[0]->channel->connect(addresses);
  other.join();
  for (const Status& each : results) {
    EXPECT_EQ(each.code(), Code::timed_out);
    EXPECT_NE(each.message().find("node 2 did not connect"), std::string::npos) << each.message();
  }
}

// Node 0 is connected, and talks to node 2, which has not heard node 1 yet.
TEST(Datagrams, WhoIsConnectedMayTalkToOneThatIsNot) {
  constexpr std::size_t messages = 200;
  const ChannelNodes nodes = channel_nodes(3);
  nodes[1]->port->silent_to = 2;
  std::vector<Bytes> addresses;
  for (const auto& node : nodes) addresses.push_back(node->channel->address());
  std::vector<Status> results(3);
  std::vector<std::thread> others;
  for (std::size_t i = 1; i < 3; ++i)
    others.emplace_back([&, i] {
      results[i] = nodes[i]->channel->connect(addresses);
      if (i == 1) return;
      const double end = now_seconds() + 20;
      while (nodes[i]->count(Kind::message) < messages && now_seconds() < end) nodes[i]->poll();
    });
  results[0] = nodes[0]->channel->connect(addresses);
  ASSERT_TRUE(results[0].ok()) << results[0].message();
  for (std::size_t sent = 0; sent < messages;) {
    sent += nodes[0]->send(2, "are you there").ok() ? 1 : 0;
    nodes[0]->poll();
  }
  const double talked = now_seconds() + 0.2;
  while (now_seconds() < talked) nodes[0]->poll();
  nodes[1]->port->silent_to = no_node.value;
  const double end = now_seconds() + 8;
  while (nodes[2]->channel->counters(NodeId(0)).messages_received < messages && now_seconds() < end)
    nodes[0]->poll();
  for (auto& other : others) other.join();
  for (const Status& each : results) EXPECT_TRUE(each.ok()) << each.message();
  EXPECT_EQ(nodes[2]->count(Kind::message), messages);
}

TEST(Datagrams, AJobOfAnotherSizeIsAStranger) {
  ChannelNode zero(0, 2, {.timeout_ms = short_ms});
  ChannelNode one(1, 3, {.timeout_ms = short_ms});
  const std::vector<Bytes> two{zero.channel->address(), one.channel->address()};
  Status first;
  std::thread other([&] { first = zero.channel->connect(two); });
  EXPECT_EQ(one.channel->connect(two).code(), Code::invalid);
  const Status second = one.channel->connect(std::vector<Bytes>{two[0], two[1], two[0]});
  other.join();
  EXPECT_EQ(first.code(), Code::timed_out);
  EXPECT_EQ(second.code(), Code::timed_out);
}

TEST(Datagrams, AnAddressOfAnotherWireIsNamed) {
  ChannelNode zero(0, 2, {.timeout_ms = short_ms});
  for (const Bytes& wrong : {Bytes{}, Bytes(3), Bytes(300, std::byte{0xff}), Bytes(47)}) {
    ChannelNode node(0, 2, {.timeout_ms = short_ms});
    const Status result = node.channel->connect(std::vector<Bytes>{node.channel->address(), wrong});
    EXPECT_EQ(result.code(), Code::invalid) << result.message();
    EXPECT_NE(result.message().find("node 1"), std::string::npos) << result.message();
  }
}

TEST(Datagrams, NoKeyIsRefused) {
  const auto made = ReliableChannel::make(nullptr, {.wire = "udp", .nodes = 2});
  EXPECT_EQ(made.status().code(), Code::invalid);
}

TEST(Datagrams, ARingThatIsTooShortIsRefusedWithItsLimit) {
  ChannelNode zero(0, 4, {.timeout_ms = short_ms, .slots = 3 * slots_min - 1});
  const std::vector<Bytes> same(4, zero.channel->address());
  const Status result = zero.channel->connect(same);
  EXPECT_EQ(result.code(), Code::exhausted);
  EXPECT_NE(result.message().find("of 11 datagrams"), std::string::npos) << result.message();
  EXPECT_NE(result.message().find("net.core.rmem_max"), std::string::npos) << result.message();
}

TEST(Datagrams, StrangersAreDroppedCountedAndDisturbNobody) {
  ChannelNodes old = channel_nodes(2);
  old[0]->port->recording = true;
  expect_connected(old);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(old[0]->send(1, "of an old session").ok());
  ASSERT_TRUE(pump_channels(old, [&] { return old[1]->got.size() == 20; }));
  const std::vector<Bytes> replayed = old[0]->port->recorded;
  old.clear();

  const ChannelNodes nodes = channel_nodes(2);
  nodes[0]->port->recording = true;
  expect_connected(nodes);
  ASSERT_TRUE(nodes[0]->send(1, "one").ok());
  ASSERT_TRUE(pump_channels(nodes, [&] { return nodes[1]->got.size() == 1; }));
  const std::vector<Bytes> current = nodes[0]->port->recorded;
  ASSERT_FALSE(current.empty());

  // An old session's.
  for (const Bytes& each : replayed) nodes[1]->inject(each);
  // Garbage of all lengths; truncated and altered ones of this session; another sender's name.
  for (std::size_t size = 0; size < 200; ++size) {
    const std::string text = pattern(size, size);
    nodes[1]->inject(std::as_bytes(std::span(text)));
  }
  for (std::size_t i = 0; i < 200; ++i) {
    Bytes bytes = current[i % current.size()];
    if (i % 2 == 0)
      bytes.resize(i * bytes.size() / 200);
    else
      bytes[i % bytes.size()] ^= std::byte{0x10};
    nodes[1]->inject(bytes);
    nodes[1]->poll();
  }
  const ReliableCounters before = nodes[1]->channel->counters();
  // This session's own, again.
  for (const Bytes& each : current) nodes[1]->inject(each);
  ASSERT_TRUE(nodes[0]->send(1, "two").ok());
  ASSERT_TRUE(pump_channels(nodes, [&] { return nodes[1]->got.size() >= 2; }));
  for (int i = 0; i < 100; ++i) nodes[1]->poll();
  ASSERT_EQ(nodes[1]->got.size(), 2u) << "a stranger was heard";
  EXPECT_EQ(nodes[1]->got[0].bytes, "one");
  EXPECT_EQ(nodes[1]->got[1].bytes, "two");
  const Refused refused = nodes[1]->channel->refused();
  EXPECT_GT(refused.truncated, 60u);
  EXPECT_GT(refused.foreign, 100u);
  EXPECT_GE(refused.forged, replayed.size());
  EXPECT_EQ(refused.malformed, 0u);
  EXPECT_GE(nodes[1]->channel->counters().duplicate_packets,
            before.duplicate_packets + current.size() / 2);
}

TEST(Datagrams, AFloodByAllOthersOverrunsNothing) {
  for (const std::size_t slots : {std::size_t{0}, std::size_t{3 * slots_min}}) {
    const ChannelNodes nodes = channel_nodes(4, {.slots = slots});
    expect_connected(nodes);
    constexpr std::size_t each = 3000;
    std::atomic<bool> done{false};
    std::vector<std::thread> senders;
    for (std::uint32_t from = 1; from < 4; ++from) {
      senders.emplace_back([&, from] {
        const std::string text = pattern(700, from);
        for (std::size_t sent = 0; sent < each || !done;) {
          if (sent < each && nodes[from]->send(0, text).ok()) {
            ++sent;
            continue;
          }
          nodes[from]->poll();
          std::this_thread::yield();
        }
      });
    }
    const double end = now_seconds() + 60;
    while (nodes[0]->got.size() < 3 * each && now_seconds() < end) {
      nodes[0]->poll();
      if (nodes[0]->got.size() % 1000 < 3)
        std::this_thread::sleep_for(std::chrono::milliseconds(30));  // let the ring fill
    }
    done = true;
    for (auto& sender : senders) sender.join();
    EXPECT_EQ(nodes[0]->count(Kind::message), 3 * each);
    EXPECT_EQ(nodes[0]->count(Kind::peer_down), 0u);
    for (const auto& node : nodes) {
      EXPECT_EQ(node->port->udp().overruns(), 0u);
      const ReliableCounters counters = node->channel->counters();
      EXPECT_LE(counters.pieces_resent * 1000, counters.pieces_sent)
          << counters.pieces_resent << " of " << counters.pieces_sent;
    }
    EXPECT_GT(nodes[1]->channel->counters().credit_waits, 0u) << "it was no flood";
  }
}

TEST(Datagrams, APeerThatFallsSilentInTheMiddleOfAMessageIsDownInTime) {
  const ChannelNodes nodes = channel_nodes(3);
  expect_connected(nodes);
  ASSERT_TRUE(nodes[1]->send(0, "whole").ok());
  ASSERT_TRUE(pump_channels(nodes, [&] { return nodes[0]->got.size() == 1; }));
  const std::string text = pattern(30u << 20, 1);
  nodes[1]->port->sends_left = 100;
  ASSERT_TRUE(pump_channels(nodes, [&] { return nodes[1]->send(0, text).ok(); }));
  const double cut = now_seconds();
  // Node 0 sleeps when nothing comes; node 1 goes on reading.
  std::atomic<bool> done{false};
  std::thread others([&] {
    while (!done) {
      nodes[1]->poll();
      nodes[2]->poll();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  while (nodes[0]->count(Kind::peer_down) == 0 && now_seconds() < cut + 10) {
    if (nodes[0]->poll() != 0 || !nodes[0]->channel->arm()) continue;
    pollfd one{.fd = nodes[0]->channel->wait_fd(), .events = POLLIN, .revents = 0};
    if (::poll(&one, 1, 5000) == 0) break;
  }
  const double took = now_seconds() - cut;
  done = true;
  others.join();
  ASSERT_EQ(nodes[0]->got.size(), 2u);
  EXPECT_EQ(nodes[0]->got.back().kind, Kind::peer_down);
  EXPECT_EQ(nodes[0]->got.back().peer, NodeId(1));
  EXPECT_LT(took, 5.0);
  EXPECT_GT(took, 3.0) << "a stop of 3 s is no death";
  EXPECT_EQ(nodes[0]->send(1, "gone").code(), Code::peer_lost);
  EXPECT_TRUE(nodes[0]->send(2, "here").ok());
}

TEST(Datagrams, InOrderIsInOrderFromManyThreads) {
  const ChannelNodes nodes = channel_nodes(2);
  expect_connected(nodes);
  std::mutex order;
  std::uint64_t next = 0;
  std::vector<std::thread> senders;
  constexpr std::uint64_t count = 2000;
  for (int t = 0; t < 3; ++t) {
    senders.emplace_back([&] {
      for (;;) {
        const std::lock_guard hold(order);
        if (next == count) return;
        const std::string text = std::to_string(next) + ":" + pattern(next * 37 % 5000, next);
        if (nodes[0]->send(1, text, Lane::in_order).ok()) ++next;
      }
    });
  }
  EXPECT_TRUE(pump_channels(nodes, [&] { return nodes[1]->got.size() == count; }));
  for (auto& sender : senders) sender.join();
  for (std::uint64_t i = 0; i < nodes[1]->got.size(); ++i)
    ASSERT_EQ(nodes[1]->got[i].bytes.substr(0, nodes[1]->got[i].bytes.find(':')),
              std::to_string(i));
}

// --- which interface ---

TEST(IpoibInterfaces, TheOneOfItsKindIsFoundAndOthersAreRefusedWithAList) {
  const Interface lo{.name = "lo", .is_up = true, .has_address = true, .is_loopback = true};
  const Interface eth0{.name = "eth0", .is_up = true, .has_address = true};
  const Interface ib0{.name = "ib0", .is_infiniband = true, .is_up = false, .has_address = true};
  const Interface ib1{.name = "ib1", .is_infiniband = true, .is_up = true, .has_address = true};
  const Interface bare{.name = "ib2", .is_infiniband = true, .is_up = true};

  EXPECT_EQ(choose_interface({lo, eth0, ib0, ib1}, "", false).value(), 3u);
  EXPECT_EQ(choose_interface({lo, eth0, ib1}, "ib1", false).value(), 2u);
  EXPECT_EQ(choose_interface({lo, eth0}, "eth0", true).value(), 1u);
  EXPECT_EQ(choose_interface({eth0, lo}, "", true).value(), 1u);

  const auto says = [](const Result<std::size_t>& result, const char* what) {
    ASSERT_FALSE(result.ok());
    EXPECT_NE(result.status().message().find(what), std::string::npos) << result.status().message();
  };
  says(choose_interface({lo, eth0, ib0, ib1}, "eth0", false), "those that are: ib0, ib1");
  says(choose_interface({lo, eth0}, "eth0", false), "this host has none");
  says(choose_interface({lo, eth0, ib1}, "ib7", false), "there are: ib1");
  says(choose_interface({lo, eth0}, "", false), "ib_ipoib");
  says(choose_interface({lo, ib0}, "", false), "ip link set ib0 up");
  says(choose_interface({lo, bare}, "", false), "ip address add ADDRESS/BITS dev ib2");
  says(choose_interface({lo, bare}, "ib2", true), "ip address add");
}

// --- ports that move, or fail ---

Bytes bytes_of(std::string_view text) {
  const ByteView view = std::as_bytes(std::span(text));
  return Bytes(view.begin(), view.end());
}

TEST(Datagrams, NewsOfAPortReachAllPeersThoughTheFirstAreLost) {
  const ChannelNodes nodes = channel_nodes(3);
  expect_connected(nodes);
  for (const char* const news : {"I have moved", "and again"}) {
    nodes[0]->port->sends_left = 0;
    nodes[0]->port->news = bytes_of(news);
    pump_channels(nodes, [&] { return nodes[0]->port->news.empty(); });
    pump_channels(
        nodes, [] { return false; }, 0.05);
    EXPECT_NE(nodes[1]->port->heard[0], news);
    nodes[0]->port->sends_left = 1L << 40;
    ASSERT_TRUE(pump_channels(nodes, [&] {
      return nodes[1]->port->heard[0] == news && nodes[2]->port->heard[0] == news;
    }));
    EXPECT_TRUE(nodes[0]->port->heard.empty());
  }
  // Nothing else suffers.
  ASSERT_TRUE(nodes[0]->send(1, "still here").ok());
  ASSERT_TRUE(pump_channels(nodes, [&] { return nodes[1]->count(Kind::message) == 1; }));
}

TEST(Datagrams, APortThatFailedNamesThisNodeOnce) {
  const ChannelNodes nodes = channel_nodes(3);
  expect_connected(nodes);
  nodes[1]->port->failure_text = "the wire was cut";
  pump_channels(
      nodes, [] { return false; }, 0.05);
  ASSERT_EQ(nodes[1]->got.size(), 1u);
  EXPECT_EQ(nodes[1]->got[0].kind, Kind::peer_down);
  EXPECT_EQ(nodes[1]->got[0].peer, NodeId(1));
  EXPECT_EQ(nodes[1]->got[0].bytes, "the wire was cut");
  EXPECT_TRUE(nodes[0]->got.empty());
}

TEST(Datagrams, SilenceOfAllIsTheFaultOfAPortInTrouble) {
  const ChannelNodes nodes = channel_nodes(2);
  expect_connected(nodes);
  nodes[0]->port->sends_left = 0;
  nodes[0]->port->trouble_text = "the port is down";
  ASSERT_TRUE(pump_channels(
      nodes, [&] { return !nodes[0]->got.empty() && !nodes[1]->got.empty(); }, 10));
  EXPECT_EQ(nodes[0]->got[0].peer, NodeId(0));
  EXPECT_EQ(nodes[0]->got[0].bytes, "the port is down");
  EXPECT_EQ(nodes[1]->got[0].peer, NodeId(0)) << "the other one only hears nothing";
  EXPECT_TRUE(nodes[1]->got[0].bytes.empty());
}

}  // namespace
}  // namespace dsm::transport
