// Messages for many nodes by way of each other: who sends how much, what is done about a node that
// passes nothing on, and what is not passed on. Over UDP behind a port that asks for a tree.
#include <algorithm>
#include <thread>

#include "datagram_job.hpp"
#include "transport/bundle.hpp"

namespace dsm::transport {
namespace {

using Kind = ReliableChannel::Arrival::Kind;

class Trees : public testing::Test {
 protected:
  void make(std::uint32_t count, std::uint32_t fan_out, Time dead_after = dead_after_default) {
    nodes = channel_nodes(count, {.fan_out = fan_out, .dead_after = dead_after});
    for (const Status& each : connect_channels(nodes)) ASSERT_TRUE(each.ok()) << each.message();
    settle();
  }
  // Node 0 sends all others a text of their own; `lost` is refused.
  void send_to_others(const std::string& text, NodeId lost = no_node) {
    std::vector<std::string> texts;
    for (std::size_t i = 0; i < nodes.size(); ++i) texts.push_back(text + std::to_string(i));
    std::vector<Letter> letters;
    for (NodeId to{1}; to.value < nodes.size(); ++to)
      letters.push_back({.to = to, .message = std::as_bytes(std::span(texts[to.value]))});
    nodes[0]->channel->send_each(Lane::any_order, letters);
    for (const Letter& each : letters)
      EXPECT_EQ(each.code, each.to == lost ? Code::peer_lost : Code::ok);
  }
  bool has(std::size_t i, const std::string& text) const {
    const auto& got = nodes[i]->got;
    return std::any_of(
        got.begin(), got.end(),
        [wanted = text + std::to_string(i)](const auto& each) { return each.bytes == wanted; });
  }
  // All have that text but this one, which does nothing meanwhile.
  bool come(const std::string& text, std::size_t but = 0, double seconds = 20) {
    const double end = now_seconds() + seconds;
    for (;;) {
      bool all = true;
      for (std::size_t i = 0; i < nodes.size(); ++i) {
        if (i != 0 && i == but) continue;
        nodes[i]->poll();
        all = all && (i == 0 || has(i, text));
      }
      if (all || now_seconds() > end) return all;
      std::this_thread::yield();
    }
  }
  void settle() {
    pump_channels(
        nodes, [] { return false; }, 0.05);
  }
  std::uint64_t relayed(std::size_t i) const { return nodes[i]->channel->tally().relayed; }
  std::uint64_t relayed() const {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < nodes.size(); ++i) sum += relayed(i);
    return sum;
  }
  std::uint64_t resent() const {
    std::uint64_t sum = 0;
    for (const auto& node : nodes) sum += node->channel->counters().pieces_resent;
    return sum;
  }

  ChannelNodes nodes;
};

TEST_F(Trees, EveryNodeGetsOneDatagramAndNobodySendsMany) {
  make(8, 2);
  const std::uint64_t before = nodes[0]->channel->tally().datagrams;
  send_to_others("hear this, ");
  EXPECT_EQ(relayed(0), 2u);
  EXPECT_EQ(nodes[0]->channel->tally().datagrams, before + 2);
  EXPECT_EQ(nodes[0]->channel->tally().multicast, 0u);
  ASSERT_TRUE(come("hear this, "));
  settle();
  EXPECT_EQ(relayed(), 7u);
  for (const auto& node : nodes) {
    EXPECT_LE(node->channel->tally().relayed, 2u);
    EXPECT_EQ(node->channel->refused().sum(), 0u);
    EXPECT_LE(node->got.size(), 1u);
  }
  EXPECT_EQ(resent(), 0u);
}

TEST_F(Trees, WhatIsForFewOrTooLongGoesToEachAlone) {
  make(5, 4);
  send_to_others("few ");
  ASSERT_TRUE(come("few "));
  EXPECT_EQ(relayed(), 0u);
  nodes.clear();
  make(5, 2);
  const std::string longer(100'000, 'x');
  send_to_others(longer);
  ASSERT_TRUE(come(longer));
  EXPECT_EQ(relayed(), 0u);
}

// Its ring takes what comes, and when it goes on nothing that it passes on is taken twice.
TEST_F(Trees, ANodeThatSleepsKeepsNobodyWaiting) {
  constexpr int rounds = 100;
  make(6, 1);
  for (int round = 0; round < rounds; ++round) {
    const std::string text = "round " + std::to_string(round) + ", ";
    send_to_others(text);
    ASSERT_TRUE(come(text, 1)) << round;
  }
  EXPECT_TRUE(nodes[1]->got.empty());
  ASSERT_TRUE(pump_channels(nodes, [&] { return nodes[1]->got.size() == rounds; }));
  settle();
  for (std::size_t i = 1; i < nodes.size(); ++i)
    EXPECT_EQ(nodes[i]->got.size(), std::size_t{rounds});
  for (const auto& node : nodes) EXPECT_EQ(node->port->udp().overruns(), 0u);
}

TEST_F(Trees, ANodeThatDiesAmongThemIsLostAndTheOthersAreNot) {
  make(6, 2, std::chrono::seconds(1));
  nodes[1]->port->sends_left = 0;
  send_to_others("after ");
  ASSERT_TRUE(come("after ", 1));
  ASSERT_TRUE(pump_channels(nodes, [&] { return nodes[0]->count(Kind::peer_down) != 0; }));
  EXPECT_EQ(nodes[0]->got.back().peer, NodeId(1));
  send_to_others("and on ", NodeId(1));
  EXPECT_TRUE(come("and on ", 1));
}

// A bundle is as good as its first packet; the others are, each, as good as their seals.
TEST_F(Trees, WhatIsReplayedOrForgedIsNotPassedOn) {
  make(4, 1);
  nodes[0]->port->recording = true;
  send_to_others("once ");
  ASSERT_TRUE(come("once "));
  settle();
  const auto& recorded = nodes[0]->port->recorded;
  const auto found = std::find_if(recorded.begin(), recorded.end(),
                                  [](const Bytes& each) { return Bundle::is_one(each); });
  ASSERT_NE(found, recorded.end());
  const Bytes bundle = *found;
  const std::uint64_t passed_on = relayed(1);
  EXPECT_EQ(passed_on, 1u);
  const auto settle_briefly = [&] {
    pump_channels(
        nodes, [] { return false; }, 0.002);
  };
  nodes[1]->inject(bundle);
  settle();
  for (std::size_t i = 0; i < bundle.size(); i += 5) {
    Bytes altered = bundle;
    altered[i] ^= std::byte{0x10};
    nodes[1]->inject(altered);
    settle_briefly();
  }
  nodes[1]->inject(ByteView(bundle).first(bundle.size() / 2));
  settle();
  EXPECT_EQ(relayed(1), passed_on);
  EXPECT_GT(nodes[1]->channel->refused().forged, 0u);

  // A new first packet with others behind it that nobody sealed.
  nodes[0]->port->recorded.clear();
  nodes[0]->port->silent_to = 1;
  send_to_others("twice ");
  nodes[0]->port->silent_to = no_node.value;
  const auto again = std::find_if(recorded.begin(), recorded.end(),
                                  [](const Bytes& each) { return Bundle::is_one(each); });
  ASSERT_NE(again, recorded.end());
  Bytes forged = *again;
  forged[forged.size() - 1] ^= std::byte{1};
  nodes[1]->inject(forged);
  ASSERT_TRUE(come("twice "));
  settle();
  for (std::size_t i = 1; i < nodes.size(); ++i) EXPECT_EQ(nodes[i]->got.size(), 2u);
}

TEST_F(Trees, ManyThreadsSendWhileOthersPassOn) {
  constexpr int threads = 2, each = 200;
  make(5, 2);
  std::vector<std::thread> senders;
  std::atomic<int> left{threads};
  for (int t = 0; t < threads; ++t) {
    senders.emplace_back([&, t] {
      const std::uint32_t self = static_cast<std::uint32_t>(t) * 2;
      for (int i = 0; i < each; ++i) {
        const std::string text = std::to_string(t) + ":" + std::to_string(i);
        std::vector<Letter> letters;
        for (std::uint32_t to = 0; to < 5; ++to)
          if (to != self)
            letters.push_back({.to = NodeId(to), .message = std::as_bytes(std::span(text))});
        while (!letters.empty()) {
          nodes[self]->channel->send_each(Lane::any_order, letters);
          std::erase_if(letters, [](const Letter& l) { return l.code == Code::ok; });
        }
      }
      --left;
    });
  }
  const auto expected = [](std::size_t i) {
    return static_cast<std::size_t>(each) * (i == 0 || i == 2 ? threads - 1 : threads);
  };
  EXPECT_TRUE(pump_channels(nodes, [&] {
    for (std::size_t i = 0; i < nodes.size(); ++i)
      if (nodes[i]->got.size() != expected(i)) return false;
    return left == 0;
  }));
  for (auto& sender : senders) sender.join();
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    std::map<std::string, int> seen;
    for (const auto& got : nodes[i]->got) ++seen[got.bytes];
    EXPECT_EQ(seen.size(), expected(i));
  }
  EXPECT_GT(relayed(0) + relayed(2), 0u);
  EXPECT_GT(relayed(1) + relayed(3) + relayed(4), 0u);
}

}  // namespace
}  // namespace dsm::transport
