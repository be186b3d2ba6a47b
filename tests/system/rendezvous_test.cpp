// The rendezvous over real sockets, its nodes as threads: joining, exchange, ends of all kinds, and
// noise at the port.
#include "dsm/launch/rendezvous.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <future>
#include <random>
#include <thread>

#include "dsm/launch/rendezvous_server.hpp"
#include "dsm/launch/socket.hpp"

namespace dsm::launch {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds patience{20'000};  // never reached when all is well
const Agreement agreement = {{"build", "b1"}, {"DSM_SPACE", "64"}};

using Joined = Result<std::unique_ptr<Rendezvous>>;

Bytes bytes_of(std::string_view text) {
  const auto view = std::as_bytes(std::span(text.data(), text.size()));
  return Bytes(view.begin(), view.end());
}

bool readable(int fd, std::chrono::milliseconds timeout) {
  return wait_readable(fd, timeout);
}

// A job whose rendezvous is served as by a launcher.
class LaunchedJob {
 public:
  explicit LaunchedJob(std::uint32_t size, std::chrono::milliseconds join_timeout = patience,
                       const char* host = "127.0.0.1")
      : size_(size), key_(JobKey::random()) {
    auto server = RendezvousServer::open({Endpoint{host, 0}, size, key_, join_timeout});
    EXPECT_TRUE(server.ok()) << server.status().message();
    server_ = std::move(*server);
    server_->start();
  }

  Job job(std::uint32_t rank) const {
    Job job;
    job.rank = NodeId(rank);
    job.size = size_;
    job.rendezvous = server_->endpoint();
    job.key = key_;
    job.launched = true;
    job.join_timeout = 20s;
    return job;
  }

  // All nodes at once.
  std::vector<std::unique_ptr<Rendezvous>> join_all() const {
    std::vector<std::future<Joined>> joining;
    for (std::uint32_t r = 0; r < size_; ++r)
      joining.push_back(
          std::async(std::launch::async, [this, r] { return make_rendezvous(job(r), agreement); }));
    std::vector<std::unique_ptr<Rendezvous>> nodes;
    for (auto& future : joining) {
      Joined joined = future.get();
      EXPECT_TRUE(joined.ok()) << joined.status().message();
      nodes.push_back(joined.ok() ? std::move(*joined) : nullptr);
    }
    return nodes;
  }

  RendezvousServer& server() { return *server_; }
  void stop_server() { server_.reset(); }

 private:
  std::uint32_t size_;
  JobKey key_;
  std::unique_ptr<RendezvousServer> server_;
};

void finish_all(std::vector<std::unique_ptr<Rendezvous>>& nodes) {
  for (auto& node : nodes) node->finish();
}

TEST(Rendezvous, NodesExchangeValuesAndMeetInFences) {
  LaunchedJob launched(4);
  auto nodes = launched.join_all();
  std::vector<std::thread> threads;
  for (std::uint32_t r = 0; r < 4; ++r)
    threads.emplace_back([&nodes, r] {
      EXPECT_TRUE(nodes[r]->publish("address", bytes_of("node " + std::to_string(r))).ok());
      auto all = gather(*nodes[r], 4, "address", patience);
      ASSERT_TRUE(all.ok()) << all.status().message();
      for (std::uint32_t peer = 0; peer < 4; ++peer)
        EXPECT_EQ(all.value()[peer], bytes_of("node " + std::to_string(peer)));
      for (int i = 0; i < 20; ++i) EXPECT_TRUE(nodes[r]->fence(patience).ok());
      EXPECT_TRUE(nodes[r]->check().ok());
    });
  for (auto& thread : threads) thread.join();
  finish_all(nodes);
  EXPECT_FALSE(launched.server().ended());
}

TEST(Rendezvous, AFenceHoldsUntilTheLastHasCome) {
  LaunchedJob launched(2);
  auto nodes = launched.join_all();
  std::atomic<bool> last_came{false};
  std::thread first([&] {
    EXPECT_TRUE(nodes[0]->fence(patience).ok());
    EXPECT_TRUE(last_came.load());
  });
  EXPECT_TRUE(nodes[0]->check().ok()) << "does not wait for the thread in the fence";
  last_came.store(true);
  EXPECT_TRUE(nodes[1]->fence(patience).ok());
  first.join();
  finish_all(nodes);
}

TEST(Rendezvous, CarriesTheLargestValue) {
  LaunchedJob launched(2);
  auto nodes = launched.join_all();
  const Bytes large(256 * 1024, std::byte{0x5a});
  EXPECT_TRUE(nodes[0]->publish("large", large).ok());
  EXPECT_EQ(nodes[0]->publish("larger", Bytes(large.size() + 1)).code(), Code::too_large);
  auto found = nodes[1]->lookup(NodeId(0), "large", patience);
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found.value(), large);
  finish_all(nodes);
}

TEST(Rendezvous, ALookupOfWhatNobodyPublishedTimesOutAndItsLateAnswerIsIgnored) {
  LaunchedJob launched(2);
  auto nodes = launched.join_all();
  EXPECT_EQ(nodes[0]->lookup(NodeId(1), "late", 20ms).status().code(), Code::timed_out);
  EXPECT_TRUE(nodes[1]->publish("late", bytes_of("x")).ok());
  EXPECT_TRUE(nodes[1]->publish("other", bytes_of("y")).ok());
  auto other = nodes[0]->lookup(NodeId(1), "other", patience);
  ASSERT_TRUE(other.ok());
  EXPECT_EQ(other.value(), bytes_of("y"));
  finish_all(nodes);
}

TEST(Rendezvous, AnAbortReachesAllOthersWhereverTheyAre) {
  LaunchedJob launched(3);
  auto nodes = launched.join_all();
  std::thread waiting([&] {
    const Status status = nodes[0]->fence(patience);
    EXPECT_EQ(status.code(), Code::exhausted);
    EXPECT_EQ(status.message(), "node 2 has too little memory");
  });
  nodes[2]->abort(Code::exhausted, "node 2 has too little memory");
  waiting.join();
  ASSERT_TRUE(readable(nodes[1]->wait_fd(), patience));
  EXPECT_EQ(nodes[1]->check().message(), "node 2 has too little memory");
  EXPECT_FALSE(readable(nodes[1]->wait_fd(), 0ms)) << "it has said its last word";
  EXPECT_EQ(nodes[1]->lookup(NodeId(0), "x", patience).status().message(),
            "node 2 has too little memory");
}

TEST(Rendezvous, ANodeThatVanishesIsNamedToAllOthers) {
  LaunchedJob launched(3);
  auto nodes = launched.join_all();
  nodes[1].reset();
  for (const std::uint32_t r : {0u, 2u}) {
    const Status status = nodes[r]->fence(patience);
    EXPECT_EQ(status.code(), Code::peer_lost);
    EXPECT_NE(status.message().find("rank 1"), std::string::npos) << status.message();
  }
  ASSERT_TRUE(launched.server().ended());
  EXPECT_EQ(launched.server().ended()->rank, NodeId(1));
}

TEST(Rendezvous, MissingRanksAreNamed) {
  LaunchedJob launched(4, 200ms);
  auto zero =
      std::async(std::launch::async, [&] { return make_rendezvous(launched.job(0), agreement); });
  auto two =
      std::async(std::launch::async, [&] { return make_rendezvous(launched.job(2), agreement); });
  for (auto* future : {&zero, &two}) {
    const Joined joined = future->get();
    ASSERT_FALSE(joined.ok());
    EXPECT_EQ(joined.status().code(), Code::timed_out);
    EXPECT_NE(joined.status().message().find("ranks 1 and 3 of 4 did not join within 0.2 s"),
              std::string::npos)
        << joined.status().message();
  }
}

TEST(Rendezvous, DifferentSizesOfSpaceAreNamed) {
  LaunchedJob launched(2);
  const Agreement other = {{"build", "b1"}, {"DSM_SPACE", "32"}};
  auto zero =
      std::async(std::launch::async, [&] { return make_rendezvous(launched.job(0), agreement); });
  const Joined one = make_rendezvous(launched.job(1), other);
  ASSERT_FALSE(one.ok());
  const Joined first = zero.get();
  ASSERT_FALSE(first.ok());
  for (const Status& status : {one.status(), first.status()}) {
    EXPECT_EQ(status.code(), Code::refused);
    for (const char* word : {"sizes of space", "rank 0", "rank 1", "32", "64"})
      EXPECT_NE(status.message().find(word), std::string::npos) << status.message();
  }
}

TEST(Rendezvous, AWrongKeyIsSaidAtOnceAndHurtsNobody) {
  LaunchedJob launched(2);
  Job wrong = launched.job(1);
  wrong.key = JobKey::random();
  const Joined stranger = make_rendezvous(wrong, agreement);
  ASSERT_FALSE(stranger.ok());
  EXPECT_EQ(stranger.status().code(), Code::refused);
  EXPECT_NE(stranger.status().message().find("another key"), std::string::npos)
      << stranger.status().message();
  auto nodes = launched.join_all();
  finish_all(nodes);
}

TEST(Rendezvous, ASecondProcessOfOneRankIsTurnedAway) {
  LaunchedJob launched(2);
  auto nodes = launched.join_all();
  const Joined second = make_rendezvous(launched.job(1), agreement);
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.status().message().find("rank 1 has joined already"), std::string::npos)
      << second.status().message();
  EXPECT_TRUE(nodes[0]->check().ok());
  finish_all(nodes);
}

TEST(Rendezvous, NodeZeroServesItselfWithoutALauncher) {
  // A port that was free a moment ago.
  const std::uint16_t port = [] {
    auto listener = listen_tcp({"127.0.0.1", 0});
    EXPECT_TRUE(listener.ok());
    return listener->endpoint.port;
  }();
  const JobKey key = JobKey::random();
  std::vector<std::future<Joined>> joining;
  for (const std::uint32_t r : {2u, 1u, 0u}) {  // node 0 last: the others wait for it
    Job job;
    job.rank = NodeId(r);
    job.size = 3;
    job.rendezvous = {"127.0.0.1", port};
    job.key = key;
    job.join_timeout = 20s;
    joining.push_back(
        std::async(std::launch::async, [job] { return make_rendezvous(job, agreement); }));
  }
  std::vector<std::unique_ptr<Rendezvous>> nodes;
  for (auto& future : joining) {
    Joined joined = future.get();
    ASSERT_TRUE(joined.ok()) << joined.status().message();
    nodes.insert(nodes.begin(), std::move(*joined));
  }
  // Node 0 finishes first: the others lose the rendezvous, and nothing else.
  nodes[0]->finish();
  nodes[0].reset();
  ASSERT_TRUE(readable(nodes[1]->wait_fd(), patience));
  EXPECT_TRUE(nodes[1]->check().ok());
  EXPECT_FALSE(readable(nodes[1]->wait_fd(), 0ms));
  EXPECT_EQ(nodes[2]->lookup(NodeId(1), "x", patience).status().code(), Code::unavailable);
  nodes[1]->finish();
  nodes[2]->finish();
}

TEST(Rendezvous, ALostServerIsNoticed) {
  LaunchedJob launched(2);
  auto listener = listen_tcp({"127.0.0.1", 0});
  ASSERT_TRUE(listener.ok());
  Job job = launched.job(0);
  job.rendezvous = listener->endpoint;
  job.join_timeout = 1s;
  const Joined joined = make_rendezvous(job, agreement);
  ASSERT_FALSE(joined.ok());
  EXPECT_EQ(joined.status().code(), Code::timed_out);
  EXPECT_NE(joined.status().message().find("does not answer"), std::string::npos)
      << joined.status().message();
}

TEST(Rendezvous, NobodyThereIsSaidWithTheAddress) {
  Job job;
  job.rank = NodeId(1);
  job.size = 2;
  job.key = JobKey::random();
  {
    auto listener = listen_tcp({"127.0.0.1", 0});
    ASSERT_TRUE(listener.ok());
    job.rendezvous = listener->endpoint;
  }
  job.join_timeout = 1s;
  const Joined joined = make_rendezvous(job, agreement);
  ASSERT_FALSE(joined.ok());
  EXPECT_NE(joined.status().message().find(job.rendezvous.text()), std::string::npos)
      << joined.status().message();
  EXPECT_NE(joined.status().message().find("start node 0 there"), std::string::npos)
      << joined.status().message();
}

TEST(Rendezvous, NoiseAtThePortTakesNothingFromTheJob) {
  LaunchedJob launched(2);
  std::mt19937 random(1);
  std::vector<Fd> noise;
  for (std::size_t i = 0; i < strangers_max + 50; ++i) {
    auto socket = connect_tcp(launched.server().endpoint(), patience);
    ASSERT_TRUE(socket.ok()) << socket.status().message();
    Bytes bytes(random() % 300);
    for (std::byte& b : bytes) b = static_cast<std::byte>(random());
    if (i % 3 == 0) bytes = encode_hello(random_nonce());                        // then silence
    if (i % 3 == 1) bytes.insert(bytes.begin(), hello_bytes / 2, std::byte{0});  // garbage
    if (i % 7 == 0)
      bytes = {bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(bytes.size() / 2)};
    (void)!::send(socket->get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    noise.push_back(std::move(*socket));
  }
  auto nodes = launched.join_all();
  for (std::uint32_t r = 0; r < 2; ++r)
    EXPECT_TRUE(nodes[r]->publish("address", bytes_of("x")).ok());
  EXPECT_TRUE(nodes[0]->lookup(NodeId(1), "address", patience).ok());
  finish_all(nodes);
  EXPECT_FALSE(launched.server().ended());
}

TEST(Rendezvous, AGreetingThatIsNotFollowedByAJoinIsDroppedInTime) {
  LaunchedJob launched(2);
  auto socket = connect_tcp(launched.server().endpoint(), patience);
  ASSERT_TRUE(socket.ok());
  const Bytes hello = encode_hello(random_nonce());
  ASSERT_EQ(::send(socket->get(), hello.data(), hello.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(hello.size()));
  // The challenge, then the end of the connection.
  std::array<std::byte, 4096> buffer;
  std::size_t received = 0;
  for (;;) {
    ASSERT_TRUE(readable(socket->get(), authentication_timeout + patience));
    const ssize_t n = ::recv(socket->get(), buffer.data(), buffer.size(), 0);
    if (n <= 0) break;
    received += static_cast<std::size_t>(n);
  }
  EXPECT_EQ(received, challenge_bytes);
}

TEST(Rendezvous, WorksOverIPv6) {
  if (!listen_tcp({"::1", 0}).ok()) GTEST_SKIP() << "no IPv6 loopback here";
  LaunchedJob launched(2, patience, "::1");
  auto nodes = launched.join_all();
  finish_all(nodes);
}

TEST(Rendezvous, OfOneNodeIsWithItself) {
  auto alone = make_rendezvous(Job{}, agreement);
  ASSERT_TRUE(alone.ok());
  Rendezvous& self = **alone;
  EXPECT_TRUE(self.publish("k", bytes_of("v")).ok());
  EXPECT_EQ(self.lookup(NodeId(0), "k", 0ms).value(), bytes_of("v"));
  EXPECT_EQ(self.lookup(NodeId(0), "other", 0ms).status().code(), Code::timed_out);
  EXPECT_TRUE(self.fence(0ms).ok());
  EXPECT_EQ(self.wait_fd(), -1);
  EXPECT_TRUE(self.check().ok());
  self.finish();
}

}  // namespace
}  // namespace dsm::launch
