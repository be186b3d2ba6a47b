// Marks against stores, between two nodes: what a reader and a home saw of each other. The reader
// marks, then reads; the home stores, fences, then looks at its marks. Whatever the timing, one of
// the two sees the other (PROTOCOL rule 6).
#pragma once

#include <atomic>
#include <vector>

#include "job.hpp"

namespace dsm::transport {

// The reader wrote mark i, then read values_read[i]; the home stored value j, fenced, then saw
// marks_seen[j]. Both count from 1.
struct History {
  std::vector<std::uint32_t> values_read;
  std::vector<std::uint32_t> marks_seen;

  // Tries in which the reader read a value older than the home's next store, which in turn saw no
  // mark of that try.
  std::size_t stale() const;
  // Tries that raced with a store of the home.
  std::size_t raced() const;
};

enum class Reader { marks_then_reads, reads_then_marks };

// Before either side begins.
void forget_marks(Memory& home);

// The home's side, until `stop`; returns marks_seen. It stays near the reader: neither leaves the
// other behind.
std::vector<std::uint32_t> store_and_look(Memory& home, std::size_t tries,
                                          const std::atomic<bool>& stop);

// The reader's side; returns values_read.
std::vector<std::uint32_t> mark_and_read(Node& reader, NodeId home, std::size_t tries,
                                         Reader order);

}  // namespace dsm::transport
