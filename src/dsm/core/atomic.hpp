// Operations on aligned 64-bit words of shared memory that are indivisible for all nodes. They take
// effect in the home's frame: by the wire's own atomics, or by the home's processor. Pure values.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>

#include "base/types.hpp"

namespace dsm::core {

struct WordOperation {
  enum class Kind : std::uint8_t { fetch_add, compare_swap };
  PageId page{};
  std::uint32_t offset = 0;  // in the page; a multiple of 8
  Kind kind = Kind::fetch_add;
  std::uint64_t operand = 0;  // added, or stored when the word equals `compare`
  std::uint64_t compare = 0;
  bool operator==(const WordOperation&) const = default;

  std::uint64_t result(std::uint64_t word) const {
    if (kind == Kind::fetch_add) return word + operand;
    return word == compare ? operand : word;
  }
};

// The pages whose words this node's threads changed so. A barrier names them, so that what was
// changed by atomics before it may be read plainly behind it.
struct Atomics {
  std::map<Ticket, PageId> under_way;
  std::set<PageId> since_barrier;
  std::set<PageId> told;  // in this node's part of the barrier under way
  bool is_under_way(PageId page) const {
    return std::any_of(under_way.begin(), under_way.end(),
                       [page](const auto& one) { return one.second == page; });
  }
  bool names(PageId page) const {
    return since_barrier.contains(page) || told.contains(page) || is_under_way(page);
  }
  bool operator==(const Atomics&) const = default;
};

}  // namespace dsm::core
