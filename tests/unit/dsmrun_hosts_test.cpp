// Hosts, their shares of the ranks, and what dsmrun and its agents say to each other.
#include "dsmrun_hosts.hpp"

#include <gtest/gtest.h>

#include <random>

#include "dsmrun_wire.hpp"

namespace dsm::run {
namespace {

using Hosts = std::vector<Host>;
using Shares = std::vector<Share>;

TEST(Hosts, AreNamesWithSlots) {
  auto hosts = parse_hosts("a:2,b,10.0.0.7:12,[fe80::1]:3,fe80::2,user@c");
  ASSERT_TRUE(hosts.ok()) << hosts.status().message();
  EXPECT_EQ(
      *hosts,
      (Hosts{
          {"a", 2}, {"b", {}}, {"10.0.0.7", 12}, {"fe80::1", 3}, {"fe80::2", {}}, {"user@c", {}}}));
}

TEST(Hosts, BadOnesAreNamed) {
  const std::pair<const char*, const char*> wrong[] = {
      {"", "no name"},         {"a,,b", "no name"},     {"a:0", "\"0\""},
      {"a:many", "many"},      {"a:4097", "4096"},      {"a,b,a:2", "a is listed twice"},
      {"-x", "\"-x\""},        {"a b", "\"a b\""},      {"a;reboot", "a;reboot"},
      {"[fe80::1", "\"]\""},   {"[fe80::1]2", "slots"}, {"a:", "\"\""},
      {"$(reboot)", "no name"}};
  for (const auto& [text, word] : wrong) {
    const auto hosts = parse_hosts(text);
    ASSERT_FALSE(hosts.ok()) << text;
    EXPECT_NE(hosts.status().message().find(word), std::string::npos) << hosts.status().message();
  }
}

TEST(Hosts, OfAFile) {
  auto hosts = parse_hostfile("# the rack\n\na 2\n  b slots=3  # twice as fast\nc\n", "rack");
  ASSERT_TRUE(hosts.ok()) << hosts.status().message();
  EXPECT_EQ(*hosts, (Hosts{{"a", 2}, {"b", 3}, {"c", {}}}));
  const std::pair<const char*, const char*> wrong[] = {{"# nothing\n", "rack names no host"},
                                                       {"a\nb x\n", "rack, line 2"},
                                                       {"a 1 2\n", "too much"},
                                                       {"a\n\na\n", "rack, line 3"}};
  for (const auto& [text, word] : wrong) {
    const auto status = parse_hostfile(text, "rack").status();
    EXPECT_NE(status.message().find(word), std::string::npos) << status.message();
  }
  EXPECT_NE(read_hostfile("/nonexistent/rack").status().message().find("/nonexistent/rack"),
            std::string::npos);
}

Shares shares(const Hosts& hosts, std::uint32_t nodes) {
  auto placed = place(hosts, nodes);
  return placed.ok() ? *placed : Shares{};
}

TEST(Hosts, RanksComeInBlocks) {
  EXPECT_EQ(shares({{"a", {}}, {"b", {}}}, 4), (Shares{{"a", 0, 2}, {"b", 2, 2}}));
  EXPECT_EQ(shares({{"a", {}}, {"b", {}}, {"c", {}}}, 4),
            (Shares{{"a", 0, 1}, {"b", 1, 1}, {"c", 2, 2}}));
  EXPECT_EQ(shares({{"a", {}}, {"b", {}}}, 1), (Shares{{"b", 0, 1}}));
  EXPECT_EQ(shares({{"a", 3}, {"b", {}}, {"c", 8}}, 6),
            (Shares{{"a", 0, 3}, {"b", 3, 1}, {"c", 4, 2}}));
  EXPECT_EQ(shares({{"a", 3}, {"b", 2}}, 2), (Shares{{"a", 0, 2}}));
}

TEST(Hosts, TooFewSlotsAreCounted) {
  const auto shares = place({{"a", 1}, {"b", 2}}, 8);
  ASSERT_FALSE(shares.ok());
  EXPECT_NE(shares.status().message().find("3 slots"), std::string::npos);
  EXPECT_NE(shares.status().message().find("a:6"), std::string::npos);
}

// --- the wire to an agent ---------------------------------------------------------------------

std::vector<AgentMessage> samples() {
  Order order;
  order.nodes = 7;
  order.first = 2;
  order.count = 3;
  order.bind = Binding::core;
  order.rendezvous = "10.0.0.1:7000";
  order.key = std::string(64, 'f');
  order.directory = "/somewhere";
  order.program = "/bin/true";
  order.command = {"true", "", "two words"};
  order.environment = {{"DSM_CACHE", "1G"}, {"EMPTY", ""}};
  return {order, SignalRanks{15}, Output{3, true, std::string("a\0b", 3)},
          RankEnded{End{4, 0, 11, true}}, AgentFailed{127, "no such program"}};
}

TEST(AgentWire, MessagesArriveAsTheyLeft) {
  AgentStream stream(true);
  for (const AgentMessage& message : samples()) {
    const Bytes frame = encode(message);
    for (const std::byte byte : frame) {  // one by one
      ASSERT_FALSE(stream.next());
      stream.add({&byte, 1});
    }
    const auto got = stream.next();
    ASSERT_TRUE(got);
    EXPECT_EQ(*got, message);
  }
  EXPECT_FALSE(stream.broken());
}

TEST(AgentWire, AShellMayTalkBeforeTheGreeting) {
  AgentStream stream(false);
  const std::string text = "Welcome to node 7!\n" + std::string(agent_greeting);
  stream.add(std::as_bytes(std::span(text.data(), text.size())));
  EXPECT_FALSE(stream.next());
  EXPECT_TRUE(stream.greeted());
  EXPECT_EQ(stream.take_chatter(), "Welcome to node 7!\n");
  stream.add(encode(SignalRanks{2}));
  EXPECT_TRUE(stream.next());
}

TEST(AgentWire, EndlessTalkIsNoAgent) {
  AgentStream stream(false);
  const std::string text(chatter_bytes_max + 1, 'x');
  stream.add(std::as_bytes(std::span(text.data(), text.size())));
  EXPECT_FALSE(stream.next());
  EXPECT_TRUE(stream.broken());
}

TEST(AgentWire, DamagedMessagesAreMessagesOrNothing) {
  std::mt19937 random(7);
  for (int round = 0; round < 20'000; ++round) {
    const auto messages = samples();
    Bytes frame = encode(messages[random() % messages.size()]);
    for (std::uint32_t i = random() % 4; i > 0; --i)
      frame[random() % frame.size()] = static_cast<std::byte>(random());
    frame.resize(random() % 3 == 0 ? random() % frame.size() + 1 : frame.size());
    AgentStream stream(true);
    stream.add(frame);
    if (const auto message = stream.next())
      if (const auto* order = std::get_if<Order>(&*message)) {
        ASSERT_LE(std::uint64_t{order->first} + order->count, order->nodes);
        ASSERT_FALSE(order->command.empty());
      }
  }
}

TEST(AgentWire, ImpossibleOrdersAreNone) {
  auto order = std::get<Order>(samples()[0]);
  order.first = 5;  // 5 + 3 > 7
  const Bytes frame = encode(order);
  EXPECT_FALSE(decode(ByteView(frame).subspan(sizeof(std::uint32_t))));
}

}  // namespace
}  // namespace dsm::run
