// What this node did, and with what. Included by <dsm/dsm.hpp>.
#pragma once

#include <cstdint>

#include <dsm/job.hpp>

namespace dsm {

// What this node did since it joined; for reports and tests. Counting costs nothing that one could
// measure.
struct Statistics {
  std::uint64_t read_faults = 0;  // traps, by what the access wanted
  std::uint64_t write_faults = 0;
  std::uint64_t pages_fetched = 0;
  // of these, ahead of who goes through memory in order; and of these, those that went unread
  std::uint64_t pages_fetched_ahead = 0;
  std::uint64_t pages_fetched_ahead_unread = 0;
  // by barriers: pages of this node times readers that something was sent to, and copies that what
  // others sent kept valid here
  std::uint64_t pages_pushed = 0;
  std::uint64_t pages_kept_up = 0;
  std::uint64_t pages_invalidated = 0;
  std::uint64_t pages_sent_home = 0;  // diffs
  // that have got their home here, since this node writes them, or have lost it
  std::uint64_t pages_moved_here = 0;
  std::uint64_t pages_moved_away = 0;
  std::uint64_t chunks_evicted = 0;
  std::uint64_t messages_sent = 0;
  std::uint64_t bytes_sent = 0;  // in messages
  std::uint64_t bytes_read = 0;  // one-sided
  // Of the wire, where it has such a thing. Chains are batches of one-sided operations that a
  // device took at once; served are one-sided operations of others that this node's processor
  // carried out.
  std::uint64_t chains_posted = 0;
  std::uint64_t operations_served = 0;
  std::uint64_t datagrams_sent = 0;
  std::uint64_t datagrams_resent = 0;
  std::uint64_t datagrams_missed = 0;     // sent by others, and never seen here
  std::uint64_t datagrams_multicast = 0;  // of those sent: for all nodes at once
  std::uint64_t datagrams_relayed = 0;    // of those sent: for nodes behind another, or passed on
  std::uint64_t locks_taken = 0;
  std::uint64_t locks_taken_here = 0;  // of these, without a message
  std::uint64_t barriers = 0;
  std::uint64_t cache_bytes = 0;  // chunks held for other nodes' pages, and the limit
  std::uint64_t cache_limit_bytes = 0;
  std::uint64_t home_bytes = 0;  // of pages whose home is here now
  // of the space, what a network device holds, and what is therefore always in memory
  std::uint64_t registered_bytes = 0;
};
DSM_API Statistics statistics();

// "shm", "uffd" and the like: what this run uses, for reports.
DSM_API const char* transport_name() noexcept;
DSM_API const char* trap_name() noexcept;
DSM_API const char* version() noexcept;

}  // namespace dsm
