// Messages to bytes.
#include "dsm/core/message.hpp"

#include "dsm/core/message_kind.hpp"

namespace dsm::core {
namespace {

void put(Writer& out, PageRun run) {
  out.put(run.first);
  out.put(run.count);
}

void put(Writer& out, const Span& span) {
  out.put(span.page);
  out.put(span.offset);
  out.put(span.length);
}

void put(Writer& out, const std::vector<sync::Contribution>& known) {
  out.put(static_cast<std::uint32_t>(known.size()));
  for (const sync::Contribution& c : known) {
    out.put(c.rank);
    out.put_sized(c.bytes);
  }
}

struct Encoder {
  Writer& out;

  void operator()(const LockRequest& m) {
    out.put(Kind::lock_request);
    out.put(m.lock);
  }
  void operator()(const LockForward& m) {
    out.put(Kind::lock_forward);
    out.put(m.lock);
    out.put(m.successor);
  }
  void operator()(const LockGrant& m) {
    out.put(Kind::lock_grant);
    out.put(m.lock);
    encode(m.token, out);
    out.put(static_cast<std::uint32_t>(m.aboard.size()));
    for (const Aboard& aboard : m.aboard) {
      put(out, aboard.span);
      out.put(aboard.where);
    }
    out.put_bytes(m.bytes);
  }
  void operator()(const BoundDiff& m) {
    out.put(Kind::bound_diff);
    out.put(m.page);
    out.put(static_cast<std::uint32_t>(m.parts.size()));
    for (const Versioned& part : m.parts) {
      out.put(part.lock);
      out.put(part.turn);
      put(out, part.span);
    }
    out.put_bytes(m.body);
  }
  void operator()(const BoundTaken& m) {
    out.put(Kind::bound_taken);
    out.put(m.lock);
    out.put(m.turn);
  }
  void operator()(const Holding& m) {
    out.put(Kind::holding);
    out.put(static_cast<std::uint32_t>(m.locks.size()));
    for (const LockId lock : m.locks) out.put(lock);
  }
  void operator()(const Diff& m) {
    out.put(m.stamp.empty() ? Kind::diff : Kind::stamped_diff);
    put(out, m.run);
    if (!m.stamp.empty()) encode(m.stamp, out);
    out.put_bytes(m.body);
  }
  void operator()(const Hurry&) { out.put(Kind::hurry); }
  void operator()(const MoveReady& m) {
    out.put(Kind::move_ready);
    out.put(m.epoch);
  }
  void operator()(const MoveContent& m) {
    out.put(Kind::move_content);
    out.put(m.epoch);
    put(out, m.run);
    out.put_bytes(m.body);
  }
  void operator()(const MoveDone& m) {
    out.put(Kind::move_done);
    out.put(m.from);
    out.put(m.epoch);
  }
  void operator()(const Push& m) {
    out.put(Kind::push);
    out.put(m.epoch);
    out.put(static_cast<std::uint32_t>(m.runs.size()));
    for (const PageRun& run : m.runs) put(out, run);
    out.put_bytes(m.body);
  }
  void operator()(const DiffAck& m) {
    out.put(Kind::diff_ack);
    put(out, m.run);
  }
  void operator()(const BarrierRound& m) {
    out.put(Kind::barrier_round);
    out.put(m.epoch);
    out.put(m.round);
    put(out, m.known);
  }
  void operator()(const TeamRound& m) {
    out.put(Kind::team_round);
    out.put(m.team);
    out.put(m.members);
    out.put(m.epoch);
    out.put(m.round);
    put(out, m.known);
  }
  void operator()(const TeamLeft& m) {
    out.put(Kind::team_left);
    out.put(m.team);
    out.put(m.members);
    out.put(m.passed);
  }
  void operator()(const AtomicRequest& m) {
    out.put(Kind::atomic_request);
    out.put(m.who);
    out.put(m.operation.page);
    out.put(m.operation.offset);
    out.put(m.operation.kind);
    out.put(m.operation.operand);
    out.put(m.operation.compare);
    out.put(m.epoch);
  }
  void operator()(const AtomicReply& m) {
    out.put(Kind::atomic_reply);
    out.put(m.who);
    out.put(m.previous);
  }
  void operator()(const ConditionCall& m) {
    out.put(Kind::condition_call);
    out.put(m.condition);
    out.put(m.kind);
    out.put(m.number);
  }
  void operator()(const ConditionAnswer& m) {
    out.put(Kind::condition_answer);
    out.put(m.number);
    out.put(m.kind);
  }
  void operator()(const MarkFlush&) { out.put(Kind::mark_flush); }
  void operator()(const MarkCredit& m) {
    out.put(Kind::mark_credit);
    out.put(m.consumed);
  }
  void operator()(const MarkNote& m) {
    out.put(Kind::mark_note);
    put(out, m.run);
    out.put(m.epoch);
  }
  void operator()(const MarkTaken& m) {
    out.put(Kind::mark_taken);
    put(out, m.run);
  }
  void operator()(const PageRequest& m) {
    out.put(Kind::page_request);
    out.put(m.page);
    out.put(m.wanted);
    out.put(m.has_copy);
  }
  void operator()(const PageRecall& m) { put_copy(Kind::page_recall, m.page, m.turn, m.keep); }
  void operator()(const PageReturn& m) {
    put_copy(Kind::page_return, m.page, m.turn, m.kept);
    out.put_bytes(m.body);
  }
  void operator()(const PageGrant& m) {
    put_copy(Kind::page_grant, m.page, m.turn, m.access);
    out.put_bytes(m.body);
  }
  void operator()(const SharedRequest& m) {
    out.put(Kind::shared_request);
    out.put(m.lock);
    out.put(m.mode);
    out.put(m.number);
  }
  void operator()(const SharedWithdraw& m) {
    out.put(Kind::shared_withdraw);
    out.put(m.lock);
    out.put(m.number);
  }
  void operator()(const SharedWithdrawn& m) {
    out.put(Kind::shared_withdrawn);
    out.put(m.lock);
    out.put(m.number);
  }
  void operator()(const SharedGrant& m) {
    out.put(Kind::shared_grant);
    out.put(m.lock);
    out.put(m.mode);
    out.put(m.number);
    encode(m.token, out);
  }
  void operator()(const SharedRevoke& m) {
    out.put(Kind::shared_revoke);
    out.put(m.lock);
    out.put(m.number);
  }
  void operator()(const SharedReturn& m) {
    out.put(Kind::shared_return);
    out.put(m.lock);
    encode(m.token, out);
  }
  void operator()(const SemaphoreCall& m) {
    out.put(Kind::semaphore_call);
    out.put(m.semaphore);
    out.put(m.kind);
    out.put(m.number);
    out.put(m.initial);
  }
  void operator()(const SemaphoreRelease& m) {
    out.put(Kind::semaphore_release);
    out.put(m.semaphore);
    out.put(m.number);
    out.put(m.initial);
    out.put(m.count);
    encode(m.token, out);
  }
  void operator()(const SemaphoreAnswer& m) {
    out.put(Kind::semaphore_answer);
    out.put(m.number);
    out.put(m.kind);
    out.put(m.value);
    if (m.kind == SemaphoreAnswer::Kind::granted) encode(m.token, out);
  }
  void put_copy(Kind kind, PageId page, std::uint32_t turn, Access access) {
    out.put(kind);
    out.put(page);
    out.put(turn);
    out.put(access);
  }
};

}  // namespace

void encode(const Token& token, Writer& out) {
  out.put(token.turn);
  out.put(token.passed);
  for (const Notices& notices : token.recent) encode(notices, out);
  encode(token.clock, out);
}

void encode(const Message& message, Bytes& out) {
  Writer writer(out);
  std::visit(Encoder{writer}, message);
}

bool is_for_waiters(const Message& message) {
  return std::holds_alternative<BarrierRound>(message) ||
         std::holds_alternative<TeamRound>(message) ||
         std::holds_alternative<AtomicReply>(message) || std::holds_alternative<Push>(message);
}

}  // namespace dsm::core
