// Sends messages, and keeps those that a full wire refuses until it takes them: receiving must
// never wait for sending (PROTOCOL.md E25). Bounded by what the engines may have outstanding.
// Messages may overtake one another.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <span>
#include <utility>

#include "base/mutex.hpp"
#include "base/types.hpp"
#include "base/wire.hpp"
#include "transport/transport.hpp"

namespace dsm {

class Outbox {
 public:
  explicit Outbox(transport::Transport& wire) : wire_(wire) {}

  // Any thread. A message to a peer that is down is dropped: its loss is reported elsewhere.
  void send(NodeId to, ByteView message, transport::Urgency urgency = transport::Urgency::prompt);
  // As send() of each, which may leave together.
  void send_each(std::span<transport::Letter> letters);
  // Tries again what was kept. True: something went.
  bool retry();

  std::uint64_t messages() const { return messages_.load(std::memory_order_relaxed); }
  std::uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }

 private:
  struct Kept {
    NodeId to;
    Bytes message;
    transport::Urgency urgency;
  };
  bool try_send(NodeId to, ByteView message, transport::Urgency urgency);
  // False: it is to be tried again.
  bool has_gone(NodeId to, ByteView message, Code code);
  void keep(NodeId to, ByteView message, transport::Urgency urgency);

  transport::Transport& wire_;
  Mutex mutex_;
  std::deque<Kept> kept_ DSM_GUARDED_BY(mutex_);
  std::atomic<bool> waiting_{false};
  std::atomic<std::uint64_t> messages_{0}, bytes_{0};
};

}  // namespace dsm
