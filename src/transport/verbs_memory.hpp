// What a node lets others reach with RDMA: exposed memory, registered chunk by chunk.
//
// The shared space is sparse, and registering memory fills and pins it. So exposed memory is
// registered in chunks of 2 MiB. Some stay registered, with their frames, for the life of the
// transport: small memory, and what its owner says that it is in use (cover()). All others are
// *lent*: registered when a peer first asks for a chunk's key, and given up when the frames are to
// go (discard()), or when more than `lent_max` bytes would be lent: then the one that was not asked
// for for longest.
//
// A device that kept frames that the kernel has given away would read and write memory that nobody
// else sees. So a lent chunk goes in this order (PROTOCOL.md 20): everybody who was told its key
// hears that it is revoked; says that he uses it no more, with nothing of his under way; the chunk
// is deregistered; its frames are given back. A peer that is lost need not answer. A key is told
// with its *generation*, one for each registration, since the message that tells a key may be
// overtaken by the one that revokes it. Who asks meanwhile is answered when the chunk has gone.
//
// With on-demand paging (VerbsLimits::on_demand) nothing is pinned, the device follows the kernel,
// and chunks are never revoked.
//
// Nothing is sent from here: calls append to an Out what is to be said and reported.
//
// Threads: expose() belongs to set-up; the rest may be called by any thread.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
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
  std::uint32_t generation = 0;  // 0: known since the memory was exposed
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
  static constexpr std::uint64_t no_limit = ~std::uint64_t{0};

  struct Word {
    enum class Kind : std::uint8_t { told, refused, revoke };
    Kind kind = Kind::told;
    NodeId peer{};
    VerbsChunk chunk;
  };
  struct Out {
    std::vector<Word> words;   // to be sent, in any order
    std::vector<Cookie> gone;  // discards that have ended
  };

  // At most `lent_max` bytes are lent at once, but always one chunk.
  explicit VerbsMemory(const VerbsDevice& device, std::uint64_t lent_max = no_limit)
      : device_(device), lent_max_(lent_max) {}

  Result<VerbsMemoryKey> expose(std::span<std::byte> memory);
  // The memory of a key that this node made; empty: none.
  std::span<std::byte> exposed(std::uint32_t memory) const;

  // A peer asks for a chunk's key. The answer comes now or when others have gone; where it is
  // `refused` a line has said why.
  void ask(NodeId peer, std::uint32_t memory, std::uint64_t number, Out& out);
  // A peer uses a revoked chunk no more.
  void released(NodeId peer, const VerbsChunk& chunk, Out& out);
  // A peer is lost, and its queue pair is gone.
  void forget(NodeId peer, Out& out);

  // `memory` stays registered from now on. Everybody is to be told of the `fresh` chunks.
  Status cover(std::span<std::byte> memory, std::vector<VerbsChunk>& fresh, Out& out);

  // As Transport::discard. False: `done` will be among the gone of a later call.
  bool discard(std::span<std::byte> memory, const GiveBack& give_back, Cookie done, Out& out);

  std::uint64_t registered_bytes() const;  // pinned, that is: none with on-demand paging
  std::uint64_t lent_bytes() const;        // of these

 private:
  // A discard that waits for chunks to go.
  struct Parting {
    GiveBack give_back;
    Cookie done = 0;
    std::size_t open = 0;
  };
  struct Chunk {
    VerbsRegion region;
    std::uint32_t generation = 0;
    bool lent = false;
    bool going = false;
    std::uint64_t last_ask = 0;
    std::vector<NodeId> holders;  // of a lent chunk: who was told its key
    std::vector<std::pair<std::span<std::byte>, std::shared_ptr<Parting>>> parts;  // discarded
  };
  using Chunks = std::map<std::uint64_t, Chunk>;
  struct Exposed {
    std::span<std::byte> memory;
    Chunks chunks;

    std::span<std::byte> part(std::uint64_t number) const;
  };
  struct Ask {
    NodeId peer{};
    std::uint32_t memory = 0;
    std::uint64_t number = 0;
  };

  Exposed* owner_of(const std::byte* at) DSM_REQUIRES(lock_);
  VerbsChunk name_of(const Exposed& exposed, std::uint64_t number, const Chunk& chunk) const
      DSM_REQUIRES(lock_);
  Result<Chunk*> enter(Exposed& exposed, std::uint64_t number, bool lent) DSM_REQUIRES(lock_);
  void keep(Exposed& exposed, std::uint64_t number, Chunk& chunk, Out& out) DSM_REQUIRES(lock_);

  // verbs_revoke.cpp
  void serve(Out& out) DSM_REQUIRES(lock_);
  bool answer(const Ask& ask, Out& out) DSM_REQUIRES(lock_);
  bool revoke_oldest(Out& out) DSM_REQUIRES(lock_);
  void revoke(Exposed& exposed, Chunks::iterator at, Out& out) DSM_REQUIRES(lock_);
  void finish(Exposed& exposed, Chunks::iterator at, Out& out) DSM_REQUIRES(lock_);
  static void settle(Parting& parting, Out& out);

  const VerbsDevice& device_;
  const std::uint64_t lent_max_;
  mutable Mutex lock_;
  std::vector<Exposed> exposed_ DSM_GUARDED_BY(lock_);
  std::deque<Ask> asks_ DSM_GUARDED_BY(lock_);  // unanswered: at most one of each peer
  std::uint64_t registered_ DSM_GUARDED_BY(lock_) = 0;
  std::uint64_t lent_ DSM_GUARDED_BY(lock_) = 0;
  std::size_t going_ DSM_GUARDED_BY(lock_) = 0;
  std::uint64_t clock_ DSM_GUARDED_BY(lock_) = 0;  // counts asks
  std::uint32_t generations_ DSM_GUARDED_BY(lock_) = 0;
};

}  // namespace dsm::transport
