// The one-sided channel to each peer, in the engine's order. Steps are carried out by several
// threads, but a home reads its mark rings only up to the first slot not yet written; so the entry
// of slot s must be posted before anything of slot s + 1. Whoever comes too early leaves its
// operation with the one that is late.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/mutex.hpp"
#include "base/types.hpp"
#include "dsm/core/effect.hpp"
#include "dsm/core/event.hpp"
#include "dsm/core/mark.hpp"
#include "dsm/memory/address_space.hpp"
#include "dsm/waiters.hpp"
#include "transport/transport.hpp"

namespace dsm {

// What a READ's completion says: which pages came. Packed into the transport's cookie; never zero.
struct FetchCookie {
  static transport::Cookie of(PageRun run) { return run.first.value << 6 | run.count; }
  static PageRun run(transport::Cookie cookie) { return {PageId(cookie >> 6), cookie & 63}; }
};
// The same of an atomic operation: whose.
struct AtomicCookie {
  static constexpr std::uint64_t mark = 63;  // no run is so long
  static transport::Cookie of(Ticket who) { return who.value << 6 | mark; }
  static bool is(transport::Cookie cookie) { return (cookie & 63) == mark; }
  static Ticket who(transport::Cookie cookie) { return Ticket(cookie >> 6); }
};
// The same of a READ of bound bytes: the number of what it is part of.
struct BoundCookie {
  static constexpr std::uint64_t mark = 62;
  static transport::Cookie of(std::uint64_t number) { return number << 6 | mark; }
  static bool is(transport::Cookie cookie) { return (cookie & 63) == mark; }
  static std::uint64_t number(transport::Cookie cookie) { return cookie >> 6; }
};
// The same of frames that peers let go (Departures).
struct DepartureCookie {
  static constexpr std::uint64_t mark = 61;
  static transport::Cookie of(std::uint64_t number) { return number << 6 | mark; }
  static bool is(transport::Cookie cookie) { return (cookie & 63) == mark; }
  static std::uint64_t number(transport::Cookie cookie) { return cookie >> 6; }
};
static_assert(core::fetch_run_max < DepartureCookie::mark &&
                  core::mark_pages_max <= std::uint64_t{1} << 58,
              "a run fits a cookie");

class Lanes {
 public:
  struct Remote {  // of one peer
    transport::RemoteMemory space;
    transport::RemoteMemory rings;
  };
  // Borrows both for its life. remotes[i] is node i's; this node's own is unused.
  Lanes(transport::Transport& wire, memory::AddressSpace& space, NodeId self,
        std::uint32_t ring_slots, std::vector<Remote> remotes);

  // Any thread; never waits for a peer. The completion's cookie is FetchCookie::of(run).
  void fetch(const core::Fetch& fetch);
  void unmark(const core::Unmark& unmark);
  // An operation of a thread of this node on another's word. The completion's cookie is
  // AtomicCookie::of(who); then found(who) is what the word was.
  void atomic(const core::PerformAtomic& perform);
  std::uint64_t found(Ticket who) const { return found_[who.value]; }

  // Bytes of a peer's frames into a buffer. The completions' cookies are BoundCookies; bound_read()
  // is told of each, and gives what was read with the last.
  void read_bound(core::BoundSource source);
  std::optional<core::BoundRead> bound_read(std::uint64_t number);

  // Posts what the wire had no room for. True: something was posted.
  bool retry();
  std::uint64_t bytes_read() const { return bytes_read_.load(std::memory_order_relaxed); }

 private:
  struct Entry {  // one mark, and the READ behind it if it announces a copy
    std::uint64_t slot = 0;
    core::MarkEntry mark;
  };
  struct Lane {
    Mutex mutex;
    Remote remote DSM_GUARDED_BY(mutex);
    std::uint64_t next DSM_GUARDED_BY(mutex) = 0;  // the slot whose turn it is
    std::vector<Entry> early DSM_GUARDED_BY(mutex);
    // what the WRITEs load from: a slot is reused after a whole lap
    std::vector<std::uint64_t> words DSM_GUARDED_BY(mutex);
    std::vector<transport::Operation> backlog DSM_GUARDED_BY(mutex);
  };

  struct Reading {
    core::BoundRead result;
    std::size_t open = 0;  // operations
  };

  void submit(NodeId home, const Entry& entry);
  void enqueue(Lane& lane, const Entry& entry) DSM_REQUIRES(lane.mutex);
  void enqueue_read(Lane& lane, PageRun run) DSM_REQUIRES(lane.mutex);
  bool flush(NodeId home, Lane& lane) DSM_REQUIRES(lane.mutex);

  transport::Transport& wire_;
  memory::AddressSpace& space_;
  const NodeId self_;
  const std::uint32_t ring_slots_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::array<std::uint64_t, Waiters::places_max> found_{};  // by ticket
  Mutex readings_mutex_;
  std::map<std::uint64_t, Reading> readings_ DSM_GUARDED_BY(readings_mutex_);  // by number
  std::uint64_t readings_begun_ DSM_GUARDED_BY(readings_mutex_) = 0;
  std::atomic<bool> blocked_{false};  // some lane may have a backlog
  std::atomic<std::uint64_t> bytes_read_{0};
};

}  // namespace dsm
