#include "job.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cctype>
#include <chrono>
#include <thread>

#include "transport/loopback.hpp"

namespace dsm::transport {

std::string Wire::name() const {
  std::string text = backend;
  if (*host != 0) text += std::string(host).find(":") == std::string::npos ? "_v4" : "_v6";
  if (*lossy != '\0') {
    const std::string_view list =
        std::string_view(lossy).substr(std::string_view(lossy).find("loss="));
    text += "_" + std::string(list.substr(0, list.find(',')));
  }
  if (*adapters != '\0') text += std::string("_") + adapters;
  for (char& c : text)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  return text;
}

void Wire::set_environment() const {
  ::setenv("DSM_FAULTY", "seed=3,delay=0.2,reorder=0.2,would_block=0.1", 0);
  ::setenv("DSM_LOSSY", lossy, 1);
  ::setenv("DSM_IPOIB_ANY", "1", 1);
  // Nodes that share a thread cannot acknowledge each other's last messages.
  ::setenv("DSM_DATAGRAM_LINGER", "20", 1);
}

Memory::Memory(std::size_t size) : size_(size), fd_(::memfd_create("conformance", MFD_CLOEXEC)) {
  if (fd_ < 0 || ::ftruncate(fd_, static_cast<off_t>(size)) != 0) throw std::runtime_error("memfd");
  void* const at =
      ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd_, 0);
  if (at == MAP_FAILED) throw std::runtime_error("mmap");
  data_ = static_cast<std::byte*>(at);
}

Memory::~Memory() {
  ::munmap(data_, size_);
  ::close(fd_);
}

std::size_t Node::poll() {
  Event events[16];
  const std::size_t count = wire->poll(events);
  for (const Event& e : std::span(events).first(count)) {
    std::string text(reinterpret_cast<const char*>(e.bytes.data()), e.bytes.size());
    arrived.push_back({e.kind, e.peer, std::move(text), e.cookie, e.code});
    if (e.kind == Event::Kind::message) wire->recycle(e);
  }
  return count;
}

bool Node::next(Arrived& out, double seconds) {
  const double end = now_seconds() + seconds;
  while (arrived.empty()) {
    if (poll() == 0) {
      if (now_seconds() > end) return false;
      std::this_thread::yield();
    }
  }
  out = std::move(arrived.front());
  arrived.pop_front();
  return true;
}

static ByteView view(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

void Node::send(NodeId peer, std::string_view text, std::string_view body) {
  const double end = now_seconds() + 20;
  for (;;) {
    const Status sent = wire->send(peer, view(text), view(body));
    if (sent.ok()) return;
    if (sent.code() != Code::would_block || now_seconds() > end) {
      ADD_FAILURE() << "send to " << peer.value << ": " << static_cast<int>(sent.code()) << " "
                    << sent.message();
      return;
    }
    poll();
    std::this_thread::yield();
  }
}

void Node::post(NodeId peer, std::span<const Operation> operations) {
  const double end = now_seconds() + 20;
  while (!operations.empty()) {
    const std::size_t accepted = wire->post(peer, operations);
    operations = operations.subspan(accepted);
    if (accepted != 0) continue;
    if (now_seconds() > end) {
      ADD_FAILURE() << "post to " << peer.value << " was never accepted";
      return;
    }
    poll();
    std::this_thread::yield();
  }
}

Code Node::run(NodeId peer, Operation operation) {
  operation.cookie = ++next_cookie_;
  post(peer, operation);
  const double end = now_seconds() + 20;
  for (;;) {
    for (auto it = arrived.begin(); it != arrived.end(); ++it) {
      if (it->kind != Event::Kind::completion || it->cookie != operation.cookie) continue;
      const Code code = it->code;
      arrived.erase(it);
      return code;
    }
    if (poll() == 0) {
      if (now_seconds() > end) {
        ADD_FAILURE() << "an operation on node " << peer.value << " never completed";
        return Code::timed_out;
      }
      std::this_thread::yield();
    }
  }
}

Code Node::read(NodeId peer, std::uint64_t offset, void* local, std::uint64_t size) {
  return run(peer, {.kind = Operation::Kind::read,
                    .memory = memory_of[peer.value],
                    .offset = offset,
                    .local = local,
                    .size = size});
}

Code Node::write(NodeId peer, std::uint64_t offset, const void* local, std::uint64_t size) {
  return run(peer, {.kind = Operation::Kind::write,
                    .memory = memory_of[peer.value],
                    .offset = offset,
                    .local = const_cast<void*>(local),
                    .size = size});
}

Job::Job(const Wire& wire, std::uint32_t count, std::size_t memory_size) {
  wire.set_environment();
  std::vector<Bytes> addresses;
  std::vector<Bytes> keys;
  LoopbackFabric fabric(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    const Options options{
        .self = NodeId(i), .nodes = count, .job_key = job_key, .bind_host = wire.host};
    auto opened =
        std::string_view(wire.backend) == "loopback"
            ? wrap(fabric.endpoint(NodeId(i)), wire.adapters, options)
            : open(std::string(wire.backend) + (*wire.adapters ? "+" : "") + wire.adapters,
                   options);
    if (!opened.ok()) throw std::runtime_error(opened.status().message());
    nodes_.push_back(std::make_unique<Node>(std::move(opened).value(), memory_size));
    addresses.push_back(nodes_.back()->wire->address());
  }
  const auto expose = [&](Node& node) {
    auto key = node.wire->expose(node.memory.span(), node.memory.fd(), 0);
    if (!key.ok()) throw std::runtime_error(key.status().message());
    keys.push_back(std::move(key).value());
  };
  // Half of the nodes expose before they connect, half after: both are allowed.
  for (std::uint32_t i = 0; i < count; i += 2) expose(*nodes_[i]);
  std::vector<Status> connected(count);
  std::vector<std::thread> threads;
  for (std::uint32_t i = 0; i < count; ++i)
    threads.emplace_back([&, i] { connected[i] = nodes_[i]->wire->connect(addresses); });
  for (auto& thread : threads) thread.join();
  for (const Status& status : connected)
    if (!status.ok()) throw std::runtime_error(status.message());
  for (std::uint32_t i = 1; i < count; i += 2) expose(*nodes_[i]);

  for (std::uint32_t i = 0; i < count; ++i) {
    for (std::uint32_t j = 0; j < count; ++j) {
      const std::size_t at =
          j % 2 == 0 ? j / 2 : (count + 1) / 2 + j / 2;  // the order in which they exposed
      auto memory = nodes_[i]->wire->import_memory(NodeId(j), keys[at]);
      if (!memory.ok()) throw std::runtime_error(memory.status().message());
      nodes_[i]->memory_of.push_back(memory.value());
    }
  }
}

bool Job::pump(const std::function<bool()>& done, double seconds) {
  const double end = now_seconds() + seconds;
  while (!done()) {
    std::size_t count = 0;
    for (auto& node : nodes_)
      if (node) count += node->poll();
    if (count == 0) {
      if (now_seconds() > end) return false;
      std::this_thread::yield();
    }
  }
  return true;
}

void Job::send(std::uint32_t node, NodeId peer, std::string_view text, std::string_view body) {
  Status sent = Status::would_block();
  EXPECT_TRUE(pump([&] {
    sent = nodes_[node]->wire->send(peer, view(text), view(body));
    return sent.code() != Code::would_block;
  })) << "a message for node "
      << peer.value << " was never accepted";
  EXPECT_TRUE(sent.ok()) << sent.message();
}

Code Job::run(std::uint32_t node, NodeId peer, Operation operation) {
  static Cookie cookies = Cookie{1} << 61;
  operation.cookie = ++cookies;
  Node& me = *nodes_[node];
  const double end = now_seconds() + 20;
  while (me.wire->post(peer, std::span(&operation, 1)) == 0 && now_seconds() < end)
    for (auto& each : nodes_)
      if (each) each->poll();
  Code code = Code::timed_out;
  const bool done = pump([&] {
    for (auto it = me.arrived.begin(); it != me.arrived.end(); ++it) {
      if (it->kind != Event::Kind::completion || it->cookie != operation.cookie) continue;
      code = it->code;
      me.arrived.erase(it);
      return true;
    }
    return false;
  });
  EXPECT_TRUE(done) << "an operation on node " << peer.value << " never completed";
  return code;
}

std::string pattern(std::size_t count, std::uint64_t seed) {
  std::string text(count, '\0');
  std::uint64_t x = seed * 0x9e3779b97f4a7c15u + 0x1234567;
  for (char& c : text) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    c = static_cast<char>(x);
  }
  return text;
}

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace dsm::transport
