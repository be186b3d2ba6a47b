// Nobody gets in without the job's key, and nobody who tries disturbs the job.
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <thread>

#include "base/fd.hpp"
#include "job.hpp"
#include "transport/handshake.hpp"

namespace dsm::transport {
namespace {

class Strangers : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Wires, Strangers, testing::Values("shm", "tcp"));

constexpr int short_ms = 700;

std::unique_ptr<Transport> node_of(const char* wire, std::uint32_t self, std::uint32_t nodes,
                                   std::string_view key = job_key, int timeout_ms = 5000) {
  auto opened = open(
      wire,
      {.self = NodeId(self), .nodes = nodes, .job_key = key, .connect_timeout_ms = timeout_ms});
  EXPECT_TRUE(opened.ok()) << opened.status().message();
  return std::move(opened).value();
}

std::vector<Bytes> addresses_of(const std::vector<Transport*>& nodes) {
  std::vector<Bytes> addresses;
  for (const Transport* node : nodes) addresses.push_back(node->address());
  return addresses;
}

std::vector<Status> connect_all(const std::vector<Transport*>& nodes) {
  const std::vector<Bytes> addresses = addresses_of(nodes);
  std::vector<Status> results(nodes.size());
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < nodes.size(); ++i)
    threads.emplace_back([&, i] { results[i] = nodes[i]->connect(addresses); });
  for (auto& thread : threads) thread.join();
  return results;
}

// A stranger's connection to where a node listens.
Fd dial(std::string_view wire, const Bytes& address) {
  Reader reader(address);
  sockaddr_storage storage{};
  socklen_t size;
  if (wire == "shm") {
    auto& local = reinterpret_cast<sockaddr_un&>(storage);
    const std::string name = reader.get_string();
    local.sun_family = AF_UNIX;
    std::memcpy(local.sun_path + 1, name.data(), name.size());
    size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  } else {
    auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
    EXPECT_EQ(reader.get<std::uint8_t>(), 4);
    v4.sin_family = AF_INET;
    v4.sin_port = reader.get<std::uint16_t>();
    std::memcpy(&v4.sin_addr, reader.get_bytes(4).data(), 4);
    size = sizeof v4;
  }
  Fd fd(::socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&storage), size), 0)
      << std::strerror(errno);
  return fd;
}

void write_all(const Fd& fd, std::string_view bytes) {
  [[maybe_unused]] const ssize_t sent = ::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
}

TEST_P(Strangers, AWrongKeyIsRefusedOnBothSides) {
  const auto zero = node_of(GetParam(), 0, 2, "one key", short_ms);
  const auto one = node_of(GetParam(), 1, 2, "another key", short_ms);
  const auto results = connect_all({zero.get(), one.get()});
  EXPECT_EQ(results[0].code(), Code::timed_out) << results[0].message();
  EXPECT_NE(results[0].message().find("node 1"), std::string::npos) << results[0].message();
  EXPECT_NE(results[0].message().find("another job's key"), std::string::npos)
      << results[0].message();
  EXPECT_EQ(results[1].code(), Code::refused) << results[1].message();
  EXPECT_NE(results[1].message().find("node 0"), std::string::npos) << results[1].message();
  for (const Status& each : results) {
    EXPECT_EQ(each.message().find("one key"), std::string::npos) << "a key was printed";
    EXPECT_EQ(each.message().find('\n'), std::string::npos);
  }
}

TEST_P(Strangers, NoKeyIsRefused) {
  const auto zero = node_of(GetParam(), 0, 2, "", short_ms);
  const auto one = node_of(GetParam(), 1, 2, "", short_ms);
  for (const Status& each : connect_all({zero.get(), one.get()}))
    EXPECT_EQ(each.code(), Code::invalid);
}

TEST_P(Strangers, AMissingNodeIsNamed) {
  for (std::uint32_t missing = 0; missing < 3; ++missing) {
    std::vector<std::unique_ptr<Transport>> nodes;
    std::vector<Bytes> addresses;
    for (std::uint32_t i = 0; i < 3; ++i) {
      nodes.push_back(node_of(GetParam(), i, 3, job_key, short_ms));
      addresses.push_back(nodes.back()->address());
    }
    std::vector<Status> results(3);
    std::vector<std::thread> threads;
    for (std::uint32_t i = 0; i < 3; ++i)
      if (i != missing) threads.emplace_back([&, i] { results[i] = nodes[i]->connect(addresses); });
    for (auto& thread : threads) thread.join();
    for (std::uint32_t i = 0; i < 3; ++i) {
      if (i == missing) continue;
      EXPECT_EQ(results[i].code(), Code::timed_out);
      EXPECT_NE(results[i].message().find("node " + std::to_string(missing) + " "),
                std::string::npos)
          << results[i].message();
    }
  }
}

TEST_P(Strangers, ANodeThatEndedIsNamed) {
  auto zero = node_of(GetParam(), 0, 2, job_key, short_ms);
  const auto one = node_of(GetParam(), 1, 2, job_key, short_ms);
  const std::vector<Bytes> addresses = addresses_of({zero.get(), one.get()});
  zero.reset();
  const Status result = one->connect(addresses);
  EXPECT_EQ(result.code(), Code::peer_lost) << result.message();
  EXPECT_NE(result.message().find("node 0"), std::string::npos) << result.message();
}

TEST_P(Strangers, AJobOfAnotherSizeIsRefused) {
  const auto zero = node_of(GetParam(), 0, 2, job_key, short_ms);
  const auto one = node_of(GetParam(), 1, 3, job_key, short_ms);
  const std::vector<Bytes> two = addresses_of({zero.get(), one.get()});
  Status first;
  std::thread other([&] { first = zero->connect(two); });
  const Status second = one->connect(std::vector<Bytes>{two[0], two[1], two[1]});
  other.join();
  EXPECT_EQ(first.code(), Code::timed_out) << first.message();
  EXPECT_NE(first.message().find("another number of nodes"), std::string::npos) << first.message();
  EXPECT_FALSE(second.ok());
  EXPECT_EQ(one->connect(two).code(), Code::invalid) << "two addresses for three nodes";
}

TEST_P(Strangers, AnAddressOfAnotherWireIsNamed) {
  const auto zero = node_of(GetParam(), 0, 2, job_key, short_ms);
  for (const Bytes& wrong : {Bytes{}, Bytes(3), Bytes(300, std::byte{0xff})}) {
    const Status result = zero->connect(std::vector<Bytes>{zero->address(), wrong});
    EXPECT_EQ(result.code(), Code::invalid) << result.message();
    EXPECT_NE(result.message().find("node 1"), std::string::npos);
  }
}

TEST(StrangersOfShm, AnotherHostIsNamed) {
  const auto zero = node_of("shm", 0, 2, job_key, short_ms);
  Bytes elsewhere;
  Writer writer(elsewhere);
  writer.put_string("dsm-0123");
  writer.put_string("another boot");
  const Status result = zero->connect(std::vector<Bytes>{zero->address(), elsewhere});
  EXPECT_EQ(result.code(), Code::refused);
  EXPECT_NE(result.message().find("another host"), std::string::npos) << result.message();
}

// Port scanners, half-open connections, nodes that break off: the job connects all the same.
TEST_P(Strangers, GarbageAtTheListeningSocketIsDropped) {
  const auto zero = node_of(GetParam(), 0, 3);
  const auto one = node_of(GetParam(), 1, 3);
  const auto two = node_of(GetParam(), 2, 3);
  std::vector<Fd> strangers;
  const LinkKey wrong = link_key("a guess", GetParam());
  for (std::uint64_t i = 0; i < 60; ++i) {
    for (const Transport* target : {zero.get(), one.get()}) {
      Fd fd = dial(GetParam(), target->address());
      const Handshake guess(Handshake::Role::dialer, wrong, NodeId(2), 3, NodeId(0), fresh_nonce());
      const std::string hello(reinterpret_cast<const char*>(guess.output().data()),
                              guess.output().size());
      switch (i % 6) {
        case 0:
          break;  // silent
        case 1:
          write_all(fd, "GET / HTTP/1.0\r\n\r\n");
          break;
        case 2:
          write_all(fd, pattern(5000, i));
          break;
        case 3:
          write_all(fd, hello.substr(0, i % hello.size()));
          break;  // truncated
        case 4:
          write_all(fd, hello + pattern(Handshake::proof_bytes, i));
          break;  // a proof made up
        case 5:
          fd.reset();
          break;  // gone at once
      }
      if (fd) strangers.push_back(std::move(fd));
    }
  }
  for (const Status& each : connect_all({zero.get(), one.get(), two.get()}))
    ASSERT_TRUE(each.ok()) << each.message();
  while (zero->send(NodeId(2), std::as_bytes(std::span("hello", 5))).code() == Code::would_block)
    continue;
  Event event;
  const double end = now_seconds() + 10;
  while (two->poll(std::span(&event, 1)) == 0) ASSERT_LT(now_seconds(), end);
  EXPECT_EQ(event.kind, Event::Kind::message);
  EXPECT_EQ(event.peer, NodeId(0));
  two->recycle(event);
  // The strangers were hung up on, or are once the listening socket is closed; none was answered a
  // proof.
  for (const Fd& fd : strangers) {
    std::size_t answered = 0;
    char bytes[256];
    for (ssize_t count; (count = ::recv(fd.get(), bytes, sizeof bytes, MSG_DONTWAIT)) > 0;)
      answered += static_cast<std::size_t>(count);
    EXPECT_LE(answered, Handshake::hello_bytes);
  }
}

}  // namespace
}  // namespace dsm::transport
