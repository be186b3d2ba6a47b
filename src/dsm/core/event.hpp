// What an engine is told. Everything that happens to a node reaches its engine as one of these, one
// at a time.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "base/types.hpp"
#include "base/wire.hpp"
#include "dsm/core/atomic.hpp"
#include "dsm/core/bound.hpp"
#include "dsm/core/layout.hpp"
#include "dsm/core/message.hpp"

namespace dsm::core {

inline constexpr PageId no_page{~std::uint64_t{0}};

// ---- from the program's threads; `who` names the thread until the engine says Wake{who} ----
// a trapped access, or one that is about to be made. Wake: the access may be (re)tried
struct Fault {
  Ticket who{};
  PageId page{};
  Access wanted = Access::read;
  // of a sequential region: the page of the thread's last fault there. It may need both at once
  PageId behind = no_page;
};
// The thread of that Fault has been woken and goes back to its access. For pages of sequential
// regions only.
struct Retry {
  PageId page{};
  PageId behind = no_page;
};
struct Acquire {  // Wake: `who` holds the lock
  Ticket who{};
  LockId lock{};
};
struct TryAcquire {  // Wake at once: .granted says whether `who` holds it
  Ticket who{};
  LockId lock{};
};
// `who`, that asked by Acquire, has waited long enough. Wake, not granted; unless it was granted
// before: then its Wake is on the way, or was there
struct Cancel {
  Ticket who{};
  LockId lock{};
};
struct Release {  // REQUIRES: engine.holds(lock). No Wake: a release never waits
  LockId lock{};
};
// ---- the same for shared locks; the mode is shared (to read) or exclusive (to write) ----
struct AcquireShared {
  Ticket who{};
  SharedLockId lock{};
  sync::Mode mode = sync::Mode::shared;
};
struct TryAcquireShared {
  Ticket who{};
  SharedLockId lock{};
  sync::Mode mode = sync::Mode::shared;
};
struct CancelShared {
  Ticket who{};
  SharedLockId lock{};
};
struct ReleaseShared {  // REQUIRES: engine.holds(lock, mode)
  SharedLockId lock{};
  sync::Mode mode = sync::Mode::shared;
};
// ---- semaphores; `initial` is the count with which this node made it ----
struct AcquireSemaphore {  // Wake: one of the count is `who`'s; refused: see semaphore_made_with()
  Ticket who{};
  SemaphoreId semaphore{};
  std::uint64_t initial = 0;
};
struct TryAcquireSemaphore {  // Wake soon, granted or not
  Ticket who{};
  SemaphoreId semaphore{};
  std::uint64_t initial = 0;
};
// `who`, that asked by AcquireSemaphore, has waited long enough. Its Wake comes soon: by the
// manager's word, granted or not
struct CancelSemaphore {
  Ticket who{};
};
struct ReleaseSemaphore {  // Wake: the manager has added the count; refused: it would be too much
  Ticket who{};
  SemaphoreId semaphore{};
  std::uint64_t initial = 0;
  std::uint64_t count = 1;
};
// this node arrives at the barrier; payload is carried to every node. Effects at the exit: Passed,
// Wake
struct Arrive {
  Ticket who{};
  Bytes payload;
  std::string site;  // of the call, where races are looked for
};
// chunks of this run are not evicted until Unpin; pages are then faulted in one by one
struct Pin {
  PageRun run;
};
struct Unpin {
  PageRun run;
};
// the same on every node, with a barrier behind it before anyone touches it. Home frames are
// already there
struct AddRegion {
  Region region;
};
// the same on every node, between two barriers. Wake: frames are punched, the pages may be given
// out again
struct DropRegion {
  Ticket who{};
  RegionId region{};
};

// this node is a member of this team (rank: its place in `members`); the same on every member, with
// a barrier behind it before anyone meets
struct AddTeam {
  TeamId team{};
  std::vector<NodeId> members;
};
// this node arrives at its team's barrier. Effects at the exit: Passed, Wake; or a Wake that is
// refused, when a member has left that will not come (Engine::team_left_by)
struct ArriveTeam {
  Ticket who{};
  TeamId team{};
  Bytes payload;
  std::string site;
};

// This node comes to no team's barrier any more.
struct LeaveTeams {};
// `who` changes a word, of a region of the scope or release policy. Effects at the end: Found, Wake
struct Atomic {
  Ticket who{};
  WordOperation operation;
};

// What these spans hold travels with the lock from now on: they lie in bound regions, and nothing
// else is bound there. The same on every node, with a barrier behind it before anyone takes the
// lock
struct Bind {
  LockId lock{};
  std::vector<Span> spans;
  Refresh refresh = Refresh::push;
};

// `who` registers as a waiter at a condition. Wake{who} when its manager knows; Wake{waiter} when
// it is notified, or with granted = false when it was taken back before
struct Register {
  Ticket who{};
  Ticket waiter{};
  ConditionId condition{};
};
// the waiter's time is up: its Wake comes soon, and says whether it was notified before
struct Unregister {
  Ticket waiter{};
};
struct Notify {
  ConditionId condition{};
  bool all = false;
};

// ---- completions of effects ----
struct Fetched {  // all of a Fetch's bytes are in the frames
  PageRun run;
};
struct Changed {  // a Change has taken hold for every thread of the node
  PageRun run;
};
// a SendDiff found nothing to send for these pages (otherwise the home's DiffAck says it)
struct DiffHome {
  PageRun run;
};
// a PushPages is done: of its pages, those that had changed; and how many pushes were sent to whom
struct Pushed {
  std::vector<PageRun> changed;
  std::vector<PushCount> to;
};
struct BoundRead {  // a ReadBound is done: the spans' bytes, one after the other
  BoundSource source;
  Bytes bytes;
};
struct Punched {  // a Punch is done
  PageRun run;
};
struct LockBack {  // a Recall is done; `held`: by a thread that has yet to release it
  LockId lock{};
  bool held = false;
};
// Of the pages that a DrainMarks scans, those that were written. Before its marks
struct Written {
  std::uint64_t id = 0;
  std::vector<PageRun> runs;
};
// a Watch that reports is done, or could not be: the run is scanned, or not
struct WatchChanged {
  PageRun run;
  bool scanned = false;
};
struct MarksDrained {  // everything that was in the rings at the DrainMarks has come as Marked
  std::uint64_t id = 0;
};

struct PageSent {  // a SendPage that reports: its bytes have been taken from the frame
  PageId page{};
};
struct Filled {  // a FillPage that reports
  PageId page{};
};
struct Held {  // the time of a Hold is over
  PageId page{};
  std::uint8_t tenure = 0;
};

struct PagesFilled {  // a FillPages is done
  PageRun run;
};
// a PerformAtomic is done; `asker` and `who` as there
struct AtomicDone {
  NodeId asker{};
  Ticket who{};
  std::uint64_t previous = 0;
};

// ---- from other nodes ----
struct Lost {  // it is down, and the job is about to end
  NodeId node{};
};
struct Marked {  // an entry of this node's mark ring, in ring order for each reader
  NodeId reader{};
  PageRun run;
  Epoch epoch{};  // barriers that the reader had passed
  bool added = true;
};
struct Received {
  NodeId from{};
  Message message;
};

using Event =
    std::variant<Fault, Acquire, TryAcquire, Cancel, Release, Arrive, Pin, Unpin, AddRegion,
                 DropRegion, Fetched, Changed, DiffHome, Punched, LockBack, MarksDrained, Marked,
                 Received, Retry, PageSent, Filled, Held, AddTeam, ArriveTeam, Atomic, AtomicDone,
                 Register, Unregister, Notify, AcquireShared, TryAcquireShared, CancelShared,
                 ReleaseShared, AcquireSemaphore, TryAcquireSemaphore, CancelSemaphore,
                 ReleaseSemaphore, LeaveTeams, Bind, BoundRead, Lost, Pushed, PagesFilled, Written,
                 WatchChanged>;

const char* name_of(const Event& event);

}  // namespace dsm::core
