// Shared locks: permissions to read and to write, asked for, given, revoked, given back.
//
// A grant is like a lock's: what the token tells is forgotten here before anyone holds the lock. A
// permission that goes back is like a lock's token that leaves: everything is home and told first,
// also what was written by a node that only read in the lock's scope (A1).
#include <utility>

#include "base/check.hpp"
#include "dsm/core/engine.hpp"

namespace dsm::core {

NodeId Engine::manager_of(SharedLockId id) const {
  return NodeId(static_cast<std::uint32_t>(id.value % config_.nodes));
}

// Runs one move of a lock, so that the tests' coverage table sees the transition.
template <typename Move>
auto Engine::moved(SharedHere& shared, Move move) {
#if DSM_PLANTED_BUGS
  const sync::SharedState before = shared.lock.state();
#endif
  auto result = move(shared.lock);
#if DSM_PLANTED_BUGS
  const sync::SharedState after = shared.lock.state();
  if (transition_hook != nullptr && before != after)
    transition_hook("shared", static_cast<int>(before), static_cast<int>(after));
#endif
  return result;
}

// ---- the node's part ----

void Engine::on(const AcquireShared& e, Effects& out) {
  SharedHere& shared = shared_.here[e.lock];
  const auto step = moved(shared, [&](sync::SharedLock& l) { return l.acquire(e.who, e.mode); });
  if (!step.holders.empty()) ++counters_.locks_taken_here;
  obey(e.lock, step, out);
}

void Engine::on(const TryAcquireShared& e, Effects& out) {
  sync::SharedStep step;
  const bool taken =
      moved(shared_.here[e.lock], [&](sync::SharedLock& l) { return l.try_acquire(e.mode, step); });
  if (taken) {
    ++counters_.locks_taken;
    ++counters_.locks_taken_here;
  }
  obey(e.lock, step, out);
  out.push(Wake{e.who, taken});
}

void Engine::on(const CancelShared& e, Effects& out) {
  sync::SharedStep step;
  const bool waited =
      moved(shared_.here[e.lock], [&](sync::SharedLock& l) { return l.cancel(e.who, step); });
  obey(e.lock, step, out);
  if (waited) out.push(Wake{e.who, false});
}

void Engine::on(const ReleaseShared& e, Effects& out) {
  DSM_CHECK_WITH(holds(e.lock, e.mode), "only a holder releases", {"shared lock", e.lock.value});
  obey(e.lock, moved(shared_.here[e.lock], [&](sync::SharedLock& l) { return l.release(e.mode); }),
       out);
}

void Engine::obey(SharedLockId id, const sync::SharedStep& step, Effects& out) {
  const std::uint64_t request = shared_.here[id].lock.requests();
  if (step.ask != sync::Mode::none)
    out.push(Send{manager_of(id), SharedRequest{id, step.ask, request}});
  if (step.withdraw) out.push(Send{manager_of(id), SharedWithdraw{id, request}});
  if (step.leave) {
    Publication p;
    p.kind = Publication::Kind::shared;
    p.shared = id;
    publish(p, out);
  }
  for (const Ticket who : step.holders) {
    ++counters_.locks_taken;
    out.push(Wake{who});
  }
}

void Engine::on(const SharedGrant& m, NodeId, Effects& out) {
  SharedHere& shared = shared_.here[m.lock];
  // A reader that becomes the writer has told nothing yet of what it wrote as a reader.
  if (shared.lock.permission() == sync::Mode::none) shared.stamp = log_.now();
  moved(shared, [&](sync::SharedLock& l) {
    l.granted(m.mode, m.number);
    return 0;
  });
  shared.token = m.token;
  if (m.token.passed > epoch() && !planted(Bug::shared_grant_overtakes_barrier)) {
    shared_.deferred_grants.push_back(m.lock);
  } else {
    enter_shared(m.lock, out);
  }
}

void Engine::enter_shared(SharedLockId id, Effects& out) {
  SharedHere& shared = shared_.here[id];
  if (!planted(Bug::shared_grant_without_log)) heed(shared.token, shared.seen, out);
  shared.seen = shared.token.turn;
  shared.token = Token{};
  shared_.entering.push_back({id, departures_.next()});
}

void Engine::finish_entering_shared(Effects& out) {
  for (std::size_t i = 0; i < shared_.entering.size();) {
    if (!departures_.all_before(shared_.entering[i].departures_before)) {
      ++i;
      continue;
    }
    const SharedLockId id = shared_.entering[i].lock;
    shared_.entering.erase(shared_.entering.begin() + static_cast<std::ptrdiff_t>(i));
    obey(id, moved(shared_.here[id], [](sync::SharedLock& l) { return l.entered(); }), out);
  }
}

void Engine::on(const SharedWithdrawn& m, NodeId, Effects& out) {
  if (planted(Bug::shared_withdrawal_unheard)) return;
  obey(m.lock,
       moved(shared_.here[m.lock], [&](sync::SharedLock& l) { return l.withdrawn(m.number); }),
       out);
}

void Engine::on(const SharedRevoke& m, NodeId, Effects& out) {
  SharedHere& shared = shared_.here[m.lock];
  if (planted(Bug::shared_permission_kept) && shared.lock.number() == m.number &&
      shared.lock.state() != sync::SharedState::entering) {
    Token token;
    tell(token, shared.stamp);
    out.push(Send{manager_of(m.lock), SharedReturn{m.lock, std::move(token)}});
    return;
  }
  obey(m.lock, moved(shared, [&](sync::SharedLock& l) { return l.revoked(m.number); }), out);
}

// The permission goes back, with what was written under it as one turn of a token of its own.
void Engine::give_back(SharedLockId id, Effects& out) {
  SharedHere& shared = shared_.here[id];
  const bool wrote = shared.lock.permission() == sync::Mode::exclusive;
  Token token;
  tell(token, shared.stamp);
  if (planted(Bug::reader_release_not_published) && !wrote)
    for (Notices& notices : token.recent) notices = Notices();
  // A writer is alone, so the turn that the manager makes of this is the next, and no news here.
  if (wrote) ++shared.seen;
  out.push(Send{manager_of(id), SharedReturn{id, std::move(token)}});
  obey(id, moved(shared, [](sync::SharedLock& l) { return l.left(); }), out);
}

// ---- the manager's part ----

void Engine::on(const SharedRequest& m, NodeId from, Effects& out) {
  DSM_CHECK_WITH(manager_of(m.lock) == config_.self, "a lock's requests go to its manager",
                 {"shared lock", m.lock.value});
  const auto orders = shared_.kept[m.lock].queue.ask(from, m.mode, m.number);
  if (orders.withdrawn) out.push(Send{from, SharedWithdrawn{m.lock, m.number}});
  order(m.lock, orders, out);
}

// Those who stood behind the request go on.
void Engine::on(const SharedWithdraw& m, NodeId from, Effects& out) {
  const auto orders = shared_.kept[m.lock].queue.withdraw(from, m.number);
  if (orders.withdrawn) out.push(Send{from, SharedWithdrawn{m.lock, m.number}});
  order(m.lock, orders, out);
}

void Engine::on(const SharedReturn& m, NodeId from, Effects& out) {
  if (m.token.passed > epoch()) {
    shared_.deferred_returns.push_back({from, m});
  } else {
    take_back({from, m}, out);
  }
}

void Engine::take_back(SharedLocks::Returned returned, Effects& out) {
  SharedKept& kept = shared_.kept[returned.message.lock];
  add_turn(kept.token, returned.message.token);
  order(returned.message.lock, kept.queue.returned(returned.from), out);
}

void Engine::order(SharedLockId id, const sync::SharedOrders& orders, Effects& out) {
  for (const auto& revoke : orders.revokes)
    out.push(Send{revoke.from, SharedRevoke{id, revoke.number}});
  if (orders.grants.empty()) return;
  Token& token = shared_.kept[id].token;
  normalise(token);
  for (const auto& grant : orders.grants)
    out.push(Send{grant.to, SharedGrant{id, grant.mode, grant.number, token}});
}

// ---- barriers ----

// A barrier is being left: what came from beyond it may be taken up.
void Engine::resume_shared(Effects& out) {
  for (const SharedLockId id : std::exchange(shared_.deferred_grants, {})) {
    if (shared_.here[id].token.passed > epoch()) {
      shared_.deferred_grants.push_back(id);
    } else {
      enter_shared(id, out);
    }
  }
  for (SharedLocks::Returned& returned : std::exchange(shared_.deferred_returns, {})) {
    if (returned.message.token.passed > epoch()) {
      shared_.deferred_returns.push_back(std::move(returned));
    } else {
      take_back(std::move(returned), out);
    }
  }
}

bool Engine::holds(SharedLockId lock, sync::Mode mode) const {
  const auto it = shared_.here.find(lock);
  return it != shared_.here.end() && it->second.lock.holds(mode);
}

std::string Engine::broken_invariant_of_shared() const {
  for (const auto& [id, shared] : shared_.here)
    if (const auto broken = shared.lock.broken_invariant(); !broken.empty())
      return std::string(broken) + ": shared lock " + std::to_string(id.value);
  for (const auto& [id, kept] : shared_.kept)
    if (const auto broken = kept.queue.broken_invariant(); !broken.empty())
      return std::string(broken) + ": shared lock " + std::to_string(id.value);
  return {};
}

void Engine::encode_shared(Bytes& out) const {
  Writer writer(out);
  const auto put = [&](std::uint64_t v) { writer.put(v); };
  for (const auto& [id, shared] : shared_.here) {
    put(id.value);
    shared.lock.hash(put);
    put(shared.seen.value);
    put(shared.stamp.value);
    encode(shared.token, writer);
  }
  for (const auto& [id, kept] : shared_.kept) {
    put(id.value);
    kept.queue.hash(put);
    encode(kept.token, writer);
  }
  for (const auto& e : shared_.entering) put(e.lock.value);
  for (const SharedLockId id : shared_.deferred_grants) put(id.value);
  for (const auto& r : shared_.deferred_returns) {
    put(r.from.value);
    put(r.message.lock.value);
    encode(r.message.token, writer);
  }
}

std::string Engine::describe_shared() const {
  std::string text;
  for (const auto& [id, shared] : shared_.here)
    text += "shared lock " + std::to_string(id.value) + ": " + name_of(shared.lock.state()) + ", " +
            std::to_string(shared.lock.waiting()) + " waiting here\n";
  for (const auto& [id, kept] : shared_.kept) {
    text += "shared lock " + std::to_string(id.value) +
            ", managed here: " + std::to_string(kept.queue.waiting()) + " nodes waiting";
    for (const auto& h : kept.queue.holders())
      text += ", node " + std::to_string(h.node.value) +
              (h.mode == sync::Mode::exclusive ? " may write" : " may read") +
              (h.revoked ? " (revoked)" : "");
    text += "\n";
  }
  return text;
}

}  // namespace dsm::core
