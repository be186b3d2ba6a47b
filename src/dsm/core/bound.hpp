// Memory that is bound to a lock: its newest content is with the lock's owner, and travels with the
// token (entry consistency; Bershad and Zekauskas, 1991). Pure values.
//
// The newest content comes *pushed*, aboard the grant, or is *pulled*: the grant says that it is in
// its sender's frames, the new owner READs it there, and the sender keeps those frames until it is
// told that it was read.
//
// Each part of a binding lies in one page of a region of the bound policy. `version` is the turn of
// the lock that the bytes in this node's frame are of, at least: a home keeps the newest that it
// was given, and what a node sends home carries the version that it has.
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

// How what is bound gets to a new owner.
enum class Refresh : std::uint8_t { push, pull };

// Where the bytes of one part are, says a grant: in the message, at the home of their page, or in
// the frames of the sender.
enum class Where : std::uint8_t { aboard, at_home, at_sender };
struct Aboard {
  Span span;
  Where where = Where::aboard;
  bool operator==(const Aboard&) const = default;
};

// What a new owner READs from the one before: these spans, which that node keeps until it hears
// that they were read in this turn.
struct BoundSource {
  NodeId owner{};
  LockId lock{};
  Seq turn{};
  std::vector<Span> spans;
  bool operator==(const BoundSource&) const = default;
};

// Bytes that nobody here may have written: their lock was not here.
struct Forbidden {
  LockId lock{};
  Span span;
  bool operator==(const Forbidden&) const = default;
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
  Refresh refresh = Refresh::push;
  Epoch since{};  // barriers passed when it was bound: the same on every node
  Seq version{};
  bool had = false;      // the lock was here since it was bound
  bool pending = false;  // a grant has come and the frame has not got its bytes yet
  // Where misuse is looked for: the lock was not here since the page's twin was what its frame was.
  bool forbidden = false;
  Where where = Where::aboard;  // pending: where these are; `aboard` once they are in `bytes`
  Bytes bytes;
  bool operator==(const BoundPart&) const = default;
};

class Bindings {
 public:
  using Parts = std::vector<BoundPart>;

  BoundPart& add(LockId lock, const Span& span);  // valid until the next
  void remove(PageRun run);                       // a region goes
  Parts* of(LockId lock);                         // null: nothing is bound to it
  const Parts* of(LockId lock) const;
  // Null: not bound so. `next` is where to begin to look, and then the place behind what was found:
  // lists of parts have the same order on all nodes.
  BoundPart* find(LockId lock, const Span& span, std::size_t& next);
  // The locks that something of this page is bound to.
  const std::vector<LockId>& on(PageId page) const;
  const std::map<LockId, Parts>& all() const { return parts_; }
  bool operator==(const Bindings&) const = default;

 private:
  std::map<LockId, Parts> parts_;
  std::map<PageId, std::vector<LockId>> locks_;
};

}  // namespace dsm::core
