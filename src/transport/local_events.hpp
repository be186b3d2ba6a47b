// LocalEvents: what happens to a node without a wire: messages to itself, completions of operations
// that were done at once, peers that were found dead. Every backend has one; loopback is little
// else.
//
// Thread-safe. pop() and recycle() belong to the thread that polls. Rings the doorbell after every
// push.
#pragma once

#include <atomic>
#include <memory>
#include <span>
#include <vector>

#include "base/mutex.hpp"
#include "transport/doorbell.hpp"
#include "transport/transport.hpp"

namespace dsm::transport {

// Completions that a node may have outstanding, queued ones included. post() accepts less beyond.
inline constexpr std::size_t completions_max = 4096;
// A queue with messages takes no more above either; an empty one takes any single message.
inline constexpr std::size_t local_messages_max = 4096;
inline constexpr std::size_t local_bytes_max = 4u << 20;

class LocalEvents {
 public:
  explicit LocalEvents(Doorbell bell) : bell_(bell) {}
  LocalEvents(const LocalEvents&) = delete;
  LocalEvents& operator=(const LocalEvents&) = delete;
  ~LocalEvents();

  Status push_message(NodeId from, ByteView header, ByteView body);
  // `why` outlives the events.
  void push_peer_down(NodeId peer, ByteView why = {});

  // Credits for completions: of `wanted`, how many may be outstanding. Each ends in
  // push_completion() or in release(1).
  std::size_t reserve(std::size_t wanted);
  // A credit, above the limit if need be, for a completion of what was not posted.
  void owe() { reserved_.fetch_add(1, std::memory_order_relaxed); }
  void release(std::size_t count) { reserved_.fetch_sub(count, std::memory_order_relaxed); }
  void push_completion(NodeId peer, Cookie cookie, Code code);

  bool empty() const { return count_.load(std::memory_order_acquire) == 0; }
  std::size_t pop(std::span<Event> out);
  void recycle(const Event& message);

  // True once after a push_message() that would have blocked, when there may be room again.
  bool take_room_again() {
    return !blocked_.load(std::memory_order_relaxed) ? false : blocked_.exchange(false);
  }

 private:
  struct Buffer {
    Bytes bytes;
    Buffer* next = nullptr;
  };

  void push(const Event& event) DSM_REQUIRES(lock_);
  Buffer* take_buffer(std::size_t size) DSM_REQUIRES(lock_);

  const Doorbell bell_;
  std::atomic<std::size_t> count_{0};
  std::atomic<std::size_t> reserved_{0};
  std::atomic<bool> blocked_{false};

  Mutex lock_;
  std::vector<Event> ring_ DSM_GUARDED_BY(lock_);  // a power of two; grows, never shrinks
  std::size_t first_ DSM_GUARDED_BY(lock_) = 0;
  std::size_t messages_ DSM_GUARDED_BY(lock_) = 0;
  std::size_t bytes_ DSM_GUARDED_BY(lock_) = 0;
  Buffer* free_ DSM_GUARDED_BY(lock_) = nullptr;
  std::vector<std::unique_ptr<Buffer>> buffers_ DSM_GUARDED_BY(lock_);
};

}  // namespace dsm::transport
