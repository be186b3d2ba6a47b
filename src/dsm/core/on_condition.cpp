// Conditions: waiters register at a condition's manager, and are notified from there.
//
// A waiter holds its lock until the manager has answered: messages overtake one another, and who
// notifies under the lock afterwards must find the waiter in the queue. A waiter whose time is up
// takes its registration back; only the manager knows whether a notification came before. If one
// did, it is on its way here and counts: otherwise it would be lost to those who still wait.
#include <algorithm>

#include "base/check.hpp"
#include "dsm/core/engine.hpp"

namespace dsm::core {

NodeId Engine::manager_of(ConditionId id) const {
  return NodeId(static_cast<std::uint32_t>(id.value % config_.nodes));
}

void Engine::on(const Register& e, Effects& out) {
  const std::uint64_t number = registrations_++;
  waits_.emplace(number, ConditionWait{e.condition, e.who, e.waiter});
  out.push(
      Send{manager_of(e.condition), ConditionCall{e.condition, ConditionCall::Kind::add, number}});
  if (planted(Bug::condition_unregistered)) out.push(Wake{e.who});
}

// The wait ends by the manager's word, unless it has ended already.
void Engine::on(const Unregister& e, Effects& out) {
  const auto it = std::find_if(waits_.begin(), waits_.end(), [&](const auto& numbered) {
    return numbered.second.waiter == e.waiter && !numbered.second.ended;
  });
  if (it == waits_.end()) return;
  out.push(Send{manager_of(it->second.condition),
                ConditionCall{it->second.condition, ConditionCall::Kind::remove, it->first}});
  if (planted(Bug::notification_lost)) {
    out.push(Wake{it->second.waiter, false});
    waits_.erase(it);
  }
}

void Engine::on(const Notify& e, Effects& out) {
  using Kind = ConditionCall::Kind;
  out.push(Send{manager_of(e.condition),
                ConditionCall{e.condition, e.all ? Kind::notify_all : Kind::notify_one, 0}});
}

// At the manager.
void Engine::on(const ConditionCall& m, NodeId from, Effects& out) {
  using Kind = ConditionCall::Kind;
  using Answer = ConditionAnswer::Kind;
  DSM_CHECK_WITH(manager_of(m.condition) == config_.self, "a condition's calls go to its manager",
                 {"condition", m.condition.value});
  sync::ConditionQueue& queue = conditions_[m.condition];
  switch (m.kind) {
    case Kind::add:
      queue.add({from, m.number});
      out.push(Send{from, ConditionAnswer{m.number, Answer::registered}});
      break;
    case Kind::remove:
      if (queue.remove({from, m.number}))
        out.push(Send{from, ConditionAnswer{m.number, Answer::removed}});
      break;
    case Kind::notify_one:
      if (const auto first = queue.take())
        out.push(Send{first->node, ConditionAnswer{first->number, Answer::notified}});
      break;
    case Kind::notify_all:
      while (const auto next = queue.take())
        out.push(Send{next->node, ConditionAnswer{next->number, Answer::notified}});
      break;
  }
  if (queue.empty()) conditions_.erase(m.condition);
}

// At the waiter. A notification may overtake the answer to the registration; the wait is then over,
// and known here until that answer has come.
void Engine::on(const ConditionAnswer& m, NodeId, Effects& out) {
  using Kind = ConditionAnswer::Kind;
  const auto it = waits_.find(m.number);
  if (it == waits_.end() && planted(Bug::notification_lost)) return;
  DSM_CHECK_WITH(it != waits_.end(), "a manager answers a wait", {"number", m.number});
  ConditionWait& wait = it->second;
  if (!wait.registered && !wait.ended && !planted(Bug::condition_unregistered))
    out.push(Wake{wait.who});
  if (m.kind == Kind::registered) {
    wait.registered = true;
  } else {
    wait.ended = true;
    out.push(Wake{wait.waiter, m.kind == Kind::notified});
  }
  if (wait.registered && wait.ended) waits_.erase(it);
}

}  // namespace dsm::core
