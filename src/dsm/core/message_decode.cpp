// Bytes to messages: any bytes are a message or none.
#include "dsm/core/message.hpp"
#include "dsm/core/message_kind.hpp"
#include "dsm/core/push.hpp"

namespace dsm::core {
namespace {

Span get_span(Reader& in) {
  Span span;
  span.page = in.get<PageId>();
  span.offset = in.get<std::uint32_t>();
  span.length = in.get<std::uint32_t>();
  return span;
}

bool get_known(Reader& in, std::vector<sync::Contribution>& known) {
  const auto count = in.get<std::uint32_t>();
  if (count > nodes_max) return false;
  known.reserve(count);
  for (std::uint32_t i = 0; i < count && in.ok(); ++i) {
    sync::Contribution c;
    c.rank = in.get<NodeId>();
    const ByteView bytes = in.get_sized();
    c.bytes.assign(bytes.begin(), bytes.end());
    known.push_back(std::move(c));
  }
  return true;
}

std::optional<PageRun> get_run(Reader& in) {
  PageRun run;
  run.first = in.get<PageId>();
  run.count = in.get<std::uint64_t>();
  if (!in.ok() || run.count == 0 || run.end() < run.first) return std::nullopt;
  return run;
}

// Nothing (a return) or something (a request, a grant) that exists.
std::optional<Access> get_access(Reader& in, Access least) {
  const auto access = in.get<Access>();
  if (!in.ok() || access < least || access > Access::write) return std::nullopt;
  return access;
}

std::optional<Message> decode_grant(Reader& in) {
  LockGrant m;
  m.lock = in.get<LockId>();
  if (!decode(in, m.token)) return std::nullopt;
  const auto count = in.get<std::uint32_t>();
  std::uint64_t size = 0;
  for (std::uint32_t i = 0; i < count && in.ok(); ++i) {
    const Span span = get_span(in);
    const auto where = in.get<Where>();
    if (where > Where::at_sender) return std::nullopt;
    m.aboard.push_back({span, where});
    if (where == Where::aboard) size += span.length;
  }
  if (size != in.left()) return std::nullopt;
  const ByteView bytes = in.get_bytes(size);
  m.bytes.assign(bytes.begin(), bytes.end());
  return m;
}

std::optional<Message> decode_bound_diff(Reader& in) {
  BoundDiff m;
  m.page = in.get<PageId>();
  const auto count = in.get<std::uint32_t>();
  std::uint64_t size = 0;
  for (std::uint32_t i = 0; i < count && in.ok(); ++i) {
    Versioned part;
    part.lock = in.get<LockId>();
    part.turn = in.get<Seq>();
    part.span = get_span(in);
    m.parts.push_back(part);
    size += part.span.length;
  }
  if (size > in.left()) return std::nullopt;
  m.body = in.get_bytes(in.left());
  return m;
}

std::optional<Message> decode_push(Reader& in) {
  Push m;
  m.epoch = in.get<Epoch>();
  const auto count = in.get<std::uint32_t>();
  std::uint64_t pages = 0;
  for (std::uint32_t i = 0; i < count && in.ok(); ++i) {
    const auto run = get_run(in);
    if (!run || run->count > push_pages_max) return std::nullopt;
    pages += run->count;
    m.runs.push_back(*run);
  }
  if (pages > push_pages_max) return std::nullopt;
  m.body = in.get_bytes(in.left());
  return m;
}

std::optional<Message> decode_round(Reader& in) {
  BarrierRound m;
  m.epoch = in.get<Epoch>();
  m.round = in.get<std::uint32_t>();
  if (!get_known(in, m.known)) return std::nullopt;
  return m;
}

std::optional<Message> decode_team_round(Reader& in) {
  TeamRound m;
  m.team = in.get<TeamId>();
  m.members = in.get<std::uint64_t>();
  m.epoch = in.get<Epoch>();
  m.round = in.get<std::uint32_t>();
  if (!get_known(in, m.known)) return std::nullopt;
  return m;
}

std::optional<Message> decode_atomic_request(Reader& in) {
  AtomicRequest m;
  m.who = in.get<Ticket>();
  m.operation.page = in.get<PageId>();
  m.operation.offset = in.get<std::uint32_t>();
  m.operation.kind = in.get<WordOperation::Kind>();
  m.operation.operand = in.get<std::uint64_t>();
  m.operation.compare = in.get<std::uint64_t>();
  m.epoch = in.get<Epoch>();
  if (m.operation.kind > WordOperation::Kind::compare_swap) return std::nullopt;
  return m;
}

std::optional<Message> decode_request(Reader& in) {
  PageRequest m;
  m.page = in.get<PageId>();
  const auto wanted = get_access(in, Access::read);
  const auto has_copy = in.get<std::uint8_t>();
  if (!wanted || has_copy > 1) return std::nullopt;
  m.wanted = *wanted;
  m.has_copy = has_copy == 1;
  return m;
}

std::optional<Message> decode_copy(Kind kind, Reader& in) {
  const auto page = in.get<PageId>();
  const auto turn = in.get<std::uint32_t>();
  const auto access = get_access(in, kind == Kind::page_grant ? Access::read : Access::none);
  if (!access) return std::nullopt;
  if (kind == Kind::page_recall) return PageRecall{page, turn, *access};
  if (kind == Kind::page_return) return PageReturn{page, turn, *access, in.get_bytes(in.left())};
  return PageGrant{page, turn, *access, in.get_bytes(in.left())};
}

// What may be asked for and granted.
std::optional<sync::Mode> get_mode(Reader& in) {
  const auto mode = in.get<sync::Mode>();
  if (mode != sync::Mode::shared && mode != sync::Mode::exclusive) return std::nullopt;
  return mode;
}

std::optional<Message> decode_shared_request(Reader& in) {
  const auto lock = in.get<SharedLockId>();
  const auto mode = get_mode(in);
  if (!mode) return std::nullopt;
  return SharedRequest{lock, *mode, in.get<std::uint64_t>()};
}

std::optional<Message> decode_shared_grant(Reader& in) {
  SharedGrant m;
  m.lock = in.get<SharedLockId>();
  const auto mode = get_mode(in);
  if (!mode) return std::nullopt;
  m.mode = *mode;
  m.number = in.get<std::uint64_t>();
  if (!decode(in, m.token)) return std::nullopt;
  return m;
}

std::optional<Message> decode_shared_return(Reader& in) {
  SharedReturn m;
  m.lock = in.get<SharedLockId>();
  if (!decode(in, m.token)) return std::nullopt;
  return m;
}

std::optional<Message> decode_semaphore_call(Reader& in) {
  SemaphoreCall m;
  m.semaphore = in.get<SemaphoreId>();
  m.kind = in.get<SemaphoreCall::Kind>();
  m.number = in.get<std::uint64_t>();
  m.initial = in.get<std::uint64_t>();
  if (m.kind > SemaphoreCall::Kind::withdraw || m.initial > sync::semaphore_count_max)
    return std::nullopt;
  return m;
}

std::optional<Message> decode_semaphore_release(Reader& in) {
  SemaphoreRelease m;
  m.semaphore = in.get<SemaphoreId>();
  m.number = in.get<std::uint64_t>();
  m.initial = in.get<std::uint64_t>();
  m.count = in.get<std::uint64_t>();
  if (m.initial > sync::semaphore_count_max || !decode(in, m.token)) return std::nullopt;
  return m;
}

std::optional<Message> decode_semaphore_answer(Reader& in) {
  using Answer = SemaphoreAnswer::Kind;
  SemaphoreAnswer m;
  m.number = in.get<std::uint64_t>();
  m.kind = in.get<Answer>();
  m.value = in.get<std::uint64_t>();
  if (m.kind > Answer::differs) return std::nullopt;
  if (m.kind == Answer::granted && !decode(in, m.token)) return std::nullopt;
  return m;
}

std::optional<Message> decode_fields(Kind kind, Reader& in) {
  switch (kind) {
    case Kind::lock_request:
      return LockRequest{in.get<LockId>()};
    case Kind::lock_forward: {
      LockForward m;
      m.lock = in.get<LockId>();
      m.successor = in.get<NodeId>();
      return m;
    }
    case Kind::lock_grant:
      return decode_grant(in);
    case Kind::diff:
    case Kind::stamped_diff: {
      const auto run = get_run(in);
      if (!run || run->count > 0xffff) return std::nullopt;
      Stamp stamp;
      if (kind == Kind::stamped_diff && !decode(in, stamp)) return std::nullopt;
      return Diff{*run, in.get_bytes(in.left()), std::move(stamp)};
    }
    case Kind::diff_ack: {
      const auto run = get_run(in);
      if (!run) return std::nullopt;
      return DiffAck{*run};
    }
    case Kind::push:
      return decode_push(in);
    case Kind::hurry:
      return Hurry{};
    case Kind::move_ready:
      return MoveReady{in.get<Epoch>()};
    case Kind::move_content: {
      const auto epoch = in.get<Epoch>();
      const auto run = get_run(in);
      if (!run || run->count > 0xffff) return std::nullopt;
      return MoveContent{epoch, *run, in.get_bytes(in.left())};
    }
    case Kind::move_done: {
      MoveDone m;
      m.from = in.get<NodeId>();
      m.epoch = in.get<Epoch>();
      return m;
    }
    case Kind::barrier_round:
      return decode_round(in);
    case Kind::mark_flush:
      return MarkFlush{};
    case Kind::mark_credit:
      return MarkCredit{in.get<std::uint64_t>()};
    case Kind::page_request:
      return decode_request(in);
    case Kind::page_recall:
    case Kind::page_return:
    case Kind::page_grant:
      return decode_copy(kind, in);
    case Kind::team_round:
      return decode_team_round(in);
    case Kind::atomic_request:
      return decode_atomic_request(in);
    case Kind::atomic_reply: {
      AtomicReply m;
      m.who = in.get<Ticket>();
      m.previous = in.get<std::uint64_t>();
      return m;
    }
    case Kind::condition_call: {
      ConditionCall m;
      m.condition = in.get<ConditionId>();
      m.kind = in.get<ConditionCall::Kind>();
      m.number = in.get<std::uint64_t>();
      if (m.kind > ConditionCall::Kind::notify_all) return std::nullopt;
      return m;
    }
    case Kind::condition_answer: {
      ConditionAnswer m;
      m.number = in.get<std::uint64_t>();
      m.kind = in.get<ConditionAnswer::Kind>();
      if (m.kind > ConditionAnswer::Kind::notified) return std::nullopt;
      return m;
    }
    case Kind::shared_request:
      return decode_shared_request(in);
    case Kind::shared_grant:
      return decode_shared_grant(in);
    case Kind::shared_revoke: {
      SharedRevoke m;
      m.lock = in.get<SharedLockId>();
      m.number = in.get<std::uint64_t>();
      return m;
    }
    case Kind::shared_return:
      return decode_shared_return(in);
    case Kind::bound_diff:
      return decode_bound_diff(in);
    case Kind::bound_taken: {
      BoundTaken m;
      m.lock = in.get<LockId>();
      m.turn = in.get<Seq>();
      return m;
    }
    case Kind::holding: {
      Holding m;
      const auto count = in.get<std::uint32_t>();
      if (in.left() != count * sizeof(LockId)) return std::nullopt;
      for (std::uint32_t i = 0; i < count; ++i) m.locks.push_back(in.get<LockId>());
      return m;
    }
    case Kind::mark_note: {
      const auto run = get_run(in);
      if (!run || run->count > 0xffff) return std::nullopt;
      return MarkNote{*run, in.get<Epoch>()};
    }
    case Kind::mark_taken: {
      const auto run = get_run(in);
      if (!run || run->count > 0xffff) return std::nullopt;
      return MarkTaken{*run};
    }
    case Kind::semaphore_call:
      return decode_semaphore_call(in);
    case Kind::semaphore_release:
      return decode_semaphore_release(in);
    case Kind::semaphore_answer:
      return decode_semaphore_answer(in);
    case Kind::team_left: {
      TeamLeft m;
      m.team = in.get<TeamId>();
      m.members = in.get<std::uint64_t>();
      m.passed = in.get<Epoch>();
      return m;
    }
    case Kind::shared_withdraw: {
      const auto lock = in.get<SharedLockId>();
      return SharedWithdraw{lock, in.get<std::uint64_t>()};
    }
    case Kind::shared_withdrawn: {
      const auto lock = in.get<SharedLockId>();
      return SharedWithdrawn{lock, in.get<std::uint64_t>()};
    }
  }
  return std::nullopt;
}

}  // namespace

bool decode(Reader& in, Token& token) {
  token.turn = in.get<Seq>();
  token.passed = in.get<Epoch>();
  return decode(in, token.recent[0]) && decode(in, token.recent[1]) && decode(in, token.clock);
}

std::optional<Message> decode(ByteView bytes) {
  Reader in(bytes);
  const auto kind = in.get<Kind>();
  if (!in.ok()) return std::nullopt;
  std::optional<Message> message = decode_fields(kind, in);
  if (!message || !in.done()) return std::nullopt;
  return message;
}

}  // namespace dsm::core
