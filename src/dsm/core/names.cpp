// Names of states, messages, events and effects, for traces and the debugger.
#include "dsm/core/effect.hpp"
#include "dsm/core/engine.hpp"
#include "dsm/core/event.hpp"
#include "dsm/core/message.hpp"
#include "dsm/core/page.hpp"

namespace dsm::core {
namespace {

// Indexed by the variants' alternatives; the sizes are checked below.
constexpr const char* message_names[] = {"LockRequest",
                                         "LockForward",
                                         "LockGrant",
                                         "Diff",
                                         "DiffAck",
                                         "BarrierRound",
                                         "MarkFlush",
                                         "MarkCredit",
                                         "PageRequest",
                                         "PageRecall",
                                         "PageReturn",
                                         "PageGrant",
                                         "TeamRound",
                                         "AtomicRequest",
                                         "AtomicReply",
                                         "ConditionCall",
                                         "ConditionAnswer",
                                         "SharedRequest",
                                         "SharedGrant",
                                         "SharedRevoke",
                                         "SharedReturn",
                                         "MarkNote",
                                         "MarkTaken",
                                         "SemaphoreCall",
                                         "SemaphoreRelease",
                                         "SemaphoreAnswer",
                                         "SharedWithdraw",
                                         "SharedWithdrawn",
                                         "TeamLeft",
                                         "BoundDiff",
                                         "BoundTaken",
                                         "Holding",
                                         "Push",
                                         "Hurry",
                                         "MoveReady",
                                         "MoveContent",
                                         "MoveDone"};
constexpr const char* event_names[] = {"Fault",
                                       "Acquire",
                                       "TryAcquire",
                                       "Cancel",
                                       "Release",
                                       "Arrive",
                                       "Pin",
                                       "Unpin",
                                       "AddRegion",
                                       "DropRegion",
                                       "Fetched",
                                       "Changed",
                                       "DiffHome",
                                       "Punched",
                                       "LockBack",
                                       "MarksDrained",
                                       "Marked",
                                       "Received",
                                       "Retry",
                                       "PageSent",
                                       "Filled",
                                       "Held",
                                       "AddTeam",
                                       "ArriveTeam",
                                       "Atomic",
                                       "AtomicDone",
                                       "Register",
                                       "Unregister",
                                       "Notify",
                                       "AcquireShared",
                                       "TryAcquireShared",
                                       "CancelShared",
                                       "ReleaseShared",
                                       "AcquireSemaphore",
                                       "TryAcquireSemaphore",
                                       "CancelSemaphore",
                                       "ReleaseSemaphore",
                                       "LeaveTeams",
                                       "Bind",
                                       "BoundRead",
                                       "Lost",
                                       "Pushed",
                                       "PagesFilled",
                                       "Written",
                                       "WatchChanged"};
constexpr const char* effect_names[] = {
    "Send",     "Fetch",     "Unmark",    "DrainMarks", "Change",        "Twin",
    "SendDiff", "ApplyDiff", "Punch",     "Wake",       "PerformAtomic", "Found",
    "Report",   "Passed",    "Lend",      "Recall",     "SendPage",      "FillPage",
    "Hold",     "Hasten",    "SendBound", "FillBound",  "SendBoundDiff", "ReadBound",
    "TakeBase", "DropBase",  "PushPages", "ApplyPush",  "SendPages",     "FillPages",
    "Watch"};

static_assert(std::size(message_names) == std::variant_size_v<Message>);
static_assert(std::size(event_names) == std::variant_size_v<Event>);
static_assert(std::size(effect_names) == std::variant_size_v<Effect>);

}  // namespace

const char* name_of(const Message& message) {
  return message_names[message.index()];
}
const char* name_of(const Event& event) {
  return event_names[event.index()];
}
const char* name_of(const Effect& effect) {
  return effect_names[effect.index()];
}

const char* name_of(PageState state) {
  switch (state) {
    case PageState::absent:
      return "absent";
    case PageState::fetching:
      return "fetching";
    case PageState::fetched:
      return "fetched";
    case PageState::mapping:
      return "mapping";
    case PageState::clean:
      return "clean";
    case PageState::opening:
      return "opening";
    case PageState::dirty:
      return "dirty";
    case PageState::settling:
      return "settling";
    case PageState::protecting:
      return "protecting";
    case PageState::diffing:
      return "diffing";
    case PageState::unmapping:
      return "unmapping";
    case PageState::seq_asked:
      return "seq_asked";
    case PageState::seq_opening:
      return "seq_opening";
    case PageState::seq_read:
      return "seq_read";
    case PageState::seq_upgrading:
      return "seq_upgrading";
    case PageState::seq_write:
      return "seq_write";
    case PageState::seq_closing:
      return "seq_closing";
    case PageState::seq_sending:
      return "seq_sending";
    case PageState::own_private:
      return "own_private";
    case PageState::own_watched:
      return "own_watched";
    case PageState::own_mapping:
      return "own_mapping";
    case PageState::own_opening:
      return "own_opening";
    case PageState::own_written:
      return "own_written";
    case PageState::own_comparing:
      return "own_comparing";
    case PageState::own_protecting:
      return "own_protecting";
    case PageState::own_closing:
      return "own_closing";
    case PageState::own_closed:
      return "own_closed";
    case PageState::own_seq_none:
      return "own_seq_none";
    case PageState::own_seq_read:
      return "own_seq_read";
    case PageState::own_seq_write:
      return "own_seq_write";
    case PageState::own_seq_opening:
      return "own_seq_opening";
    case PageState::own_seq_closing:
      return "own_seq_closing";
  }
  return "?";
}

}  // namespace dsm::core
