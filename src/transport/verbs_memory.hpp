// What a node lets others reach with RDMA: exposed memory, registered chunk by chunk.
//
// The shared space is sparse, and registering memory fills and pins it. So exposed memory is
// registered in chunks of 2 MiB: small memory at once, large memory when a peer first wants to reach
// a chunk, or when its owner says that it is in use (cover()). A chunk that was registered stays so,
// with its frames, for the life of the transport: a device that kept a frame that the kernel had
// given away would read and write memory that nobody else sees. discard() therefore clears such
// frames where it gives others back.
//
// Threads: expose() belongs to set-up; the rest may be called by any thread.
#pragma once

#include <functional>
#include <map>
#include <unordered_map>
#include <vector>

#include "base/mutex.hpp"
#include "transport/transport.hpp"
#include "transport/verbs_device.hpp"

namespace dsm::transport {

// Registered together. Offsets are those of the exposed memory.
inline constexpr std::uint64_t verbs_chunk_bytes = std::uint64_t{2} << 20;
// Memory up to this size is registered when it is exposed.
inline constexpr std::uint64_t verbs_eager_bytes = std::uint64_t{16} << 20;

struct VerbsChunk {
  std::uint32_t memory = 0;  // the exposer's number
  std::uint64_t chunk = 0;   // offset / verbs_chunk_bytes
  std::uint32_t key = 0;
};

// What expose() returns: where the memory lies at its owner, and the keys of what is registered.
struct VerbsMemoryKey {
  std::uint32_t memory = 0;
  std::uint64_t address = 0;
  std::uint64_t size = 0;
  std::vector<std::uint32_t> keys;  // of all chunks, or none

  Bytes encode() const;
  static Result<VerbsMemoryKey> decode(ByteView bytes);
};

class VerbsMemory {
 public:
  explicit VerbsMemory(const VerbsDevice& device) : device_(device) {}

  Result<VerbsMemoryKey> expose(std::span<std::byte> memory);
  // The memory of a key that this node made; empty: none.
  std::span<std::byte> exposed(std::uint32_t memory) const;

  // The chunk's key, registered now if it was not.
  Result<VerbsChunk> chunk(std::uint32_t memory, std::uint64_t number);

  // Registers the chunks of `memory` that are not, and appends them to `fresh`.
  Status cover(std::span<std::byte> memory, std::vector<VerbsChunk>& fresh);

  // The frames of `memory` are wanted no more: clears those that a device holds and calls
  // give_back for the rest, which nobody registers meanwhile.
  void discard(std::span<std::byte> memory,
               const std::function<void(std::span<std::byte>)>& give_back);

  std::uint64_t registered_bytes() const;

 private:
  struct Exposed {
    std::span<std::byte> memory;
    std::map<std::uint64_t, VerbsRegion> chunks;
  };
  Exposed* owner_of(const std::byte* at) DSM_REQUIRES(lock_);
  Result<std::uint32_t> key_of(Exposed& exposed, std::uint64_t number) DSM_REQUIRES(lock_);

  const VerbsDevice& device_;
  mutable Mutex lock_;
  std::vector<Exposed> exposed_ DSM_GUARDED_BY(lock_);
  std::uint64_t registered_ DSM_GUARDED_BY(lock_) = 0;
};

}  // namespace dsm::transport
