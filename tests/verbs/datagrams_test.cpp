// Datagrams over UD pairs: whole, of every size; full rings; sleepers; strangers.
#include <poll.h>

#include <cstring>
#include <map>
#include <string>

#include "pair.hpp"

namespace dsm::transport {
namespace {

ByteView view(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

struct Ports {
  explicit Ports(const VerbsOptions& options = {}, std::string_view key_of_one = "a job")
      : device(must(VerbsDevice::open(options))),
        zero(must(VerbsUd::open(device, 2, "a job"))),
        one(must(VerbsUd::open(device, 2, key_of_one))) {
    const std::vector<Bytes> addresses{zero->address(), one->address()};
    must(zero->connect(addresses));
    must(one->connect(addresses));
  }
  std::shared_ptr<const VerbsDevice> device;
  std::unique_ptr<VerbsUd> zero;
  std::unique_ptr<VerbsUd> one;
};

// The next datagram, or nothing within `seconds`.
std::optional<std::string> next(VerbsUd& port, double seconds = 5) {
  Datagram datagram;
  for (const double end = now_seconds() + seconds; port.poll({&datagram, 1}) == 0;) {
    if (now_seconds() > end) return std::nullopt;
    std::this_thread::yield();
  }
  std::string text(reinterpret_cast<const char*>(datagram.bytes.data()), datagram.bytes.size());
  port.recycle({&datagram, 1});
  return text;
}

TEST(Datagrams, OfEverySizeComeWhole) {
  Ports ports;
  const std::size_t most = ports.zero->payload_max(NodeId(1));
  EXPECT_GE(most, 1024u);
  for (std::size_t size = 0; size <= most; size += size < 130 ? 1 : 97) {
    std::string text(size, static_cast<char>('a' + size % 26));
    ASSERT_TRUE(
        ports.zero->send(NodeId(1), view(text).first(size / 3), view(text).subspan(size / 3)).ok());
    const auto came = next(*ports.one);
    ASSERT_TRUE(came.has_value()) << size << " bytes never came";
    ASSERT_TRUE(*came == text) << size;
  }
}

// Nodes of one job with multicast, or with other options for the last of them.
struct Grouped {
  explicit Grouped(const char* options_of_last = "multicast=on") {
    std::vector<Bytes> addresses;
    for (std::uint32_t i = 0; i < 3; ++i) {
      const auto options = must(VerbsOptions::parse(i < 2 ? "multicast=on" : options_of_last));
      ports.push_back(must(VerbsUd::open(must(VerbsDevice::open(options)), 3, "a job in a group")));
      addresses.push_back(ports.back()->address());
    }
    for (auto& port : ports) must(port->connect(addresses));
  }
  std::vector<std::unique_ptr<VerbsUd>> ports;
};

TEST(Datagrams, OneForAllReachesAll) {
  Grouped nodes;
  const std::size_t most = nodes.ports[0]->multicast_max();
  EXPECT_EQ(most, nodes.ports[0]->payload_max(NodeId(1)));
  for (const std::size_t size : {std::size_t{1}, std::size_t{100}, most}) {
    for (std::size_t from = 0; from < 3; ++from) {
      const std::string text(size, static_cast<char>('a' + from));
      ASSERT_TRUE(nodes.ports[from]->send_to_all(view(text)).ok());
      for (std::size_t to = 0; to < 3; ++to) {
        const auto came = next(*nodes.ports[to], to == from ? 0.5 : 5);
        if (to == from) continue;  // its own may come back
        ASSERT_TRUE(came.has_value()) << from << " to " << to;
        ASSERT_TRUE(*came == text);
      }
    }
  }
}

// What failed is one line, and the others send no datagram to a group that not all have joined.
TEST(Datagrams, WithoutAGroupAtEveryNodeThereIsNoMulticast) {
  for (const char* const last : {"multicast=off", "multicast=on,groups=0"}) {
    testing::internal::CaptureStderr();
    Grouped nodes(last);
    const std::string said = testing::internal::GetCapturedStderr();
    for (const auto& port : nodes.ports) {
      EXPECT_EQ(port->multicast_max(), 0u);
      EXPECT_FALSE(port->send_to_all({}).ok());
    }
    EXPECT_NE(said.find("multicast is not used: node 2 has none"), std::string::npos) << said;
    const bool is_short = std::string_view(last).find("groups=0") != std::string::npos;
    EXPECT_EQ(is_short, said.find("the device has no multicast groups") != std::string::npos);
    ASSERT_TRUE(nodes.ports[0]->send(NodeId(2), view("alone"), {}).ok());
    EXPECT_EQ(next(*nodes.ports[2]), "alone");
  }
}

// One that is in the group and not of the job: its device says so to nobody.
TEST(Datagrams, AnotherJobInTheGroupIsNotHeard) {
  Grouped nodes;
  nodes.ports[2]->use_queue_key(12345);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(nodes.ports[2]->send_to_all(view("stranger")).ok());
  ASSERT_TRUE(nodes.ports[0]->send_to_all(view("friend")).ok());
  EXPECT_EQ(next(*nodes.ports[1]), "friend");
  EXPECT_EQ(next(*nodes.ports[1], 0.1), std::nullopt);
}

// A pair that is mended is a member still.
TEST(Datagrams, APairThatFailedHearsItsGroupAgain) {
  Grouped nodes;
  nodes.ports[1]->fail_pair();
  std::optional<std::string> came;
  for (int i = 0; i < 200 && !came; ++i) {
    ASSERT_TRUE(nodes.ports[0]->send_to_all(view("again")).ok());
    came = next(*nodes.ports[1], 0.05);
  }
  EXPECT_EQ(came, "again");
}

TEST(Datagrams, RingsWrapManyTimes) {
  for (const bool small : {false, true}) {
    VerbsOptions options;
    if (small) {
      options.queue_depth = 16;
      options.inline_bytes = 0;
    }
    Ports ports(options);
    for (int i = 0; i < 3000; ++i) {
      const std::string text =
          std::to_string(i) + std::string(static_cast<std::size_t>(i % 700), '.');
      Status sent = Status::would_block();
      while (sent.code() == Code::would_block) sent = ports.zero->send(NodeId(1), view(text), {});
      ASSERT_TRUE(sent.ok()) << sent.message();
      const auto came = next(*ports.one);
      ASSERT_TRUE(came && *came == text) << i;
    }
  }
}

TEST(Datagrams, SeveralThreadsSendAtOnce) {
  Ports ports;
  constexpr int threads_count = 4;
  constexpr int each = 500;
  std::vector<std::thread> threads;
  std::atomic<int> sent{0};
  std::atomic<int> received{0};
  for (int t = 0; t < threads_count; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < each; ++i) {
        while (sent.load() - received.load() > 20) std::this_thread::yield();
        const std::string text = std::to_string(t) + ":" + std::to_string(i);
        while (ports.zero->send(NodeId(1), view(text), {}).code() == Code::would_block)
          std::this_thread::yield();
        ++sent;
      }
    });
  std::map<std::string, int> seen;
  while (received < threads_count * each) {
    const auto came = next(*ports.one);
    if (!came) break;
    ++seen[*came];
    ++received;
  }
  received = threads_count * each;  // lets the senders end
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(seen.size(), std::size_t{threads_count} * each);
}

TEST(Datagrams, AnotherJobsNeverArrive) {
  Ports ports({}, "another job");
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(ports.one->send(NodeId(0), view("let me in"), {}).ok());
  EXPECT_FALSE(next(*ports.zero, 0.5).has_value());
  ports.one.reset();
}

TEST(Datagrams, ASleeperIsWoken) {
  Ports ports;
  for (int round = 0; round < 50; ++round) {
    std::thread sender([&] {
      if (round % 2 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
      ASSERT_TRUE(ports.zero->send(NodeId(1), view("wake up"), {}).ok());
    });
    Datagram datagram;
    while (ports.one->poll({&datagram, 1}) == 0) {
      if (!ports.one->arm()) continue;
      pollfd fd{.fd = ports.one->wait_fd(), .events = POLLIN, .revents = 0};
      ASSERT_EQ(::poll(&fd, 1, 5000), 1) << "not woken in round " << round;
    }
    ports.one->recycle({&datagram, 1});
    sender.join();
  }
}

// Whether the descriptor of an armed port becomes readable.
bool wakes(const VerbsUd& port, int time_ms) {
  pollfd fd{.fd = port.wait_fd(), .events = POLLIN, .revents = 0};
  return ::poll(&fd, 1, time_ms) == 1;
}

// Arms until the events of what was taken before are gone, as a sleeper does that wakes for
// nothing.
void fall_asleep(VerbsUd& port, Urgency least) {
  constexpr int tries_max = 100;
  for (int tries = 0; tries < tries_max; ++tries) {
    if (port.arm(least) && !wakes(port, 0)) return;
    ASSERT_EQ(next(port, 0), std::nullopt);
  }
  FAIL() << "it never sleeps";
}

TEST(Datagrams, APatientOneWakesOnlyWhoWaitsForAll) {
  constexpr int soon_ms = 50, late_ms = 5000;
  Ports ports;
  const auto send = [&](std::string_view text, Urgency urgency) {
    ASSERT_TRUE(ports.zero->send(NodeId(1), view(text), {}, urgency).ok());
  };
  for (int round = 0; round < 20; ++round) {
    SCOPED_TRACE(round);
    fall_asleep(*ports.one, Urgency::prompt);
    send("when you have time", Urgency::patient);
    EXPECT_FALSE(wakes(*ports.one, soon_ms));
    send("at once", Urgency::prompt);
    EXPECT_TRUE(wakes(*ports.one, late_ms));
    EXPECT_EQ(next(*ports.one), "when you have time");
    EXPECT_EQ(next(*ports.one), "at once");
    fall_asleep(*ports.one, Urgency::patient);
    send("when you have time", Urgency::patient);
    EXPECT_TRUE(wakes(*ports.one, late_ms));
    EXPECT_EQ(next(*ports.one), "when you have time");
    // Who asked to be told of prompt ones may wait for all later.
    fall_asleep(*ports.one, Urgency::prompt);
    fall_asleep(*ports.one, Urgency::patient);
    send("when you have time", Urgency::patient);
    EXPECT_TRUE(wakes(*ports.one, late_ms));
    EXPECT_EQ(next(*ports.one), "when you have time");
  }
}

TEST(Datagrams, AnAddressOfAnotherWireIsNamed) {
  Ports ports;
  auto third = must(VerbsUd::open(ports.device, 2, "a job"));
  const Status refused = third->connect(std::vector<Bytes>{Bytes(7), third->address()});
  EXPECT_EQ(refused.code(), Code::invalid);
  EXPECT_NE(refused.message().find("node 0"), std::string::npos);
}

TEST(Datagrams, AQueueThatIsTooShortForTheJobIsNamed) {
  VerbsOptions options;
  options.queue_depth = 16;
  const std::shared_ptr<const VerbsDevice> device = must(VerbsDevice::open(options));
  const auto refused = VerbsUd::open(device, 100, "a job");
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.status().message().find("at most 16"), std::string::npos)
      << refused.status().message();
}

// What is under way when a pair fails may be lost; what is sent later comes.
TEST(Datagrams, AFailedPairIsMended) {
  Ports ports;
  for (int round = 0; round < 10; ++round) {
    VerbsUd& failing = round % 2 == 0 ? *ports.zero : *ports.one;
    failing.fail_pair();
    const std::string text = "round " + std::to_string(round);
    bool came = false;
    for (int attempt = 0; !came && attempt < 100; ++attempt) {
      static_cast<void>(ports.zero->send(NodeId(1), view(text), {}));
      static_cast<void>(ports.one->send(NodeId(0), view(text), {}));
      while (next(*ports.zero, 0.01)) continue;
      while (const auto got = next(*ports.one, 0.01)) came = came || *got == text;
    }
    ASSERT_TRUE(came) << "round " << round << ": " << failing.trouble();
  }
  // All slots were found again: more datagrams than there are slots.
  for (int i = 0; i < 500; ++i) {
    ASSERT_TRUE(ports.zero->send(NodeId(1), view("more"), {}).ok()) << i;
    ASSERT_TRUE(next(*ports.one).has_value()) << i;
  }
}

TEST(Datagrams, NewsAreHeardInTheirOrderAndNonsenseIsNot) {
  Ports ports;
  EXPECT_TRUE(ports.zero->take_news().empty());
  for (const std::size_t size : {0u, 3u, 4u, 27u, 60u}) ports.one->hear(NodeId(0), Bytes(size));
  ASSERT_TRUE(ports.one->send(NodeId(0), view("the path is as it was"), {}).ok());
  EXPECT_TRUE(next(*ports.zero).has_value());
  const auto news = [&](std::uint32_t version, VerbsPort port) {
    Bytes bytes;
    Writer writer(bytes);
    writer.put(version);
    port.encode(writer);
    return bytes;
  };
  const VerbsPort port = ports.device->port();
  ports.one->hear(NodeId(0), news(2, port));
  VerbsPort nowhere = port;
  nowhere.gid[15] ^= 0x55;
  ports.one->hear(NodeId(0), news(1, nowhere));  // older
  ASSERT_TRUE(ports.one->send(NodeId(0), view("still"), {}).ok());
  EXPECT_TRUE(next(*ports.zero).has_value());
}

}  // namespace
}  // namespace dsm::transport
