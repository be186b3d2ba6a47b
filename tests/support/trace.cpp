#include "support/trace.hpp"

#include <variant>

namespace dsm::sim {
namespace {

std::string number(std::uint64_t n) {
  return std::to_string(n);
}

template <typename Tag, typename Rep>
std::string number(Id<Tag, Rep> id) {
  return std::to_string(id.value);
}

const char* word(Access access) {
  return access == Access::none ? "none" : access == Access::read ? "read" : "write";
}

const char* word(sync::Mode mode) {
  return mode == sync::Mode::shared ? " to read" : mode == sync::Mode::exclusive ? " to write" : "";
}

std::string words(const core::PageSet& set) {
  if (set.everything) return "everything";
  std::string text = "{";
  for (const PageRun& run : set.runs) text += (text.size() > 1 ? " " : "") + to_string(run);
  return text + "}";
}

std::string words(const std::vector<PageRun>& runs) {
  return words(core::PageSet{runs, false});
}

std::string words(const core::WordOperation& o) {
  const bool add = o.kind == core::WordOperation::Kind::fetch_add;
  return (add ? " adds " : " swaps in ") + number(o.operand) +
         (add ? "" : " for " + number(o.compare)) + " at page " + number(o.page) + " offset " +
         number(std::uint64_t{o.offset});
}

std::string words(const core::BoundSource& s) {
  std::string text = " lock " + number(s.lock) + " turn " + number(s.turn) + " from " +
                     number(s.owner) + ": " + number(s.spans.size()) + " spans of pages";
  for (const core::Span& span : s.spans) text += " " + number(span.page);
  return text;
}

struct MessageText {
  std::string operator()(const core::LockRequest& m) const { return " lock " + number(m.lock); }
  std::string operator()(const core::LockForward& m) const {
    return " lock " + number(m.lock) + " successor " + number(m.successor);
  }
  std::string operator()(const core::LockGrant& m) const {
    return " lock " + number(m.lock) + " turn " + number(m.token.turn) + " passed " +
           number(m.token.passed) + " notices " + words(m.token.recent[0].scope.since(Seq(0))) +
           " of which new " + words(m.token.recent[0].scope.since(Seq(m.token.turn.value - 1))) +
           " next " + words(m.token.recent[1].scope.since(Seq(0))) +
           (m.aboard.empty() ? "" : " with " + number(m.bytes.size()) + " bytes");
  }
  std::string operator()(const core::Diff& m) const {
    return " pages " + to_string(m.run) + " of " + number(m.body.size()) + " bytes";
  }
  std::string operator()(const core::DiffAck& m) const { return " pages " + to_string(m.run); }
  std::string operator()(const core::Hurry&) const { return ""; }
  std::string operator()(const core::MoveReady& m) const { return " epoch " + number(m.epoch); }
  std::string operator()(const core::MoveContent& m) const {
    return " epoch " + number(m.epoch) + " pages " + to_string(m.run) + " of " +
           number(m.body.size()) + " bytes";
  }
  std::string operator()(const core::MoveDone& m) const {
    return " from " + number(m.from) + " epoch " + number(m.epoch);
  }
  std::string operator()(const core::Push& m) const {
    return " epoch " + number(m.epoch) + " pages " + words(m.runs) + ", " + number(m.body.size()) +
           " bytes";
  }
  std::string operator()(const core::BarrierRound& m) const {
    return " epoch " + number(m.epoch) + " round " + number(m.round) + " knows " +
           number(m.known.size());
  }
  std::string operator()(const core::TeamRound& m) const {
    return " team " + number(m.team) + " epoch " + number(m.epoch) + " round " + number(m.round) +
           " knows " + number(m.known.size());
  }
  std::string operator()(const core::TeamLeft& m) const {
    return " team " + number(m.team) + " after " + number(m.passed);
  }
  std::string operator()(const core::AtomicRequest& m) const {
    return " thread " + number(m.who) + words(m.operation);
  }
  std::string operator()(const core::AtomicReply& m) const {
    return " thread " + number(m.who) + " found " + number(m.previous);
  }
  std::string operator()(const core::ConditionCall& m) const {
    static constexpr const char* kinds[] = {" add", " remove", " notify_one", " notify_all"};
    return kinds[static_cast<int>(m.kind)] + std::string(" condition ") + number(m.condition) +
           " wait " + number(m.number);
  }
  std::string operator()(const core::ConditionAnswer& m) const {
    static constexpr const char* kinds[] = {" registered", " removed", " notified"};
    return kinds[static_cast<int>(m.kind)] + std::string(" wait ") + number(m.number);
  }
  std::string operator()(const core::MarkFlush&) const { return ""; }
  std::string operator()(const core::MarkCredit& m) const {
    return " consumed " + number(m.consumed);
  }
  std::string operator()(const core::BoundDiff& m) const {
    std::string text = " page " + number(m.page);
    for (const core::Versioned& p : m.parts)
      text += ", lock " + number(p.lock) + " turn " + number(p.turn);
    return text + ", " + number(m.body.size()) + " bytes";
  }
  std::string operator()(const core::Holding& m) const {
    return " of " + number(m.locks.size()) + " locks";
  }
  std::string operator()(const core::BoundTaken& m) const {
    return " lock " + number(m.lock) + " turn " + number(m.turn);
  }
  std::string operator()(const core::MarkNote& m) const {
    return " pages " + to_string(m.run) + " epoch " + number(m.epoch);
  }
  std::string operator()(const core::MarkTaken& m) const { return " pages " + to_string(m.run); }
  std::string operator()(const core::PageRequest& m) const {
    return " page " + number(m.page) + " to " + word(m.wanted) + (m.has_copy ? " too" : "");
  }
  std::string operator()(const core::PageRecall& m) const {
    return " page " + number(m.page) + " turn " + number(m.turn) + " down to " + word(m.keep);
  }
  std::string operator()(const core::PageReturn& m) const {
    return " page " + number(m.page) + " turn " + number(m.turn) + " down to " + word(m.kept) +
           " with " + number(m.body.size()) + " bytes";
  }
  std::string operator()(const core::PageGrant& m) const {
    return " page " + number(m.page) + " turn " + number(m.turn) + " to " + word(m.access) +
           " with " + number(m.body.size()) + " bytes";
  }
  std::string operator()(const core::SharedRequest& m) const {
    return " shared lock " + number(m.lock) + word(m.mode) + " request " + number(m.number);
  }
  std::string operator()(const core::SharedWithdraw& m) const {
    return " shared lock " + number(m.lock) + " request " + number(m.number);
  }
  std::string operator()(const core::SharedWithdrawn& m) const {
    return " shared lock " + number(m.lock) + " request " + number(m.number);
  }
  std::string operator()(const core::SharedGrant& m) const {
    return " shared lock " + number(m.lock) + word(m.mode) + " number " + number(m.number) +
           " turn " + number(m.token.turn) + " passed " + number(m.token.passed) + " notices " +
           words(m.token.recent[0].scope.since(Seq(0))) + " next " +
           words(m.token.recent[1].scope.since(Seq(0)));
  }
  std::string operator()(const core::SharedRevoke& m) const {
    return " shared lock " + number(m.lock) + " number " + number(m.number);
  }
  std::string operator()(const core::SharedReturn& m) const {
    return " shared lock " + number(m.lock) + " passed " + number(m.token.passed) + " notices " +
           words(m.token.recent[0].scope.since(Seq(0))) + " next " +
           words(m.token.recent[1].scope.since(Seq(0)));
  }
  std::string operator()(const core::SemaphoreCall& m) const {
    static constexpr const char* kinds[] = {" acquire", " try_acquire", " withdraw"};
    return kinds[static_cast<int>(m.kind)] + std::string(" semaphore ") + number(m.semaphore) +
           " call " + number(m.number);
  }
  std::string operator()(const core::SemaphoreRelease& m) const {
    return " semaphore " + number(m.semaphore) + " call " + number(m.number) + " by " +
           number(m.count) + " passed " + number(m.token.passed) + " notices " +
           words(m.token.recent[0].scope.since(Seq(0))) + " next " +
           words(m.token.recent[1].scope.since(Seq(0)));
  }
  std::string operator()(const core::SemaphoreAnswer& m) const {
    static constexpr const char* kinds[] = {" queued",   " granted",  " refused",
                                            " released", " overflow", " differs"};
    return " call " + number(m.number) + kinds[static_cast<int>(m.kind)] + " value " +
           number(m.value) + " turn " + number(m.token.turn) + " notices " +
           words(m.token.recent[0].scope.since(Seq(0))) + " next " +
           words(m.token.recent[1].scope.since(Seq(0)));
  }
};

struct EventText {
  std::string operator()(const core::Fault& e) const {
    return " thread " + number(e.who) + " page " + number(e.page) + " wants " + word(e.wanted) +
           (e.behind == core::no_page ? "" : " behind " + number(e.behind));
  }
  std::string operator()(const core::Retry& e) const { return " page " + number(e.page); }
  std::string operator()(const core::PageSent& e) const { return " page " + number(e.page); }
  std::string operator()(const core::Filled& e) const { return " page " + number(e.page); }
  std::string operator()(const core::PagesFilled& e) const { return " pages " + to_string(e.run); }
  std::string operator()(const core::Held& e) const {
    return " page " + number(e.page) + " tenure " + number(std::uint64_t{e.tenure});
  }
  std::string operator()(const core::Acquire& e) const {
    return " thread " + number(e.who) + " lock " + number(e.lock);
  }
  std::string operator()(const core::TryAcquire& e) const {
    return " thread " + number(e.who) + " lock " + number(e.lock);
  }
  std::string operator()(const core::Cancel& e) const {
    return " thread " + number(e.who) + " lock " + number(e.lock);
  }
  std::string operator()(const core::Release& e) const { return " lock " + number(e.lock); }
  std::string operator()(const core::AcquireShared& e) const {
    return " thread " + number(e.who) + " shared lock " + number(e.lock) + word(e.mode);
  }
  std::string operator()(const core::TryAcquireShared& e) const {
    return " thread " + number(e.who) + " shared lock " + number(e.lock) + word(e.mode);
  }
  std::string operator()(const core::CancelShared& e) const {
    return " thread " + number(e.who) + " shared lock " + number(e.lock);
  }
  std::string operator()(const core::ReleaseShared& e) const {
    return " shared lock " + number(e.lock) + word(e.mode);
  }
  std::string operator()(const core::AcquireSemaphore& e) const {
    return " thread " + number(e.who) + " semaphore " + number(e.semaphore);
  }
  std::string operator()(const core::TryAcquireSemaphore& e) const {
    return " thread " + number(e.who) + " semaphore " + number(e.semaphore);
  }
  std::string operator()(const core::CancelSemaphore& e) const {
    return " thread " + number(e.who);
  }
  std::string operator()(const core::ReleaseSemaphore& e) const {
    return " thread " + number(e.who) + " semaphore " + number(e.semaphore) + " by " +
           number(e.count);
  }
  std::string operator()(const core::Arrive& e) const { return " thread " + number(e.who); }
  std::string operator()(const core::AddTeam& e) const { return " team " + number(e.team); }
  std::string operator()(const core::Bind& e) const { return " lock " + number(e.lock); }
  std::string operator()(const core::Lost& e) const { return " node " + number(e.node); }
  std::string operator()(const core::Written& e) const {
    return " id " + number(e.id) + " pages " + words(e.runs);
  }
  std::string operator()(const core::WatchChanged& e) const {
    return " pages " + to_string(e.run) + (e.scanned ? " by scans" : " by traps");
  }
  std::string operator()(const core::Pushed& e) const {
    return " pages " + words(e.changed) + " to " + number(e.to.size()) + " nodes";
  }
  std::string operator()(const core::BoundRead& e) const { return words(e.source); }
  std::string operator()(const core::ArriveTeam& e) const {
    return " thread " + number(e.who) + " team " + number(e.team);
  }
  std::string operator()(const core::LeaveTeams&) const { return ""; }
  std::string operator()(const core::Atomic& e) const {
    return " thread " + number(e.who) + words(e.operation);
  }
  std::string operator()(const core::AtomicDone& e) const {
    return " of node " + number(e.asker) + " thread " + number(e.who) + " found " +
           number(e.previous);
  }
  std::string operator()(const core::Register& e) const {
    return " thread " + number(e.who) + " condition " + number(e.condition);
  }
  std::string operator()(const core::Unregister& e) const { return " waiter " + number(e.waiter); }
  std::string operator()(const core::Notify& e) const {
    return " condition " + number(e.condition) + (e.all ? " all" : " one");
  }
  std::string operator()(const core::Pin& e) const { return " pages " + to_string(e.run); }
  std::string operator()(const core::Unpin& e) const { return " pages " + to_string(e.run); }
  std::string operator()(const core::AddRegion& e) const {
    return " region " + number(e.region.id()) + " pages " + to_string(e.region.run());
  }
  std::string operator()(const core::DropRegion& e) const {
    return " thread " + number(e.who) + " region " + number(e.region);
  }
  std::string operator()(const core::Fetched& e) const { return " pages " + to_string(e.run); }
  std::string operator()(const core::Changed& e) const { return " pages " + to_string(e.run); }
  std::string operator()(const core::DiffHome& e) const { return " pages " + to_string(e.run); }
  std::string operator()(const core::Punched& e) const { return " pages " + to_string(e.run); }
  std::string operator()(const core::LockBack& e) const {
    return " lock " + number(e.lock) + (e.held ? " held" : " free");
  }
  std::string operator()(const core::MarksDrained& e) const { return " id " + number(e.id); }
  std::string operator()(const core::Marked& e) const {
    return std::string(e.added ? " +" : " -") + " reader " + number(e.reader) + " pages " +
           to_string(e.run) + " epoch " + number(e.epoch);
  }
  std::string operator()(const core::Received& e) const {
    return " from " + number(e.from) + ": " + to_string(e.message);
  }
};

struct EffectText {
  std::string operator()(const core::Send& e) const {
    return " to " + number(e.to) + ": " + to_string(e.message);
  }
  std::string operator()(const core::Fetch& e) const {
    return " pages " + to_string(e.run) + " from " + number(e.home) +
           (e.slot ? " mark " + number(*e.slot) : "");
  }
  std::string operator()(const core::Unmark& e) const {
    return " pages " + to_string(e.run) + " at " + number(e.home) + " mark " + number(e.slot);
  }
  std::string operator()(const core::DrainMarks& e) const {
    return " id " + number(e.id) + (e.scan.empty() ? "" : ", written of " + words(e.scan));
  }
  std::string operator()(const core::Watch& e) const {
    return " pages " + to_string(e.run) + (e.scanned ? " by scans" : " by traps");
  }
  std::string operator()(const core::Change& e) const {
    return " pages " + to_string(e.run) + " " + word(e.from) + " -> " + word(e.to);
  }
  std::string operator()(const core::Twin& e) const { return " pages " + to_string(e.run); }
  std::string operator()(const core::SendDiff& e) const {
    return " pages " + to_string(e.run) + " to " + number(e.home) + (e.stay ? " in place" : "");
  }
  std::string operator()(const core::TakeBase& e) const { return " pages " + to_string(e.run); }
  std::string operator()(const core::DropBase& e) const { return " pages " + to_string(e.run); }
  std::string operator()(const core::PushPages& e) const {
    std::string text = " epoch " + number(e.epoch);
    for (const core::PushPart& part : e.parts)
      text += " pages " + to_string(part.run) + " to " + number(part.to.size()) + " nodes";
    return text;
  }
  std::string operator()(const core::ApplyPush& e) const {
    std::string text;
    for (const core::ApplyPush::Page& p : e.pages)
      text += " page " + number(p.page) +
              (p.taken == core::Taken::nothing       ? " not"
               : p.taken == core::Taken::whole_lines ? " whole lines"
                                                     : " changed bytes");
    return text;
  }
  std::string operator()(const core::ApplyDiff& e) const { return " pages " + to_string(e.run); }
  std::string operator()(const core::Punch& e) const { return " pages " + to_string(e.run); }
  std::string operator()(const core::SendPage& e) const {
    return " to " + number(e.to) + ": " + to_string(e.message) + " and its bytes";
  }
  std::string operator()(const core::SendBound& e) const {
    return " lock " + number(e.grant.lock) + " to " + number(e.to);
  }
  std::string operator()(const core::ReadBound& e) const { return words(e.source); }
  std::string operator()(const core::FillBound& e) const {
    return " page " + number(e.span.page) + " bytes " + number(std::uint64_t{e.span.offset}) + "+" +
           number(std::uint64_t{e.span.length});
  }
  std::string operator()(const core::SendBoundDiff& e) const {
    return " page " + number(e.page) + " to " + number(e.home);
  }
  std::string operator()(const core::FillPage& e) const {
    return " page " + number(e.page) + " by " + number(e.body.size()) + " bytes";
  }
  std::string operator()(const core::SendPages& e) const {
    return " to " + number(e.to) + " pages " + to_string(e.run);
  }
  std::string operator()(const core::FillPages& e) const { return " pages " + to_string(e.run); }
  std::string operator()(const core::Hold& e) const {
    return " page " + number(e.page) + " tenure " + number(std::uint64_t{e.tenure});
  }
  std::string operator()(const core::Hasten&) const { return ""; }
  std::string operator()(const core::Wake& e) const {
    return " thread " + number(e.who) + (e.granted ? "" : " refused");
  }
  std::string operator()(const core::PerformAtomic& e) const {
    return " of node " + number(e.asker) + " thread " + number(e.who) + " at node " +
           number(e.home) + words(e.operation);
  }
  std::string operator()(const core::Found& e) const {
    return " thread " + number(e.who) + " " + number(e.previous);
  }
  std::string operator()(const core::Report& e) const {
    return " page " + number(e.race.page) + " bytes " + number(std::uint64_t{e.race.offset}) + "+" +
           number(std::uint64_t{e.race.bytes}) + " of node " + number(e.race.first.node) +
           " and of node " + number(e.race.second.node);
  }
  std::string operator()(const core::Lend& e) const { return " lock " + number(e.lock); }
  std::string operator()(const core::Recall& e) const { return " lock " + number(e.lock); }
  std::string operator()(const core::Passed& e) const {
    return " thread " + number(e.who) + " with " + number(e.payloads.size()) + " payloads";
  }
};

}  // namespace

std::string to_string(PageRun run) {
  return run.count == 1 ? number(run.first)
                        : number(run.first) + ".." + number(run.end().value - 1);
}
std::string to_string(const core::Event& event) {
  return name_of(event) + std::visit(EventText{}, event);
}
std::string to_string(const core::Effect& effect) {
  return name_of(effect) + std::visit(EffectText{}, effect);
}
std::string to_string(const core::Message& message) {
  return name_of(message) + std::visit(MessageText{}, message);
}

}  // namespace dsm::sim
