// Typed ids and limits. A NodeId is not a PageId, and the compiler says so.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace dsm {

// An integer that only compares and counts with its own kind.
template <typename Tag, typename Rep>
struct Id {
  Rep value{};

  constexpr Id() = default;
  constexpr explicit Id(Rep v) : value(v) {}
  constexpr auto operator<=>(const Id&) const = default;
  constexpr Id& operator++() {
    ++value;
    return *this;
  }
  constexpr Id operator+(Rep n) const { return Id(static_cast<Rep>(value + n)); }
  constexpr Rep operator-(Id other) const { return static_cast<Rep>(value - other.value); }
};

using NodeId = Id<struct NodeTag, std::uint32_t>;  // a process of the job: 0..n-1, its rank
// a page of the space, counted from its start
using PageId = Id<struct PageTag, std::uint64_t>;
using LockId = Id<struct LockTag, std::uint64_t>;            // a lock of the job
using ConditionId = Id<struct ConditionTag, std::uint64_t>;  // a condition of the job
// nodes that meet by themselves: the number of the split that made them, one group of it a node
using TeamId = Id<struct TeamTag, std::uint32_t>;
using SharedLockId = Id<struct SharedLockTag, std::uint64_t>;  // numbered apart from locks
using SemaphoreId = Id<struct SemaphoreTag, std::uint64_t>;    // numbered apart from both
// a collective allocation, in order of allocation
using RegionId = Id<struct RegionTag, std::uint32_t>;
using Ticket = Id<struct TicketTag, std::uint64_t>;  // one waiting thread of this node
// a position in a node's log or in a lock's history
using Seq = Id<struct SeqTag, std::uint64_t>;
using Epoch = Id<struct EpochTag, std::uint32_t>;  // barriers passed

inline constexpr NodeId no_node{~std::uint32_t{0}};

// Contiguous pages [first, first + count).
struct PageRun {
  PageId first{};
  std::uint64_t count = 0;

  constexpr auto operator<=>(const PageRun&) const = default;
  constexpr PageId end() const { return first + count; }
  constexpr bool contains(PageId p) const { return first <= p && p < end(); }
};

// What the program view of a page allows.
enum class Access : std::uint8_t { none, read, write };

// Limits that more than one room must agree on.
inline constexpr std::uint32_t nodes_max = 4096;
inline constexpr std::size_t cache_line = 64;

}  // namespace dsm

template <typename Tag, typename Rep>
struct std::hash<dsm::Id<Tag, Rep>> {
  std::size_t operator()(const dsm::Id<Tag, Rep>& id) const { return std::hash<Rep>{}(id.value); }
};
