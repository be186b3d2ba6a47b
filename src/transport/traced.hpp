// traced: wraps any transport; counts what passes and keeps the last events. Costs a few relaxed
// stores an operation.
//
// The record is printed when a peer goes down, and by report(). Threads as in the contract;
// report() and counts() may be called from any thread, and see a record that others go on writing.
#pragma once

#include <array>
#include <atomic>
#include <memory>

#include "transport/transport.hpp"

namespace dsm::transport {

class Traced final : public Transport {
 public:
  // What is counted, and what the record's lines are about.
  enum class What : std::uint8_t {
    send,
    send_refused,
    read,
    write,
    fetch_add,
    compare_swap,
    post_refused,
    message,
    completion,
    failed_completion,
    peer_down,
  };
  static constexpr std::size_t kinds = 11;
  static constexpr std::size_t record_max = 64;

  struct Count {
    std::uint64_t times = 0;
    std::uint64_t bytes = 0;
  };

  Traced(std::unique_ptr<Transport> inner, NodeId self) : inner_(std::move(inner)), self_(self) {}

  Count count(What what) const;

  // Writes the counts and the last record_max events to descriptor 2. Async-signal-safe.
  void report() const;

  const Caps& caps() const override { return inner_->caps(); }
  Bytes address() const override { return inner_->address(); }
  Status connect(std::span<const Bytes> addresses) override { return inner_->connect(addresses); }
  Result<Bytes> expose(std::span<std::byte> memory, int fd, std::uint64_t fd_offset) override {
    return inner_->expose(memory, fd, fd_offset);
  }
  Status cover(std::span<std::byte> memory) override { return inner_->cover(memory); }
  bool discard(std::span<std::byte> memory, const GiveBack& give_back, Cookie done) override {
    return inner_->discard(memory, give_back, done);
  }
  std::uint64_t registered_bytes() const override { return inner_->registered_bytes(); }
  Result<RemoteMemory> import_memory(NodeId peer, ByteView key) override {
    return inner_->import_memory(peer, key);
  }
  Status send(NodeId peer, ByteView header, ByteView body, Urgency urgency) override;
  void send_each(std::span<Letter> letters) override;
  std::size_t post(NodeId peer, std::span<const Operation> operations) override;
  std::size_t poll(std::span<Event> out) override;
  void recycle(const Event& message) override { inner_->recycle(message); }
  int wait_fd() const override { return inner_->wait_fd(); }
  bool arm(Urgency least) override { return inner_->arm(least); }
  Tally tally() const override { return inner_->tally(); }
  std::uint64_t served() const override { return inner_->served(); }

 private:
  struct Counter {
    std::atomic<std::uint64_t> times{0};
    std::atomic<std::uint64_t> bytes{0};
  };
  struct Line {
    std::atomic<std::uint64_t> what_and_peer{0};
    std::atomic<std::uint64_t> value{0};  // bytes, or a cookie
  };

  void note(What what, NodeId peer, std::uint64_t bytes, std::uint64_t value);

  const std::unique_ptr<Transport> inner_;
  const NodeId self_;
  std::array<Counter, kinds> counters_;
  std::array<Line, record_max> record_;
  std::atomic<std::uint64_t> noted_{0};
};

Result<std::unique_ptr<Transport>> wrap_traced(std::unique_ptr<Transport>, const Options&);

}  // namespace dsm::transport
