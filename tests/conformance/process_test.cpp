// Real processes: a job that is forked, talks, and loses a node to kill -9.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "wires.hpp"

namespace dsm::transport {
namespace {

constexpr std::uint32_t nodes = 3;
constexpr std::size_t memory_size = 64u << 10;
constexpr int patience_ms = 10'000;

// A pair of pipes between the test, which is node 0, and one child.
struct Child {
  pid_t pid = -1;
  int to = -1;
  int from = -1;
};

void put(int fd, const Bytes& bytes) {
  const auto size = static_cast<std::uint32_t>(bytes.size());
  if (::write(fd, &size, sizeof size) != sizeof size ||
      ::write(fd, bytes.data(), size) != static_cast<ssize_t>(size))
    std::abort();
}

Bytes get(int fd) {
  std::uint32_t size = 0;
  if (::read(fd, &size, sizeof size) != sizeof size) std::abort();
  Bytes bytes(size);
  if (::read(fd, bytes.data(), size) != static_cast<ssize_t>(size)) std::abort();
  return bytes;
}

// Opens, exposes; then, with all addresses and keys known, connects and imports.
struct Member {
  Member(const Wire& wire, std::uint32_t rank) : node(opened(wire, rank), memory_size) {
    auto key = node.wire->expose(node.memory.span(), node.memory.fd(), 0);
    if (!key.ok()) std::abort();
    own_key = std::move(key).value();
  }
  static std::unique_ptr<Transport> opened(const Wire& wire, std::uint32_t rank) {
    const std::string name =
        std::string(wire.backend) + (*wire.adapters ? "+" : "") + wire.adapters;
    auto transport = open(
        name, {.self = NodeId(rank), .nodes = nodes, .job_key = job_key, .bind_host = wire.host});
    if (!transport.ok()) std::abort();
    return std::move(transport).value();
  }
  Status join(const std::vector<Bytes>& addresses, const std::vector<Bytes>& keys) {
    Status connected = node.wire->connect(addresses);
    if (!connected.ok()) return connected;
    for (std::uint32_t i = 0; i < nodes; ++i) {
      auto memory = node.wire->import_memory(NodeId(i), keys[i]);
      if (!memory.ok()) return memory.status();
      node.memory_of.push_back(memory.value());
    }
    return {};
  }
  bool poll_or_sleep() {
    if (node.poll() != 0 || !node.wire->arm()) return true;
    pollfd one{.fd = node.wire->wait_fd(), .events = POLLIN, .revents = 0};
    return ::poll(&one, 1, patience_ms) == 1;
  }
  Node node;
  Bytes own_key;
};

// A child echoes what it hears and tells node 0 which peer it lost. It ends when node 0 does.
[[noreturn]] void child_main(const Wire& wire, std::uint32_t rank, int from_test, int to_test) {
  Member me(wire, rank);
  *me.node.memory.word(0) = 1000 + rank;
  put(to_test, me.node.wire->address());
  put(to_test, me.own_key);
  std::vector<Bytes> addresses;
  std::vector<Bytes> keys;
  for (std::uint32_t i = 0; i < nodes; ++i) addresses.push_back(get(from_test));
  for (std::uint32_t i = 0; i < nodes; ++i) keys.push_back(get(from_test));
  if (!me.join(addresses, keys).ok()) ::_exit(3);
  for (;;) {
    if (!me.poll_or_sleep()) ::_exit(4);
    while (!me.node.arrived.empty()) {
      const Arrived a = me.node.arrived.front();
      me.node.arrived.pop_front();
      if (a.kind == Event::Kind::peer_down && a.peer == NodeId(0)) ::_exit(0);
      if (a.kind == Event::Kind::peer_down)
        me.node.send(NodeId(0), "lost " + std::to_string(a.peer.value));
      if (a.kind == Event::Kind::message) me.node.send(a.peer, a.bytes);
    }
  }
}

class Processes : public Conformance {
 protected:
  void SetUp() override {
    GetParam().set_environment();
    for (std::uint32_t rank = 1; rank < nodes; ++rank) {
      int down[2];
      int up[2];
      ASSERT_EQ(::pipe2(down, O_CLOEXEC), 0);
      ASSERT_EQ(::pipe2(up, O_CLOEXEC), 0);
      const pid_t pid = ::fork();
      ASSERT_GE(pid, 0);
      if (pid == 0) child_main(GetParam(), rank, down[0], up[1]);
      ::close(down[0]);
      ::close(up[1]);
      children_[rank] = {pid, down[1], up[0]};
    }
    me_ = std::make_unique<Member>(GetParam(), 0);
    std::vector<Bytes> addresses{me_->node.wire->address()};
    std::vector<Bytes> keys{me_->own_key};
    for (std::uint32_t rank = 1; rank < nodes; ++rank) {
      addresses.push_back(get(children_[rank].from));
      keys.push_back(get(children_[rank].from));
    }
    for (std::uint32_t rank = 1; rank < nodes; ++rank) {
      for (const Bytes& each : addresses) put(children_[rank].to, each);
      for (const Bytes& each : keys) put(children_[rank].to, each);
    }
    const Status joined = me_->join(addresses, keys);
    ASSERT_TRUE(joined.ok()) << joined.message();
    // The others have each other too once they answer: connect() returns when this node's own pairs
    // are connected.
    for (std::uint32_t rank = 1; rank < nodes; ++rank) {
      me_->node.send(NodeId(rank), "joined?");
      ASSERT_EQ(next().bytes, "joined?");
    }
  }

  void TearDown() override {
    me_.reset();
    for (std::uint32_t rank = 1; rank < nodes; ++rank) {
      Child& child = children_[rank];
      if (child.pid <= 0) continue;
      int status = 0;
      EXPECT_EQ(::waitpid(child.pid, &status, 0), child.pid);
      EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0)
          << "child " << rank << " ended with " << status;
      ::close(child.to);
      ::close(child.from);
    }
  }

  void kill_child(std::uint32_t rank) {
    Child& child = children_[rank];
    ASSERT_EQ(::kill(child.pid, SIGKILL), 0);
    ASSERT_EQ(::waitpid(child.pid, nullptr, 0), child.pid);
    ::close(child.to);
    ::close(child.from);
    child.pid = -1;
  }

  // The next event, sleeping until it comes.
  Arrived next() {
    while (me_->node.arrived.empty()) {
      if (me_->poll_or_sleep()) continue;
      ADD_FAILURE() << "nothing came";
      return {};
    }
    Arrived a = me_->node.arrived.front();
    me_->node.arrived.pop_front();
    return a;
  }

  Child children_[nodes];
  std::unique_ptr<Member> me_;
};
INSTANTIATE_TEST_SUITE_P(Wires, Processes, testing::ValuesIn(process_wires()), wire_name);

TEST_P(Processes, TalkAndReadEachOthersMemory) {
  for (const std::size_t size : {0u, 10u, 5000u, 200'000u, 3'000'000u}) {
    for (std::uint32_t rank = 1; rank < nodes; ++rank) {
      const std::string text = pattern(size, size + rank);
      me_->node.send(NodeId(rank), text);
      const Arrived echo = next();
      ASSERT_EQ(echo.peer, NodeId(rank));
      ASSERT_TRUE(echo.bytes == text) << size;
    }
  }
  for (std::uint32_t rank = 1; rank < nodes; ++rank) {
    std::uint64_t value = 0;
    ASSERT_EQ(me_->node.read(NodeId(rank), 0, &value, sizeof value), Code::ok);
    EXPECT_EQ(value, 1000 + rank);
    const std::string out = pattern(30'001, rank);
    ASSERT_EQ(me_->node.write(NodeId(rank), 17, out.data(), out.size()), Code::ok);
    std::string in(out.size(), '\0');
    ASSERT_EQ(me_->node.read(NodeId(rank), 17, in.data(), in.size()), Code::ok);
    ASSERT_TRUE(in == out);
  }
}

TEST_P(Processes, OneSidedOperationsRunNoCodeAtAStoppedPeer) {
  if (!me_->node.wire->caps().one_sided) GTEST_SKIP() << "emulated";
  ASSERT_EQ(::kill(children_[1].pid, SIGSTOP), 0);
  ASSERT_EQ(::waitpid(children_[1].pid, nullptr, WUNTRACED), children_[1].pid);
  std::uint64_t value = 0;
  EXPECT_EQ(me_->node.read(NodeId(1), 0, &value, sizeof value), Code::ok);
  EXPECT_EQ(value, 1001u);
  ASSERT_EQ(::kill(children_[1].pid, SIGCONT), 0);
}

TEST_P(Processes, AKilledNodeIsNoticedByAllOfThemAsleep) {
  me_->node.send(NodeId(1), "are you there");
  ASSERT_EQ(next().bytes, "are you there");
  const double killed = now_seconds();
  kill_child(1);
  bool noticed = false;
  bool other_noticed = false;
  while (!noticed || !other_noticed) {
    const Arrived a = next();
    if (HasFailure()) return;
    if (a.kind == Event::Kind::peer_down) {
      EXPECT_EQ(a.peer, NodeId(1));
      EXPECT_FALSE(noticed) << "noticed twice";
      noticed = true;
    } else {
      EXPECT_EQ(a.bytes, "lost 1");
      other_noticed = true;
    }
  }
  EXPECT_LT(now_seconds() - killed, 5.0) << "the limit that the design sets";
  // The two that are left go on.
  me_->node.send(NodeId(2), "we go on");
  EXPECT_EQ(next().bytes, "we go on");
}

TEST_P(Processes, AKillInTheMiddleOfMuchTrafficLosesNothingElse) {
  const std::string text = pattern(20'000, 1);
  std::size_t sent = 0;
  // Both children echo; one dies under it.
  for (int i = 0; i < 200; ++i) {
    if (i == 100) kill_child(1);
    for (std::uint32_t rank = 1; rank < nodes; ++rank) {
      for (;;) {
        const Status status = me_->node.wire->send(NodeId(rank), std::as_bytes(std::span(text)));
        if (status.ok() && rank == 2) ++sent;
        if (status.code() != Code::would_block) break;
        me_->node.poll();
      }
    }
  }
  std::size_t echoed = 0;
  bool down = false;
  while (echoed < sent || !down) {
    const Arrived a = next();
    if (HasFailure()) return;
    if (a.kind == Event::Kind::peer_down) down = true;
    if (a.kind == Event::Kind::message && a.peer == NodeId(2) && a.bytes != "lost 1") {
      ASSERT_TRUE(a.bytes == text);
      ++echoed;
    }
  }
  EXPECT_EQ(echoed, sent);
}

}  // namespace
}  // namespace dsm::transport
