// A ring of messages in memory that two processes share: one producer process, one consumer.
//
// An entry is a 64-bit word {committed, released, kind, size} and its bytes, contiguous, padded
// to 8. The producer clears the word behind an entry before it commits the entry, so the consumer
// needs to look at nothing but the next word. The consumer leaves entries in place until they are
// released, in any order; the room comes back from the oldest on. RingWriter: one thread at a time
// (the caller's lock). RingReader: the thread that polls. Neither owns the memory.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/types.hpp"
#include "base/wire.hpp"

namespace dsm::transport {

// What both sides share beside the bytes. All zero at first.
struct RingControl {
  alignas(cache_line)
      std::atomic<std::uint64_t> tail;        // consumer: everything before it may be overwritten
  std::atomic<std::uint64_t> large_released;  // consumer: bytes of large messages given back
  alignas(cache_line) std::atomic<std::uint32_t> blocked;  // producer: waits for room; consumer:
                                                           // clears it and wakes the producer
};
static_assert(sizeof(RingControl) == 2 * cache_line);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "processes share these");

enum class EntryKind : std::uint8_t {
  none = 0,
  message,  // its bytes
  large,    // LargeMessage: the bytes are in a memfd that came over the control socket
  skip,     // nothing, up to the ring's end
};

struct RingEntry {
  EntryKind kind;
  ByteView bytes;          // in the ring, until release()
  std::uint64_t position;  // names the entry in release()
};

inline constexpr std::size_t ring_word = sizeof(std::uint64_t);

class RingWriter {
 public:
  RingWriter() = default;
  // REQUIRES: capacity is a power of two.
  RingWriter(RingControl* control, std::byte* data, std::size_t capacity)
      : control_(control), data_(data), capacity_(capacity) {}

  // False: no room; nothing was done. REQUIRES: header + body are at most capacity / 4.
  bool push(EntryKind kind, ByteView header, ByteView body);
  bool has_room(std::size_t size);

 private:
  std::size_t skip_for(std::size_t entry) const;
  std::atomic<std::uint64_t>& word_at(std::uint64_t position) const;

  RingControl* control_ = nullptr;
  std::byte* data_ = nullptr;
  std::size_t capacity_ = 0;
  std::uint64_t head_ = 0;  // positions count bytes for ever; modulo capacity they are places
  std::uint64_t tail_ = 0;  // as last seen
};

class RingReader {
 public:
  RingReader() = default;
  RingReader(RingControl* control, std::byte* data, std::size_t capacity)
      : control_(control), data_(data), capacity_(capacity) {}

  // True when there is an entry; costs one load.
  bool ready() const;
  // The next entry. None: nothing there, or the producer wrote what no producer writes; then
  // corrupt().
  std::optional<RingEntry> next();
  bool corrupt() const { return corrupt_; }
  // True when room came back.
  bool release(std::uint64_t position);

 private:
  std::atomic<std::uint64_t>& word_at(std::uint64_t position) const;

  RingControl* control_ = nullptr;
  std::byte* data_ = nullptr;
  std::size_t capacity_ = 0;
  std::uint64_t read_ = 0;
  std::uint64_t tail_ = 0;
  bool corrupt_ = false;
};

}  // namespace dsm::transport
