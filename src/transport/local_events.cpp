#include "transport/local_events.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/check.hpp"

namespace dsm::transport {
namespace {
constexpr std::size_t buffer_bytes_min = 4096;
constexpr std::size_t buffer_bytes_kept = 1u << 20;  // a larger buffer is given back to the heap
}  // namespace

LocalEvents::~LocalEvents() = default;

Status LocalEvents::push_message(NodeId from, ByteView header, ByteView body) {
  const std::size_t size = header.size() + body.size();
  {
    MutexLock hold(lock_);
    const bool full = messages_ >= local_messages_max || bytes_ + size > local_bytes_max;
    if (messages_ != 0 && full) {
      blocked_.store(true);
      return Status::would_block();
    }
    Buffer* const buffer = take_buffer(size);
    if (!header.empty()) std::memcpy(buffer->bytes.data(), header.data(), header.size());
    if (!body.empty()) std::memcpy(buffer->bytes.data() + header.size(), body.data(), body.size());
    ++messages_;
    bytes_ += size;
    push({.kind = Event::Kind::message,
          .peer = from,
          .bytes = ByteView(buffer->bytes.data(), size),
          .buffer = reinterpret_cast<std::uintptr_t>(buffer)});
  }
  bell_.ring();
  return {};
}

void LocalEvents::push_peer_down(NodeId peer, ByteView why) {
  {
    MutexLock hold(lock_);
    push({.kind = Event::Kind::peer_down, .peer = peer, .bytes = why});
  }
  bell_.ring();
}

std::size_t LocalEvents::reserve(std::size_t wanted) {
  const std::size_t before = reserved_.fetch_add(wanted, std::memory_order_relaxed);
  const std::size_t room = before < completions_max ? completions_max - before : 0;
  const std::size_t granted = std::min(wanted, room);
  if (granted < wanted) release(wanted - granted);
  return granted;
}

void LocalEvents::push_completion(NodeId peer, Cookie cookie, Code code) {
  {
    MutexLock hold(lock_);
    push({.kind = Event::Kind::completion, .peer = peer, .cookie = cookie, .code = code});
  }
  bell_.ring();
}

void LocalEvents::push(const Event& event) {
  const std::size_t count = count_.load(std::memory_order_relaxed);
  if (count == ring_.size()) {
    std::rotate(ring_.begin(), ring_.begin() + static_cast<std::ptrdiff_t>(first_), ring_.end());
    first_ = 0;
    ring_.resize(std::max<std::size_t>(64, 2 * ring_.size()));
  }
  ring_[(first_ + count) & (ring_.size() - 1)] = event;
  count_.store(count + 1, std::memory_order_release);
}

std::size_t LocalEvents::pop(std::span<Event> out) {
  if (empty()) return 0;
  MutexLock hold(lock_);
  const std::size_t count = count_.load(std::memory_order_relaxed);
  const std::size_t taken = std::min(count, out.size());
  for (std::size_t i = 0; i < taken; ++i) {
    out[i] = ring_[first_];
    first_ = (first_ + 1) & (ring_.size() - 1);
    if (out[i].kind == Event::Kind::completion) release(1);
    if (out[i].kind == Event::Kind::message) {
      --messages_;
      bytes_ -= out[i].bytes.size();
    }
  }
  count_.store(count - taken, std::memory_order_release);
  return taken;
}

void LocalEvents::recycle(const Event& message) {
  MutexLock hold(lock_);
  auto* const buffer = reinterpret_cast<Buffer*>(static_cast<std::uintptr_t>(message.buffer));
  if (buffer->bytes.size() > buffer_bytes_kept) Bytes().swap(buffer->bytes);
  buffer->next = free_;
  free_ = buffer;
}

LocalEvents::Buffer* LocalEvents::take_buffer(std::size_t size) {
  if (!free_) {
    buffers_.push_back(std::make_unique<Buffer>());
    free_ = buffers_.back().get();
  }
  Buffer* const buffer = free_;
  free_ = buffer->next;
  if (buffer->bytes.size() < size)
    buffer->bytes.resize(std::bit_ceil(std::max(size, buffer_bytes_min)));
  return buffer;
}

}  // namespace dsm::transport
