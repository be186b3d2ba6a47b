// Messages for several nodes as one datagram for all: who gets it, what is done for who does not,
// and what is dropped. Over UDP behind a port that plays multicast.
#include <cstring>
#include <thread>

#include "datagram_job.hpp"

namespace dsm::transport {
namespace {

using Kind = ReliableChannel::Arrival::Kind;

constexpr std::size_t datagram_bytes = 2000;

class Multicast : public testing::Test {
 protected:
  void make(std::uint32_t count, ChannelOptions options = {}) {
    options.multicast = datagram_bytes;
    nodes = channel_nodes(count, options);
    for (const Status& each : connect_channels(nodes)) ASSERT_TRUE(each.ok()) << each.message();
  }
  // Node 0 sends each of them a text of its own.
  void send_each(std::initializer_list<std::uint32_t> to, const std::string& text,
                 Code expected = Code::ok) {
    std::vector<std::string> texts;
    for (const std::uint32_t each : to) texts.push_back(text + " to " + std::to_string(each));
    std::vector<Letter> letters;
    for (const std::uint32_t each : to)
      letters.push_back(
          {.to = NodeId(each), .message = std::as_bytes(std::span(texts[letters.size()]))});
    nodes[0]->channel->send_each(Lane::any_order, letters);
    for (const Letter& each : letters) EXPECT_EQ(each.code, expected);
  }
  // All of them have that text, and as the last of so many.
  bool have(std::initializer_list<std::uint32_t> which, const std::string& text,
            std::size_t count = 1) {
    return pump_channels(nodes, [&] {
      return std::all_of(which.begin(), which.end(), [&](std::uint32_t i) {
        const auto& got = nodes[i]->got;
        return got.size() == count && got.back().bytes == text + " to " + std::to_string(i);
      });
    });
  }
  std::uint64_t sent_to_all() const { return nodes[0]->channel->tally().multicast; }
  void settle_briefly() {
    pump_channels(
        nodes, [] { return false; }, 0.002);
  }
  void settle() {
    pump_channels(
        nodes, [] { return false; }, 0.05);
  }

  ChannelNodes nodes;
};

TEST_F(Multicast, MessagesToAllAreOneDatagram) {
  make(4);
  settle();
  const Tally before = nodes[0]->channel->tally();
  send_each({1, 2, 3}, "hear this");
  EXPECT_EQ(sent_to_all(), 1u);
  EXPECT_EQ(nodes[0]->channel->tally().datagrams, before.datagrams + 1);
  ASSERT_TRUE(have({1, 2, 3}, "hear this"));
  settle();
  EXPECT_TRUE(nodes[0]->got.empty()) << "what came back to its sender was taken for a message";
  for (const auto& node : nodes) EXPECT_EQ(node->channel->refused().sum(), 0u);
  EXPECT_EQ(nodes[0]->channel->counters().pieces_resent, 0u);
}

TEST_F(Multicast, AllButOneIsStillAllAndFewerIsNot) {
  make(5);
  send_each({1, 2, 4}, "not for you, 3");
  EXPECT_EQ(sent_to_all(), 1u);
  EXPECT_EQ(nodes[0]->channel->counters(NodeId(3)).asides_sent, 1u);
  ASSERT_TRUE(have({1, 2, 4}, "not for you, 3"));
  settle();
  EXPECT_TRUE(nodes[3]->got.empty());
  send_each({1, 2}, "few");
  EXPECT_EQ(sent_to_all(), 1u);
  ASSERT_TRUE(have({1, 2}, "few", 2));
}

TEST_F(Multicast, WhatOneNodeMissesIsSentToItAlone) {
  make(4);
  settle();
  nodes[0]->port->silent_to = 2;
  send_each({1, 2, 3}, "here");
  ASSERT_TRUE(have({1, 3}, "here"));
  EXPECT_TRUE(nodes[2]->got.empty());
  nodes[0]->port->silent_to = no_node.value;
  ASSERT_TRUE(have({2}, "here"));
  settle();
  EXPECT_EQ(sent_to_all(), 1u);
  EXPECT_EQ(nodes[0]->channel->counters(NodeId(2)).pieces_resent, 1u);
  EXPECT_EQ(nodes[0]->channel->counters().pieces_resent, 1u) << "others were sent it again, too";
  for (std::uint32_t i = 1; i < 4; ++i) EXPECT_EQ(nodes[i]->got.size(), 1u);
}

TEST_F(Multicast, WhatIsTooLongGoesToEachAlone) {
  make(4);
  const std::string longer(datagram_bytes, 'x');
  send_each({1, 2, 3}, longer);
  ASSERT_TRUE(have({1, 2, 3}, longer));
  EXPECT_EQ(sent_to_all(), 0u);
  // The same bytes for all are there once.
  const std::string same(datagram_bytes / 2, 'y');
  std::vector<Letter> letters;
  for (std::uint32_t i = 1; i < 4; ++i)
    letters.push_back({.to = NodeId(i), .message = std::as_bytes(std::span(same))});
  nodes[0]->channel->send_each(Lane::in_order, letters);
  EXPECT_EQ(sent_to_all(), 1u);
  ASSERT_TRUE(pump_channels(nodes, [&] {
    return std::all_of(nodes.begin() + 1, nodes.end(), [&](const auto& node) {
      return node->got.size() == 2 && node->got.back().bytes == same;
    });
  }));
}

TEST_F(Multicast, APortThatHasNoneAnyMoreSendsToEachAlone) {
  make(3);
  send_each({1, 2}, "one");
  ASSERT_TRUE(have({1, 2}, "one"));
  nodes[0]->port->multicast_works = false;
  send_each({1, 2}, "two");
  ASSERT_TRUE(have({1, 2}, "two", 2));
  EXPECT_EQ(sent_to_all(), 1u);
}

// Node 3 reads nothing, so that its slots are soon spent. The others are not held up, and its ring,
// whose length is just what is promised, takes all that comes.
TEST_F(Multicast, WithoutASlotAtEveryNodeItGoesToEachAlone) {
  constexpr std::size_t count = 100;
  make(4);
  settle();
  const ChannelNode* const deaf = nodes[3].get();
  const auto pump_others = [&](const std::function<bool()>& done) {
    const double end = now_seconds() + 2;
    while (!done() && now_seconds() < end)
      for (std::uint32_t i = 0; i < 3; ++i) nodes[i]->poll();
    return done();
  };
  for (std::size_t i = 0; i < count; ++i) {
    send_each({1, 2}, "m" + std::to_string(i));
    ASSERT_TRUE(pump_others([&] { return nodes[1]->got.size() > i && nodes[2]->got.size() > i; }))
        << i;
  }
  EXPECT_LE(sent_to_all(), slots_max);
  EXPECT_GT(sent_to_all(), slots_max / 2);
  EXPECT_TRUE(deaf->got.empty());
  send_each({1, 2, 3}, "at last");
  ASSERT_TRUE(have({3}, "at last"));
  ASSERT_TRUE(have({1, 2}, "at last", count + 1));
  for (const auto& node : nodes) EXPECT_EQ(node->port->udp().overruns(), 0u);
}

TEST_F(Multicast, ReplayedAlteredAndForeignOnesAreDropped) {
  make(3);
  settle();
  nodes[0]->port->recording = true;
  send_each({1, 2}, "once");
  ASSERT_TRUE(have({1, 2}, "once"));
  settle();
  ASSERT_FALSE(nodes[0]->port->recorded.empty());
  const Bytes bundle = nodes[0]->port->recorded.front();
  const ReliableChannel& one = *nodes[1]->channel;

  const std::uint64_t duplicates = one.counters(NodeId(0)).duplicate_packets;
  nodes[1]->inject(bundle);
  settle();
  EXPECT_EQ(one.counters(NodeId(0)).duplicate_packets, duplicates + 1);

  // Every bit of it matters to somebody; to this node, those of its own part.
  std::size_t dropped = 0;
  for (std::size_t i = 0; i < bundle.size(); i += 3) {
    Bytes altered = bundle;
    altered[i] ^= std::byte{0x10};
    const std::uint64_t before = one.refused().sum();
    nodes[1]->inject(altered);
    settle_briefly();
    dropped += one.refused().sum() != before ? 1 : 0;
  }
  EXPECT_GT(dropped, 20u);

  // What another session says, in an envelope that names this one's node.
  ChannelNodes ours = std::move(nodes);
  make(3);
  nodes[0]->port->recording = true;
  send_each({1, 2}, "stranger");
  const Bytes foreign = nodes[0]->port->recorded.front();
  std::swap(ours, nodes);
  const std::uint64_t forged = one.refused().forged;
  nodes[1]->inject(foreign);
  settle();
  EXPECT_EQ(one.refused().forged, forged + 1);
  EXPECT_EQ(nodes[1]->got.size(), 1u);
  EXPECT_EQ(nodes[2]->got.size(), 1u);
}

TEST_F(Multicast, ManyThreadsSendToAllAndToOneAtOnce) {
  constexpr int threads = 3, each = 300;
  make(4);
  std::vector<std::thread> senders;
  std::atomic<int> left{threads};
  for (int t = 0; t < threads; ++t) {
    senders.emplace_back([&, t] {
      for (int i = 0; i < each; ++i) {
        const std::string text = std::to_string(t) + ":" + std::to_string(i);
        std::vector<Letter> letters;
        for (std::uint32_t to = 1; to < 4; ++to)
          letters.push_back({.to = NodeId(to), .message = std::as_bytes(std::span(text))});
        while (!letters.empty()) {
          nodes[0]->channel->send_each(Lane::any_order, letters);
          std::erase_if(letters, [](const Letter& l) { return l.code == Code::ok; });
        }
      }
      --left;
    });
  }
  constexpr std::size_t all = threads * each;
  EXPECT_TRUE(pump_channels(nodes, [&] {
    return left == 0 && nodes[1]->got.size() == all && nodes[2]->got.size() == all &&
           nodes[3]->got.size() == all;
  }));
  for (auto& sender : senders) sender.join();
  for (std::uint32_t i = 1; i < 4; ++i) {
    std::map<std::string, int> seen;
    for (const auto& got : nodes[i]->got) ++seen[got.bytes];
    EXPECT_EQ(seen.size(), all);
  }
  EXPECT_GT(sent_to_all(), 0u);
}

}  // namespace
}  // namespace dsm::transport
