// What engines say to one another. Decoding is total: any bytes give a message or nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "base/types.hpp"
#include "base/wire.hpp"
#include "dsm/core/atomic.hpp"
#include "dsm/core/bound.hpp"
#include "dsm/core/clock.hpp"
#include "dsm/core/notices.hpp"
#include "sync/barrier.hpp"
#include "sync/semaphore.hpp"
#include "sync/shared_lock.hpp"

namespace dsm::core {

// What travels with a lock. `recent[0]` holds the notices of the interval after `passed` barriers,
// `recent[1]` those of the next interval (a node publishes into it between its arrival at a barrier
// and its exit). Older ones were told by a barrier.
struct Token {
  Seq turn{};      // hand-overs between nodes so far
  Epoch passed{};  // barriers passed by the node that sent it
  Notices recent[2];
  Clock clock;  // where races are looked for
  bool operator==(const Token&) const = default;
};

void encode(const Token& token, Writer& out);
bool decode(Reader& in, Token& token);

struct LockRequest {
  LockId lock{};
  bool operator==(const LockRequest&) const = default;
};
struct LockForward {
  LockId lock{};
  NodeId successor{};
  bool operator==(const LockForward&) const = default;
};
struct LockGrant {
  LockId lock{};
  Token token;
  std::vector<Aboard> aboard;  // what is bound to it, aboard or elsewhere
  Bytes bytes;                 // of those that are, one after the other
  bool operator==(const LockGrant&) const = default;
};
// The changed bytes of a run of pages (diff.hpp). `body` views the message's bytes.
struct Diff {
  PageRun run;
  ByteView body;
  Stamp stamp;  // where races are looked for
};
// A page of a bound region: the bytes of its parts, all of them, then the diff of the rest as a run
// of one page.
struct BoundDiff {
  PageId page{};
  std::vector<Versioned> parts;
  ByteView body;
};
// To the sender of that turn's grant: what it offered has been read.
struct BoundTaken {
  LockId lock{};
  Seq turn{};
  bool operator==(const BoundTaken&) const = default;
};
// A node is lost; of the locks that something is bound to, the sender has these.
struct Holding {
  std::vector<LockId> locks;
  bool operator==(const Holding&) const = default;
};
struct DiffAck {
  PageRun run;
  bool operator==(const DiffAck&) const = default;
};
struct BarrierRound {
  Epoch epoch{};
  std::uint32_t round = 0;
  std::vector<sync::Contribution> known;
  bool operator==(const BarrierRound&) const = default;
};
// A round of a team's barrier; ranks are the team's, contributions are a Token and a payload.
struct TeamRound {
  TeamId team{};
  std::uint64_t members = 0;  // a hash of them: teams that differ do not meet
  Epoch epoch{};              // of the team
  std::uint32_t round = 0;
  std::vector<sync::Contribution> known;
  bool operator==(const TeamRound&) const = default;
};
// The sender has been in so many of the team's barriers, and comes to none any more.
struct TeamLeft {
  TeamId team{};
  std::uint64_t members = 0;
  Epoch passed{};
  bool operator==(const TeamLeft&) const = default;
};
// An atomic operation for the home to perform, and what the word was before. `who` is the asker's.
struct AtomicRequest {
  Ticket who{};
  WordOperation operation;
  Epoch epoch{};  // barriers that the asker has done its part of
  bool operator==(const AtomicRequest&) const = default;
};
struct AtomicReply {
  Ticket who{};
  std::uint64_t previous = 0;
  bool operator==(const AtomicReply&) const = default;
};
// To a condition's manager: one more waiter, one fewer, or notify.
struct ConditionCall {
  enum class Kind : std::uint8_t { add, remove, notify_one, notify_all };
  ConditionId condition{};
  Kind kind{};
  std::uint64_t number = 0;  // of the sender's wait; add, remove
  bool operator==(const ConditionCall&) const = default;
};
// And back: the wait of this number is in the queue, or no longer.
struct ConditionAnswer {
  enum class Kind : std::uint8_t { registered, removed, notified };
  std::uint64_t number = 0;
  Kind kind{};
  bool operator==(const ConditionAnswer&) const = default;
};
// What the sender has sent is waited for by more than a barrier (SendDiff::stay).
struct Hurry {
  bool operator==(const Hurry&) const = default;
};
// What has changed in these pages at their home, the sender, since it was last pushed (push.hpp):
// for the barrier behind so many, perhaps one push of several.
struct Push {
  Epoch epoch{};
  std::vector<PageRun> runs;
  ByteView body;
};
// Pages that get another home (moves.hpp). To the home that told of the moves at the barrier behind
// so many: the sender has nothing of these pages under way.
struct MoveReady {
  Epoch epoch{};
  bool operator==(const MoveReady&) const = default;
};
// From that home to the new one: pages of these moves.
struct MoveContent {
  Epoch epoch{};
  PageRun run;
  ByteView body;
};
// To everybody: the sender is home of those of `from`'s moves that were for it.
struct MoveDone {
  NodeId from{};
  Epoch epoch{};
  bool operator==(const MoveDone&) const = default;
};
// So many pushes for a barrier, to this node or from it.
struct PushCount {
  NodeId node{};
  std::uint32_t count = 0;
  bool operator==(const PushCount&) const = default;
};
// "Your ring for my marks is full: read it", and "I have read so many of your entries".
struct MarkFlush {
  bool operator==(const MarkFlush&) const = default;
};
struct MarkCredit {
  std::uint64_t consumed = 0;
  bool operator==(const MarkCredit&) const = default;
};
// Where the wire cannot order a mark before a READ: the mark, and "I have it, so read".
struct MarkNote {
  PageRun run;
  Epoch epoch{};  // barriers that the reader has passed
  bool operator==(const MarkNote&) const = default;
};
struct MarkTaken {
  PageRun run;
  bool operator==(const MarkTaken&) const = default;
};

// Pages of sequential regions (sequential.hpp). To the home: a node wants the page.
struct PageRequest {
  PageId page{};
  Access wanted = Access::read;
  bool has_copy = false;  // and may read it already
  bool operator==(const PageRequest&) const = default;
};
// From the home: give back the copy that was granted with this turn, down to `keep`.
struct PageRecall {
  PageId page{};
  std::uint32_t turn = 0;
  Access keep = Access::none;
  bool operator==(const PageRecall&) const = default;
};
// To the home: the copy of this turn is allowed `kept` only. A writer's carries its content.
struct PageReturn {
  PageId page{};
  std::uint32_t turn = 0;
  Access kept = Access::none;
  ByteView body;
};
// From the home. With its content, unless the node has a valid copy.
struct PageGrant {
  PageId page{};
  std::uint32_t turn = 0;
  Access access = Access::read;
  ByteView body;
};

// ---- shared locks (sync/shared_lock.hpp): node to manager, and back ----
struct SharedRequest {
  SharedLockId lock{};
  sync::Mode mode = sync::Mode::shared;
  std::uint64_t number = 0;
  bool operator==(const SharedRequest&) const = default;
};
// The request of this number is not wanted any more; and back: it will not be granted.
struct SharedWithdraw {
  SharedLockId lock{};
  std::uint64_t number = 0;
  bool operator==(const SharedWithdraw&) const = default;
};
struct SharedWithdrawn {
  SharedLockId lock{};
  std::uint64_t number = 0;
  bool operator==(const SharedWithdrawn&) const = default;
};
struct SharedGrant {
  SharedLockId lock{};
  sync::Mode mode = sync::Mode::shared;
  std::uint64_t number = 0;
  Token token;
  bool operator==(const SharedGrant&) const = default;
};
struct SharedRevoke {
  SharedLockId lock{};
  std::uint64_t number = 0;
  bool operator==(const SharedRevoke&) const = default;
};
struct SharedReturn {
  SharedLockId lock{};
  Token token;  // one turn: what was written under the permission
  bool operator==(const SharedReturn&) const = default;
};

// ---- semaphores (sync/semaphore.hpp): a thread's call to the manager; `number` is the call's.
// Each carries the count with which its node made the semaphore ----
struct SemaphoreCall {
  enum class Kind : std::uint8_t { acquire, try_acquire, withdraw };
  SemaphoreId semaphore{};
  Kind kind{};
  std::uint64_t number = 0;
  std::uint64_t initial = 0;
  bool operator==(const SemaphoreCall&) const = default;
};
struct SemaphoreRelease {
  SemaphoreId semaphore{};
  std::uint64_t number = 0;
  std::uint64_t initial = 0;
  std::uint64_t count = 0;
  Token token;  // one turn: what was written before
  bool operator==(const SemaphoreRelease&) const = default;
};
// And back. To an acquire: granted; or queued, and later granted, or refused when it was withdrawn
// before. To a try: granted or refused. To a release: released, with the turn that it made, or
// overflow. To any: differs, with the count with which another node made the semaphore.
struct SemaphoreAnswer {
  enum class Kind : std::uint8_t { queued, granted, refused, released, overflow, differs };
  std::uint64_t number = 0;
  Kind kind{};
  std::uint64_t value = 0;
  Token token;  // granted
  bool operator==(const SemaphoreAnswer&) const = default;
};

using Message =
    std::variant<LockRequest, LockForward, LockGrant, Diff, DiffAck, BarrierRound, MarkFlush,
                 MarkCredit, PageRequest, PageRecall, PageReturn, PageGrant, TeamRound,
                 AtomicRequest, AtomicReply, ConditionCall, ConditionAnswer, SharedRequest,
                 SharedGrant, SharedRevoke, SharedReturn, MarkNote, MarkTaken, SemaphoreCall,
                 SemaphoreRelease, SemaphoreAnswer, SharedWithdraw, SharedWithdrawn, TeamLeft,
                 BoundDiff, BoundTaken, Holding, Push, Hurry, MoveReady, MoveContent, MoveDone>;

// Appends one kind byte and the fields. Bodies come last, so that a sender may append them piece by
// piece.
void encode(const Message& message, Bytes& out);

// The message in `bytes`; nothing when malformed. A body views `bytes`.
std::optional<Message> decode(ByteView bytes);

// Whether a receiver can do nothing with it before a thread of its own waits: a barrier's part,
// which goes on only from those who have arrived, and what is pushed for it.
bool is_for_waiters(const Message& message);

const char* name_of(const Message& message);

}  // namespace dsm::core
