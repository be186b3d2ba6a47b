// VerbsLane: the one-sided operations of this node at one peer, over one RC queue pair.
//
// Operations wait in a ring in posted order. They leave it, cut into requests of at most one slot's
// bytes, as soon as the queue has room, the key of the peer's chunk is known and the pair is
// connected; several leave as one chain with one doorbell. Data passes through the slots'
// registered bytes: `local` need not be registered, and may change its frame. Completions are told
// in posted order.
//
// Order (caps().ordered). The requests of one RC pair begin in posted order at the peer's device,
// and the rules of the specification make the rest:
//   WRITE,  then WRITE, READ or atomic   in order by themselves: a READ returns what was written
//   READ,   then READ                    in order by themselves
//   READ,   then WRITE or atomic         the later may overtake the READ: it waits (IBV_SEND_FENCE)
//   atomic, then WRITE                   the same
//   atomic, then READ or atomic          in order by themselves
// No region is registered with relaxed ordering.
//
// The pair is made when a first operation is posted, here or at the peer, or by begin(); slots are
// there when something was posted here. A pair that breaks is made anew on both sides
// (verbs_link.hpp), and what was not done is asked again. READs and WRITEs may be: `local` is the
// lane's until the completion, and a WRITE that took effect twice is one that took effect late. An
// atomic may not: then the peer counts as lost, as after several failures in a row
// (VerbsNotes::lost()).
//
// Threads: every call by any thread at any time; completed() in the order of the completion queue.
// `out` outlives the lane.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/mutex.hpp"
#include "transport/local_events.hpp"
#include "transport/stable_table.hpp"
#include "transport/transport.hpp"
#include "transport/verbs_link.hpp"

namespace dsm::transport {

// A peer's memory, as operations name it.
struct VerbsImport {
  NodeId peer{};
  std::uint32_t memory = 0;  // the peer's number
  std::uint64_t address = 0;
  std::uint64_t size = 0;
};
using VerbsImports = StableTable<VerbsImport>;

class VerbsLane {
 public:
  struct Parts {
    NodeId self;
    const VerbsDevice& device;
    ibv_cq* queue;  // of all lanes, with slots() entries for each
    VerbsImports& imports;
    LocalEvents& out;
    VerbsNotes& notes;
  };
  VerbsLane(const Parts& parts, NodeId peer);
  ~VerbsLane();

  static std::uint32_t slots(const VerbsDevice& device);

  // Calls the peer, ahead of the first operation.
  void begin();
  // This node has a pair with the peer, over which operations may leave.
  bool is_ready() const;

  // As post() of the transport, for operations that name this peer's memory; so many credits of
  // `out` are reserved. Returns how many were accepted.
  std::size_t post(std::span<const Operation> operations);
  void know(const VerbsChunk& chunk);
  // The key counts no more, also if it is told later; the peer hears when nothing of this lane uses
  // it.
  void revoke(const VerbsChunk& chunk);
  void refused(const VerbsChunk& chunk);
  // call, answer, ready
  void heed(const VerbsNote& note);

  // A completion of this lane.
  void completed(const ibv_wc& completion);
  // The device has given up the pair of this number.
  void failed(std::uint32_t pair);
  // Now and then, by whoever polls, when all completions have been taken. A pair under which
  // nothing has been done for stall_max, though something is under way, is broken, and so made
  // anew: some devices (soft-RoCE) stand still for ever when a frame is lost ahead of a request
  // that waits for a READ.
  void watch(std::chrono::steady_clock::time_point now);
  // The peer is gone: everything completes with peer_lost, also what is posted later.
  void end();

  // As if the device had given the pair up. For tests.
  void fail_pair();
  std::uint32_t pair_number() const;  // 0: there is none
  bool has_slots() const;

  // Something is under way whose end the device will report.
  bool expects_report() const;
  // Chains handed to the device.
  std::uint64_t chains() const;

  // A request's id: the lane's rank, its pair's generation, the request's number.
  static std::uint32_t lane_of(std::uint64_t id) { return static_cast<std::uint32_t>(id >> 48); }

 private:
  struct Entry {
    Operation operation;
    std::uint64_t posted = 0;  // bytes, or atomics, that left
    std::uint64_t done = 0;
    Code code = Code::ok;
    bool whole = false;  // nothing more will leave for it
  };
  struct Slot {
    std::uint64_t entry = 0;
    std::uint64_t offset = 0;  // within the operation
    std::uint32_t size = 0;
  };
  struct Known {
    std::uint32_t key = 0;
    std::uint32_t least = 0;  // older generations were revoked
    bool usable = false;
  };
  struct Leaving {  // a revoked chunk: requests below `end` may use it
    VerbsChunk chunk;
    std::uint64_t end = 0;
  };
  struct Request {
    ibv_send_wr work;
    ibv_sge place;
  };

  Entry& entry(std::uint64_t number) DSM_REQUIRES(lock_) {
    return entries_[number % entries_.size()];
  }
  std::byte* slot_bytes(std::uint64_t number) const DSM_REQUIRES(lock_);
  bool take_slots() DSM_REQUIRES(lock_);
  void pump() DSM_REQUIRES(lock_);
  bool prepare(Entry& next, Request& request) DSM_REQUIRES(lock_);
  void launch(std::span<Request> requests) DSM_REQUIRES(lock_);
  void retire(std::uint64_t number) DSM_REQUIRES(lock_);
  void deliver() DSM_REQUIRES(lock_);
  void say_released() DSM_REQUIRES(lock_);
  std::string text_of(const ibv_wc& completion) DSM_REQUIRES(lock_);
  void broke(const std::string& how) DSM_REQUIRES(lock_);
  bool rewind() DSM_REQUIRES(lock_);
  void give_up(const std::string& why) DSM_REQUIRES(lock_);
  void finish(Code code) DSM_REQUIRES(lock_);

  const Parts parts_;
  const NodeId peer_;
  const std::uint32_t slots_max_;

  mutable Mutex lock_;
  bool ended_ DSM_GUARDED_BY(lock_) = false;
  VerbsLink link_ DSM_GUARDED_BY(lock_);
  DeviceMemory memory_ DSM_GUARDED_BY(lock_);                            // the slots' bytes
  std::unordered_map<std::uint64_t, Known> keys_ DSM_GUARDED_BY(lock_);  // by chunk
  std::deque<Leaving> leaving_ DSM_GUARDED_BY(lock_);
  std::vector<Entry> entries_ DSM_GUARDED_BY(lock_);
  std::vector<Slot> slots_ DSM_GUARDED_BY(lock_);
  // [first_, next_) have left entirely or in part, [next_, end_) wait.
  std::uint64_t first_ DSM_GUARDED_BY(lock_) = 0;
  std::uint64_t next_ DSM_GUARDED_BY(lock_) = 0;
  std::uint64_t end_ DSM_GUARDED_BY(lock_) = 0;
  std::uint64_t slot_first_ DSM_GUARDED_BY(lock_) = 0;
  std::uint64_t slot_end_ DSM_GUARDED_BY(lock_) = 0;
  std::uint64_t loads_end_ DSM_GUARDED_BY(lock_) = 0;  // behind the last READ or atomic that left
  std::uint64_t asked_ DSM_GUARDED_BY(lock_) = ~std::uint64_t{0};  // the chunk that is waited for
  std::uint32_t failures_ DSM_GUARDED_BY(lock_) = 0;               // since the last success
  // slot_first_ as it was when it was first seen to wait for what is under way; ~0: nothing is.
  std::uint64_t watched_ DSM_GUARDED_BY(lock_) = ~std::uint64_t{0};
  std::chrono::steady_clock::time_point watched_at_ DSM_GUARDED_BY(lock_){};
  std::uint32_t until_break_ DSM_GUARDED_BY(lock_);      // completions, in tests
  std::uint32_t reports_due_ DSM_GUARDED_BY(lock_) = 0;  // signalled requests under way
  std::uint64_t chains_ DSM_GUARDED_BY(lock_) = 0;
};

}  // namespace dsm::transport
