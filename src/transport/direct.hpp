// One-sided operations done by this processor, on memory of this process or mapped into it. Used by
// every backend that has no device for them: loopback and shm at the poster, emulated_rma at the
// target.
//
// Stores exactly the bytes of the range. An aligned 8-byte READ or WRITE is a single load or store.
// Everything else may be torn by concurrent stores into the range, byte by byte.
#pragma once

#include <cstddef>
#include <span>

#include "transport/transport.hpp"

namespace dsm::transport {

// Copies while others may store to `from` or load from `to`.
void copy_shared(void* to, const void* from, std::size_t size);

// True when the operation lies within `size` bytes of memory, and is aligned if it is an atomic.
bool in_bounds(const Operation& operation, std::size_t size);

// Operations that take effect in order, with a full fence between a store and a later load.
// Thread-compatible: the poster's stack, or the thread that polls.
class DirectBatch {
 public:
  DirectBatch() = default;
  DirectBatch(const DirectBatch&) = delete;
  DirectBatch& operator=(const DirectBatch&) = delete;
  ~DirectBatch() { settle(); }

  // ok, or invalid when outside `memory`: then nothing was done.
  Code perform(std::span<std::byte> memory, const Operation& operation);

  // For a load that perform() does not do itself: every store so far is visible before it.
  void settle();

  // For a store that was done elsewhere, as by the kernel.
  void note_store() { unsettled_store_ = true; }

 private:
  bool unsettled_store_ = false;
};

}  // namespace dsm::transport
