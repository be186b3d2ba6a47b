// What an engine wants done. Effects of one step are carried out in order, after the step, with or
// without the engine's lock; those that complete later say with which event. Adjacent pages are
// merged into runs as they are pushed.
#pragma once

#include <optional>
#include <variant>
#include <vector>

#include "base/types.hpp"
#include "base/wire.hpp"
#include "dsm/core/message.hpp"
#include "dsm/core/push.hpp"
#include "dsm/core/races.hpp"

namespace dsm::core {

struct Send {  // to may be this node: deliver it back as Received
  NodeId to{};
  Message message;
};
// On the one-sided channel to `home`, after the Fetch or Unmark of every lower slot there has been
// posted (a home reads its rings up to the first slot not yet written), in this order: WRITE one
// mark entry (mark.hpp) into slot `slot` of this node's ring there, READ the run's bytes from the
// home's frames into this node's. Then Fetched{run}. Without a slot the mark is at the home
// already. `cold`: these pages have no frames here yet.
struct Fetch {
  NodeId home{};
  PageRun run;
  std::optional<std::uint64_t> slot;
  Epoch epoch{};
  bool cold = false;
};
// On the one-sided channel, in the order of slots too: WRITE one mark entry that takes the run's
// marks back. No completion.
struct Unmark {
  NodeId home{};
  PageRun run;
  std::uint64_t slot = 0;
  Epoch epoch{};
};
// Full fence; then take which pages of `scan` were written (the program may go on writing), and
// tell them, if there are any, as Written{id}; then read every ring up to the first slot not yet
// written, as Marked events; then MarksDrained{id}. Not two of a node at a time: what one finds the
// other does not.
struct DrainMarks {
  std::uint64_t id = 0;
  std::vector<PageRun> scan;
};
// Pages that are open for reading are watched by scans from now on, or by traps again; these pages
// are open for writing afterwards. Then WatchChanged if it reports.
struct Watch {
  PageRun run;
  bool scanned = false;
  bool reports = false;
};
// The program view of the run, from -> to, for every thread. Then Changed{run}. `from` is none also
// when the kernel may have lost a mapping that the engine had made: finding the page mapped as
// wanted already is then a success.
struct Change {
  PageRun run;
  Access from = Access::none;
  Access to = Access::none;
};
struct Twin {  // copy each page to a twin. Done before the next effect
  PageRun run;
};
// Compare each page with its twin (the program view is read-only now), send the changed bytes as
// Diff messages of at most diff_run_max pages, give the twins back. Pages without a change:
// DiffHome{run} instead. (One page is in one SendDiff at a time. A Diff message whose body would be
// empty is not sent.)
// Of pages that `stay` the program view allows writing, and the twins are kept: what was compared,
// read once, becomes the twin. Only a barrier waits for these, so their home need not be disturbed
// before it waits itself; if that changes, a Hurry follows.
struct SendDiff {
  NodeId home{};
  PageRun run;
  Stamp stamp;
  bool stay = false;
};
// store exactly the changed bytes into this node's frames, and into bases where there are. Done
// before the next effect
struct ApplyDiff {
  PageRun run;
  ByteView body;  // of the message being handled
};
// ---- pushed pages. The program may write to them meanwhile. While one of these effects or a
// diff's reads or changes a base or a twin together with its frame, no other does ----
// the base of each page becomes what its frame is; and no page has one any more. Before any later
// step
struct TakeBase {
  PageRun run;
};
struct DropBase {
  PageRun run;
};
// Compare each page of the parts with its base, and make the base equal; send what differs to each
// node of its part, in as many pushes as it takes. Then Pushed.
struct PushPart {
  PageRun run;
  std::vector<NodeId> to;
  bool operator==(const PushPart&) const = default;
};
struct PushPages {
  Epoch epoch{};
  std::vector<PushPart> parts;
};
// What came for these pages, into their frames, and their twins if they have one. Before any later
// step.
struct ApplyPush {
  struct Page {
    PageId page{};
    Taken taken = Taken::nothing;
  };
  std::vector<Page> pages;
  ByteView body;  // of the message being handled; or, if it waited,
  Bytes kept;
};
// the program view allows nothing (if it still does), then the frames go back to the system. Then
// Punched{run}
struct Punch {
  PageRun run;
};
// `message` with the page's bytes, from the runtime view, behind it. Then PageSent{page} if it
// reports.
struct SendPage {
  NodeId to{};
  PageId page{};
  Message message;
  bool reports = false;
};
// `message` with the bytes of all pages of the run, from the runtime view, behind it.
struct SendPages {
  NodeId to{};
  PageRun run;
  MoveContent message;
};
// The bytes of the message being handled into the frames of the run, which the program does not
// see. Then PagesFilled{run}.
struct FillPages {
  PageRun run;
  ByteView body;
};
// The bytes of the message being handled into this node's frame, which the program does not see.
// Done before the next effect; then Filled{page} if it reports.
struct FillPage {
  PageId page{};
  ByteView body;
  bool reports = false;
};
// The page is not given back before a minimum time has passed from now. Then Held{page, tenure},
// but need not be told before somebody wants to know (Hasten). Unlike the other effects it is
// carried out before any later step: otherwise that step's Hasten could miss it.
struct Hold {
  PageId page{};
  std::uint8_t tenure = 0;
};
// Somebody waits for the ends of this node's Holds, so do not be late with those that have begun.
struct Hasten {};
// ---- memory bound to locks ----
// The grant, with the bytes of what is aboard from this node's frames; and the twins of `leaves`
// become what the frames are. Copied before any later step.
struct SendBound {
  NodeId to{};
  LockGrant grant;
  std::vector<Span> leaves;  // where misuse is looked for
};
// On the one-sided channel, in no order with marks and other READs: READ the spans from the owner's
// frames. Then BoundRead.
struct ReadBound {
  BoundSource source;
};
// Into this node's frame. Before any later step.
struct FillBound {
  Span span;
  Bytes bytes;
};
// As SendDiff of one page, but `bound` is no part of the diff, and the bytes of `parts` go ahead of
// it in the body of one BoundDiff. Tell the user of what is `forbidden` and differs from the twin.
struct SendBoundDiff {
  NodeId home{};
  PageId page{};
  std::vector<Span> bound;
  std::vector<Versioned> parts;
  std::vector<Forbidden> forbidden;
  Origin origin;  // of the page's way home
};
struct Wake {
  Ticket who{};
  bool granted = true;
};
// From now on threads may take and release the lock without asking, until the Recall. The two may
// be carried out in the other order; LockBack follows when both are.
struct Lend {
  LockId lock{};
};
// Ends that. Then LockBack.
struct Recall {
  LockId lock{};
};
// The operation takes effect in the home's frame, indivisibly for all nodes and for the home's
// processor: at this node, or on the one-sided channel to `home`. Then AtomicDone{asker, who}.
struct PerformAtomic {
  NodeId home{};
  NodeId asker{};
  Ticket who{};
  WordOperation operation;
};
// Tell the user.
struct Report {
  Race race;
};
// what the word of `who`'s atomic operation was before it. Its Wake comes next
struct Found {
  Ticket who{};
  std::uint64_t previous = 0;
};
// the barrier at which `who` arrived is behind us: what each node, or member of the team,
// contributed, by rank. Its Wake comes next
struct Passed {
  Ticket who{};
  std::vector<Bytes> payloads;
};

using Effect =
    std::variant<Send, Fetch, Unmark, DrainMarks, Change, Twin, SendDiff, ApplyDiff, Punch, Wake,
                 PerformAtomic, Found, Report, Passed, Lend, Recall, SendPage, FillPage, Hold,
                 Hasten, SendBound, FillBound, SendBoundDiff, ReadBound, TakeBase, DropBase,
                 PushPages, ApplyPush, SendPages, FillPages, Watch>;

const char* name_of(const Effect& effect);

inline constexpr std::uint64_t diff_run_max = 16;   // pages in one Diff message
inline constexpr std::uint64_t fetch_run_max = 32;  // pages under one mark entry

// The effects of a step. Reused from step to step, so that in the steady state nothing is
// allocated.
class Effects {
 public:
  void change(PageId page, Access from, Access to);
  void twin(PageId page);
  void send_diff(PageId page, NodeId home, Stamp stamp = {}, bool stays = false);
  void take_base(PageId page);
  void drop_base(PageId page);
  void punch(PageRun run) { list_.push_back(Punch{run}); }
  template <typename E>
  void push(E effect) {
    list_.push_back(std::move(effect));
  }

  void clear() { list_.clear(); }
  bool empty() const { return list_.empty(); }
  auto begin() { return list_.begin(); }
  auto end() { return list_.end(); }
  const std::vector<Effect>& list() const { return list_; }

 private:
  template <typename E, typename Same>
  bool extend(PageId page, Same same);
  std::vector<Effect> list_;
};

}  // namespace dsm::core
