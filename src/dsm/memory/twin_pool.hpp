// TwinPool: room for the copies of pages that are taken before their first write.
//
// A fixed number of page-sized slots in reserved addresses: memory is used from a slot's first
// touch on, and a slot given back is the next one taken, while it is still in the processor's
// cache. take() and give() cost a few instructions, never allocate, and may be called in a trap
// handler. Thread-compatible: the caller's lock guards it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/status.hpp"
#include "base/types.hpp"

namespace dsm::memory {

using TwinId = Id<struct TwinTag, std::uint32_t>;

class TwinPool {
 public:
  static Result<TwinPool> create(std::uint32_t slots, std::size_t slot_bytes);

  TwinPool(TwinPool&& other) noexcept;
  TwinPool& operator=(TwinPool&& other) noexcept;
  ~TwinPool();

  // Nothing when every slot is taken. The slot's bytes are whatever its last user left.
  std::optional<TwinId> take();
  // REQUIRES: `twin` is taken.
  void give(TwinId twin);
  std::byte* bytes(TwinId twin) const { return slots_ + std::size_t{twin.value} * slot_bytes_; }

  std::uint32_t taken() const { return fresh_ - given_; }
  std::uint32_t slots() const { return count_; }

 private:
  TwinPool() = default;

  std::byte* slots_ = nullptr;  // count_ slots, then the stack of those given back
  TwinId* stack_ = nullptr;     // given_ ids; the last is the hottest
  std::size_t slot_bytes_ = 0;
  std::size_t mapped_ = 0;
  std::uint32_t count_ = 0;
  std::uint32_t fresh_ = 0;  // slots [fresh_, count_) were never taken
  std::uint32_t given_ = 0;
};

}  // namespace dsm::memory
