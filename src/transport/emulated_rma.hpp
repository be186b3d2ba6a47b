// One-sided operations made of messages, for wires that have none: requests that the target's
// polling serves in the order in which they came, and replies. Knows no wire: whoever uses it
// carries requests and replies to the other side, in order, exactly once, and closes the connection
// when this says that what came is none.
//
// An operation takes effect when it is served. A READ, an atomic and a WRITE with a cookie are
// replied to; a WRITE without is not, unless it failed. Data lands where it belongs without a copy
// in between when the wire can receive there.
#pragma once

#include <array>
#include <atomic>
#include <optional>
#include <vector>

#include "transport/direct.hpp"
#include "transport/stable_table.hpp"
#include "transport/transport.hpp"

namespace dsm::transport {

// Ahead of a WRITE's data. As it is on the wire; every target of this library is little-endian.
struct RmaRequest {
  Operation::Kind kind{};
  std::uint8_t replied = 0;
  std::uint16_t zero = 0;
  std::uint32_t memory = 0;  // the target's own number
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  std::uint64_t operand = 0;
  std::uint64_t compare = 0;
  std::uint64_t sequence = 0;
};
static_assert(sizeof(RmaRequest) == 48);

// Ahead of a READ's data, or of an atomic's previous value.
struct RmaReply {
  std::uint64_t sequence = 0;
  std::uint8_t failed = 0;
  std::array<std::uint8_t, 7> zero{};
};
static_assert(sizeof(RmaReply) == 16);

// Operations that one node has outstanding at one peer. They bound what the peer must hold for a
// slow reader. An operation larger than the limit travels alone.
inline constexpr std::size_t rma_outstanding_max = 1024;
inline constexpr std::size_t rma_reply_bytes_max = std::size_t{16} << 20;

// The asking side toward one peer. Thread-compatible: guarded by whatever keeps the requests in
// order.
class RmaRequester {
 public:
  RmaRequester();

  // False: too much is outstanding.
  bool has_room(const Operation& operation) const;
  bool is_half_free() const {
    return end_ - first_ <= rma_outstanding_max / 2 && reply_bytes_ <= rma_reply_bytes_max / 2;
  }

  // Of data, with the next reply.
  std::size_t next_reply_size() const {
    return first_ == end_ ? 0 : ring_[first_ % rma_outstanding_max].reply_size;
  }

  // What to send, ahead of the data of a WRITE. REQUIRES: has_room().
  RmaRequest ask(const Operation& operation, std::uint32_t memory);

  // Where the `data_size` bytes behind a reply go, and what to report when they are there. Replies
  // come in order: nothing when this is not the next one. `local` is null when there is no data to
  // keep.
  struct Landing {
    std::byte* local = nullptr;
    std::size_t size = 0;
    bool reported = false;
    Cookie cookie = 0;
    Code code = Code::ok;
  };
  std::optional<Landing> accept(const RmaReply& reply, std::size_t data_size);

  // The peer is gone: takes the oldest outstanding operation that has a cookie.
  std::optional<Cookie> abandon();

 private:
  struct Outstanding {
    std::uint64_t sequence;
    std::byte* local;
    std::size_t reply_size;
    Cookie cookie;
  };
  static std::size_t reply_size(const Operation& operation);

  std::vector<Outstanding> ring_;  // rma_outstanding_max places
  std::uint64_t first_ = 0;
  std::uint64_t end_ = 0;
  std::uint64_t sequence_ = 0;
  std::size_t reply_bytes_ = 0;
};

// The serving side, for all peers. The polling thread only; expose() from any one thread.
class RmaTarget {
 public:
  std::uint32_t expose(std::span<std::byte> memory) { return exposed_.append(memory); }
  std::span<std::byte>* exposed(std::uint32_t id) { return exposed_.find(id); }

  // False: no request of this protocol with so much data.
  static bool is_sound(const RmaRequest& request, std::size_t data_size);

  // Requests so far. Any thread.
  std::uint64_t served() const { return served_.load(std::memory_order_relaxed); }

  // What to reply, if anything. `data` may lie in the exposed memory: send or copy it before the
  // next serve().
  struct Served {
    bool replied = false;
    RmaReply reply;
    ByteView data;
  };

  // REQUIRES: is_sound().
  Served serve(const RmaRequest& request, ByteView data);

  // For a WRITE whose data arrives in pieces: where to put it, null when it is to be dropped. Not
  // for a single aligned word, which serve() stores at once. Then landed() instead of serve().
  std::byte* landing(const RmaRequest& request);
  Served landed(const RmaRequest& request, bool dropped);

 private:
  std::span<std::byte> memory_of(const RmaRequest& request);

  void count() { served_.fetch_add(1, std::memory_order_relaxed); }

  static constexpr std::size_t small_read_max = 64;

  StableTable<std::span<std::byte>> exposed_;
  DirectBatch effects_;
  std::atomic<std::uint64_t> served_{0};
  alignas(8) std::array<std::byte, small_read_max> small_{};
};

}  // namespace dsm::transport
