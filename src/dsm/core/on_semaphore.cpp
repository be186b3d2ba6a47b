// Semaphores: the count is at its manager, and so is the token with the notices of what was written
// before its releases.
//
// A release tells what its node wrote since it was last known to have told the manager: a release
// may overtake an earlier one of another thread, and who is let in by it must hear of everything
// that its own thread wrote. So the stamp moves when the manager has answered, and a release waits
// for that. A thread whose time is up takes its request back; only the manager knows whether a
// grant came before. If one did, it is on its way here and counts. The manager says when a request
// is in its queue, since one that is taken back must not overtake it.
#include <algorithm>
#include <utility>

#include "base/check.hpp"
#include "dsm/core/engine.hpp"

namespace dsm::core {

NodeId Engine::manager_of(SemaphoreId id) const {
  return NodeId(static_cast<std::uint32_t>(id.value % config_.nodes));
}

// ---- the node's part ----

std::uint64_t Engine::begin_call(Semaphores::Call call) {
  const std::uint64_t number = semaphores_.calls_made++;
  semaphores_.calls.emplace(number, std::move(call));
  return number;
}

void Engine::on(const AcquireSemaphore& e, Effects& out) {
  const std::uint64_t number = begin_call({e.semaphore, e.who, e.initial});
  out.push(Send{manager_of(e.semaphore),
                SemaphoreCall{e.semaphore, SemaphoreCall::Kind::acquire, number, e.initial}});
}

void Engine::on(const TryAcquireSemaphore& e, Effects& out) {
  const std::uint64_t number = begin_call({e.semaphore, e.who, e.initial});
  out.push(Send{manager_of(e.semaphore),
                SemaphoreCall{e.semaphore, SemaphoreCall::Kind::try_acquire, number, e.initial}});
}

void Engine::on(const CancelSemaphore& e, Effects& out) {
  const auto it = std::find_if(semaphores_.calls.begin(), semaphores_.calls.end(),
                               [&](const auto& numbered) { return numbered.second.who == e.who; });
  if (it == semaphores_.calls.end() || it->second.granted) return;  // its Wake is on the way
  it->second.given_up = true;
  if (it->second.queued) withdraw(it->first, out);
}

void Engine::withdraw(std::uint64_t number, Effects& out) {
  const Semaphores::Call& call = semaphores_.calls.at(number);
  out.push(
      Send{manager_of(call.semaphore),
           SemaphoreCall{call.semaphore, SemaphoreCall::Kind::withdraw, number, call.initial}});
}

void Engine::on(const ReleaseSemaphore& e, Effects& out) {
  Publication p;
  p.kind = Publication::Kind::semaphore;
  p.call = begin_call({e.semaphore, e.who, e.initial, e.count});
  publish(p, out);
}

// Everything that was written before the release is home.
void Engine::send_release(std::uint64_t number, Effects& out) {
  Semaphores::Call& call = semaphores_.calls.at(number);
  Semaphores::Here& here = semaphores_.here[call.semaphore];
  Token token;
  tell(token, here.stamp);
  call.told = log_.now();
  if (planted(Bug::semaphore_told_once)) here.stamp = call.told;
  // What is on its way home for another thread has been told too early, and counts again.
  if (!planted(Bug::semaphore_tells_unsent)) log_unsent();
  out.push(Send{manager_of(call.semaphore), SemaphoreRelease{call.semaphore, number, call.initial,
                                                             call.count, std::move(token)}});
}

void Engine::on(const SemaphoreAnswer& m, NodeId, Effects& out) {
  using Kind = SemaphoreAnswer::Kind;
  const auto it = semaphores_.calls.find(m.number);
  if (m.kind == Kind::queued) {  // the grant may have overtaken this
    if (it == semaphores_.calls.end() || it->second.granted) return;
    it->second.queued = true;
    if (it->second.given_up) withdraw(m.number, out);
    return;
  }
  DSM_CHECK_WITH(it != semaphores_.calls.end() && !it->second.granted,
                 "a manager answers a call, once", {"number", m.number});
  Semaphores::Here& here = semaphores_.here[it->second.semaphore];
  switch (m.kind) {
    case Kind::queued:
      break;
    case Kind::granted:
      if (planted(Bug::semaphore_grant_after_timeout_lost) && it->second.given_up) break;
      it->second.granted = true;
      if (m.token.passed > epoch() && !planted(Bug::semaphore_grant_overtakes_barrier)) {
        semaphores_.deferred_grants.push_back(m);
      } else {
        enter_semaphore(m, out);
      }
      return;
    case Kind::released:
      here.stamp = std::max(here.stamp, it->second.told);
      // A turn that this node made itself, right behind those that it has acted on, is no news.
      if (Seq(m.value) == here.seen + 1) here.seen = Seq(m.value);
      break;
    case Kind::refused:
    case Kind::overflow:
      break;
    case Kind::differs:
      here.made_with = m.value;
      break;
  }
  out.push(Wake{it->second.who, m.kind == Kind::released});
  semaphores_.calls.erase(it);
}

void Engine::enter_semaphore(SemaphoreAnswer grant, Effects& out) {
  Semaphores::Here& here = semaphores_.here[semaphores_.calls.at(grant.number).semaphore];
  if (!planted(Bug::semaphore_grant_without_log)) heed(grant.token, here.seen, out);
  here.seen = std::max(here.seen, grant.token.turn);  // grants may overtake one another
  semaphores_.entering.push_back({grant.number, departures_.next()});
}

void Engine::finish_entering_semaphores(Effects& out) {
  std::erase_if(semaphores_.entering, [&](const Semaphores::Entering& entering) {
    if (!departures_.all_before(entering.departures_before)) return false;
    const auto it = semaphores_.calls.find(entering.call);
    out.push(Wake{it->second.who});
    semaphores_.calls.erase(it);
    return true;
  });
}

// ---- the manager's part ----

// Null: the caller has been told that it made the semaphore with another count.
Semaphores::Kept* Engine::kept_semaphore(SemaphoreId id, std::uint64_t initial, NodeId from,
                                         std::uint64_t number, Effects& out) {
  DSM_CHECK_WITH(manager_of(id) == config_.self, "a semaphore's calls go to its manager",
                 {"semaphore", id.value});
  Semaphores::Kept& kept =
      semaphores_.kept.try_emplace(id, Semaphores::Kept{sync::SemaphoreQueue(initial), {}})
          .first->second;
  if (kept.queue.initial() == initial) return &kept;
  out.push(Send{from,
                SemaphoreAnswer{number, SemaphoreAnswer::Kind::differs, kept.queue.initial(), {}}});
  return nullptr;
}

void Engine::on(const SemaphoreCall& m, NodeId from, Effects& out) {
  using Kind = SemaphoreCall::Kind;
  using Answer = SemaphoreAnswer::Kind;
  Semaphores::Kept* kept = kept_semaphore(m.semaphore, m.initial, from, m.number, out);
  if (kept == nullptr) return;
  const auto answer = [&](Answer kind) {
    out.push(Send{from, SemaphoreAnswer{m.number, kind, 0, {}}});
  };
  switch (m.kind) {
    case Kind::acquire:
      if (kept->queue.acquire({from, m.number})) {
        let_in(*kept, {from, m.number}, out);
      } else {
        answer(Answer::queued);
      }
      break;
    case Kind::try_acquire:
      if (kept->queue.try_acquire()) {
        let_in(*kept, {from, m.number}, out);
      } else {
        answer(Answer::refused);
      }
      break;
    case Kind::withdraw:
      if (kept->queue.withdraw({from, m.number})) {
        answer(Answer::refused);
      } else if (planted(Bug::semaphore_count_given_twice)) {
        kept->queue.release(1);
      }
      break;
  }
}

void Engine::let_in(Semaphores::Kept& kept, sync::SemaphoreRequest request, Effects& out) {
  normalise(kept.token);
  out.push(Send{request.node,
                SemaphoreAnswer{request.number, SemaphoreAnswer::Kind::granted, 0, kept.token}});
}

void Engine::on(const SemaphoreRelease& m, NodeId from, Effects& out) {
  if (m.token.passed > epoch()) {
    semaphores_.deferred_releases.push_back({from, m});
  } else {
    take_release({from, m}, out);
  }
}

void Engine::take_release(Semaphores::Released released, Effects& out) {
  SemaphoreRelease& m = released.message;
  Semaphores::Kept* kept = kept_semaphore(m.semaphore, m.initial, released.from, m.number, out);
  if (kept == nullptr) return;
  if (!kept->queue.takes(m.count)) {
    out.push(
        Send{released.from, SemaphoreAnswer{m.number, SemaphoreAnswer::Kind::overflow, 0, {}}});
    return;
  }
  add_turn(kept->token, m.token);
  for (const sync::SemaphoreRequest request : kept->queue.release(m.count))
    let_in(*kept, request, out);
  out.push(
      Send{released.from,
           SemaphoreAnswer{m.number, SemaphoreAnswer::Kind::released, kept->token.turn.value, {}}});
}

// ---- barriers ----

// A barrier is being left: what came from beyond it may be taken up.
void Engine::resume_semaphores(Effects& out) {
  for (SemaphoreAnswer& grant : std::exchange(semaphores_.deferred_grants, {})) {
    if (grant.token.passed > epoch()) {
      semaphores_.deferred_grants.push_back(std::move(grant));
    } else {
      enter_semaphore(std::move(grant), out);
    }
  }
  for (Semaphores::Released& released : std::exchange(semaphores_.deferred_releases, {})) {
    if (released.message.token.passed > epoch()) {
      semaphores_.deferred_releases.push_back(std::move(released));
    } else {
      take_release(std::move(released), out);
    }
  }
}

std::optional<std::uint64_t> Engine::semaphore_made_with(SemaphoreId id) const {
  const auto it = semaphores_.here.find(id);
  return it == semaphores_.here.end() ? std::nullopt : it->second.made_with;
}

std::string Engine::broken_invariant_of_semaphores() const {
  for (const auto& [id, kept] : semaphores_.kept)
    if (const auto broken = kept.queue.broken_invariant(); !broken.empty())
      return std::string(broken) + ": semaphore " + std::to_string(id.value);
  for (const auto& [number, call] : semaphores_.calls)
    if (call.count > 0 && (call.queued || call.given_up || call.granted))
      return "a release waits like an acquire: semaphore " + std::to_string(call.semaphore.value);
  if (semaphores_.deferred_grants.size() + semaphores_.deferred_releases.size() > 0 &&
      !barrier_wait_.waiting)
    return "a semaphore waits for a barrier that this node is not in";
  return {};
}

void Engine::encode_semaphores(Bytes& out) const {
  Writer writer(out);
  const auto put = [&](std::uint64_t v) { writer.put(v); };
  for (const auto& [id, here] : semaphores_.here) {
    put(id.value);
    put(here.seen.value);
    put(here.stamp.value);
    put(here.made_with.value_or(~std::uint64_t{0}));
  }
  for (const auto& [id, kept] : semaphores_.kept) {
    put(id.value);
    put(kept.queue.initial());
    put(kept.queue.free());
    for (const sync::SemaphoreRequest& r : kept.queue.waiting()) put(r.node.value), put(r.number);
    encode(kept.token, writer);
  }
  for (const auto& [number, call] : semaphores_.calls) {
    put(number);
    put(call.semaphore.value);
    put(call.who.value);
    put(call.initial);
    put(call.count);
    put(call.told.value);
    put(std::uint64_t{call.queued} | std::uint64_t{call.given_up} << 1 |
        std::uint64_t{call.granted} << 2);
  }
  for (const auto& entering : semaphores_.entering) put(entering.call);
  for (const SemaphoreAnswer& grant : semaphores_.deferred_grants) {
    put(grant.number);
    encode(grant.token, writer);
  }
  for (const auto& released : semaphores_.deferred_releases) {
    put(released.from.value);
    put(released.message.number);
    encode(released.message.token, writer);
  }
}

std::string Engine::describe_semaphores() const {
  std::string text;
  for (const auto& [id, kept] : semaphores_.kept)
    text += "semaphore " + std::to_string(id.value) +
            ", managed here: " + std::to_string(kept.queue.free()) + " free, " +
            std::to_string(kept.queue.waiting().size()) + " threads waiting\n";
  return text;
}

}  // namespace dsm::core
