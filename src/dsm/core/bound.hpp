// Memory that is bound to a lock: its newest content is with the lock's owner, and travels with the
// token (entry consistency; Bershad and Zekauskas, 1991). Pure values.
//
// Each part of a binding lies in one page of a region of the bound policy. `version` is the turn of
// the lock that the bytes in this node's frame are of, at least: a home keeps the newest that it was
// given, and what a node sends home carries the version that it has.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "base/types.hpp"
#include "base/wire.hpp"

namespace dsm::core {

// Bytes of one page.
struct Span {
  PageId page{};
  std::uint32_t offset = 0;
  std::uint32_t length = 0;
  auto operator<=>(const Span&) const = default;
};

// What a grant says of one part: its bytes are aboard, or at the part's home.
struct Aboard {
  Span span;
  bool at_home = false;
  bool operator==(const Aboard&) const = default;
};

// What goes home with a page: bytes that a lock's owner had at that turn.
struct Versioned {
  LockId lock{};
  Seq turn{};
  Span span;
  bool operator==(const Versioned&) const = default;
};

struct BoundPart {
  Span span;
  Seq version{};
  bool had = false;      // the lock was here since it was bound
  bool pending = false;  // a grant has come and the frame has not got its bytes yet
  bool at_home = false;  // pending: and these are at the home
  Bytes bytes;           // pending, and not at home
  bool operator==(const BoundPart&) const = default;
};

class Bindings {
 public:
  using Parts = std::vector<BoundPart>;

  void add(LockId lock, const Span& span);
  void remove(PageRun run);  // a region goes
  Parts* of(LockId lock);    // null: nothing is bound to it
  const Parts* of(LockId lock) const;
  // The locks that something of this page is bound to.
  const std::vector<LockId>& on(PageId page) const;
  const std::map<LockId, Parts>& all() const { return parts_; }
  bool operator==(const Bindings&) const = default;

 private:
  std::map<LockId, Parts> parts_;
  std::map<PageId, std::vector<LockId>> locks_;
};

}  // namespace dsm::core
