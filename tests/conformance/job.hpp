// A job of n transports within one process, for the conformance suite: each with 1 MiB of exposed
// memory that every other one has imported. Tests drive it from one thread by pumping all nodes in
// turn, or give each node its own thread.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "transport/transport.hpp"

namespace dsm::transport {

// A backend, plain or wrapped, as a parameter of the suite.
struct Wire {
  const char* backend;
  const char* adapters;  // "faulty+traced"
  const char* host = "";
  const char* lossy = "";    // DSM_LOSSY, of a wire of datagrams
  std::string name() const;  // for the test's name
  // Sets the variables that the backends and adapters read.
  void set_environment() const;
  // One-sided operations go on when post() has returned.
  bool has_device() const { return std::string_view(backend) == "verbs"; }
  bool faulty() const {
    return std::string_view(adapters).find("faulty") != std::string_view::npos;
  }
};

inline constexpr std::string_view job_key = "the conformance suite's key";

// A shared mapping of a memfd.
class Memory {
 public:
  explicit Memory(std::size_t size);
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }
  int fd() const { return fd_; }
  std::span<std::byte> span() const { return {data_, size_}; }
  std::uint64_t* word(std::size_t index) const {
    return reinterpret_cast<std::uint64_t*>(data_) + index;
  }

 private:
  std::size_t size_;
  int fd_;
  std::byte* data_;
};

// An event whose bytes were copied, so that its buffer is recycled.
struct Arrived {
  Event::Kind kind;
  NodeId peer;
  std::string bytes;
  Cookie cookie;
  Code code;
};

// One node. poll() recycles at once and queues what came.
class Node {
 public:
  Node(std::unique_ptr<Transport> transport, std::size_t memory_size)
      : memory(memory_size), wire(std::move(transport)) {}

  // Polls once; returns how many events came.
  std::size_t poll();
  // The next event, or false when none came within `seconds`.
  bool next(Arrived& out, double seconds = 20);

  // Sends or posts all of it, polling while the wire is full.
  void send(NodeId peer, std::string_view text, std::string_view body = {});
  void post(NodeId peer, const Operation& operation) { post(peer, std::span(&operation, 1)); }
  void post(NodeId peer, std::span<const Operation> operations);
  // Posts with a cookie of its own and waits for the completion. Other events stay queued.
  Code run(NodeId peer, Operation operation);
  Code read(NodeId peer, std::uint64_t offset, void* local, std::uint64_t size);
  Code write(NodeId peer, std::uint64_t offset, const void* local, std::uint64_t size);

  Memory memory;
  std::vector<RemoteMemory> memory_of;  // by node; this one included
  std::deque<Arrived> arrived;
  std::unique_ptr<Transport> wire;  // ends first

 private:
  Cookie next_cookie_ = Cookie{1} << 60;
};

inline constexpr std::size_t job_memory = std::size_t{1} << 20;

class Job {
 public:
  Job(const Wire& wire, std::uint32_t nodes, std::size_t memory_size = job_memory);

  Node& operator[](std::uint32_t i) { return *nodes_[i]; }
  std::uint32_t size() const { return static_cast<std::uint32_t>(nodes_.size()); }
  void end(std::uint32_t i) { nodes_[i].reset(); }

  // Polls all nodes in turn until done() or `seconds` have passed; returns done().
  bool pump(const std::function<bool()>& done, double seconds = 20);
  // A send(), run() or next() of one node with all the others polled.
  void send(std::uint32_t node, NodeId peer, std::string_view text, std::string_view body = {});
  Code run(std::uint32_t node, NodeId peer, Operation operation);

 private:
  std::vector<std::unique_ptr<Node>> nodes_;
};

// `count` bytes that depend on the seed.
std::string pattern(std::size_t count, std::uint64_t seed);

double now_seconds();

class Conformance : public testing::TestWithParam<Wire> {};

}  // namespace dsm::transport
