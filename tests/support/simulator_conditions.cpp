// Threads that wait at a condition, in the simulator: register, let the lock go, wait to be
// notified or for a time-out, take the lock again. A program that is right once the engine loses no
// notification gets stuck when it does.
#include <algorithm>
#include <utility>
#include <variant>

#include "support/simulator.hpp"

namespace dsm::sim {

void Simulator::wait(std::uint32_t node, std::uint32_t thread, const Op& op) {
  Thread& t = nodes_[node].threads[thread];
  t.waiting = Waiting::registering;
  t.notified = false;
  ++t.waits;
  writes(Part::program, 0);
  if (waits_begun_.size() <= op.count) waits_begun_.resize(op.count + 1);
  ++waits_begun_[op.count];
  step(node,
       core::Register{Ticket(thread), Ticket(waiter_tickets + thread), condition_id(op.count)});
  // Whoever waited for so many waits to begin; a program would have counted them under the lock.
  for (std::uint32_t n = 0; n < nodes_.size(); ++n)
    for (std::uint32_t other = 0; other < nodes_[n].threads.size(); ++other)
      if (nodes_[n].threads[other].waiting == Waiting::waits) {
        nodes_[n].threads[other].waiting = Waiting::no;
        writes(Part::thread, n, other);
        schedule(ActionKind::operate, n, other, local_delay());
      }
}

// What std::condition_variable_any does with a predicate. The load is held against the oracle.
void Simulator::await_count(std::uint32_t node, std::uint32_t thread, const Op& op) {
  if (!access(node, thread, op)) return;
  Thread& t = nodes_[node].threads[thread];
  const bool there = oracle_.expected(op.page, op.offset, op.length) >= op.lock;
  if (!there && !(t.timed_out && op.skip != 0)) {
    fence(node, thread);
    return wait(node, thread, op);
  }
  const bool passes_on = there && op.passes_on && t.notified;
  t.notified = t.timed_out = false;
  advance(node, thread, there ? 1 : op.skip);
  if (passes_on) step(node, core::Notify{condition_id(op.count), false});
}

void Simulator::await_waits(std::uint32_t node, std::uint32_t thread, const Op& op) {
  writes(Part::program, 0);
  if (waits_begun_.size() > op.arg && waits_begun_[op.arg] >= op.count)
    return advance(node, thread);
  nodes_[node].threads[thread].waiting = Waiting::waits;
}

// The manager knows the waiter: the lock goes.
void Simulator::registered(std::uint32_t node, std::uint32_t thread) {
  Thread& t = nodes_[node].threads[thread];
  const Op& op = program_->nodes[node][thread][t.next];
  t.waiting = Waiting::notification;
  writes(Part::thread, node, thread);
  writes(Part::holder, 0, op.arg);
  writes(Part::loan, node, op.arg);
  if (op.time != 0)
    schedule(ActionKind::expire, node, thread, delay_up_to(op.time), {PageId(t.waits), 1});
  oracle_.released(op.arg);
  if (Loan& loan = loan_of(node, op.arg); loan == Loan::held) {
    loan = Loan::free;
  } else {
    step(node, core::Release{program_->locks[op.arg]});
  }
  if (std::exchange(t.notified_early, false)) notified(node, thread, true);
}

void Simulator::expire(const Action& action) {
  reads(Part::thread, action.node, action.index);
  const Thread& t = nodes_[action.node].threads[action.index];
  if (t.waiting != Waiting::notification || t.waits != action.run.first.value) return;
  step(action.node, core::Unregister{Ticket(waiter_tickets + action.index)});
}

void Simulator::notified(std::uint32_t node, std::uint32_t thread, bool granted) {
  Thread& t = nodes_[node].threads.at(thread);
  const Op& op = program_->nodes[node][thread].at(t.next);
  writes(Part::thread, node, thread);
  if (t.waiting == Waiting::registering) {  // its effect overtook that of the registration
    t.notified_early = true;
    return;
  }
  if (t.waiting != Waiting::notification) return fail("a thread is notified that does not wait");
  if (!granted && op.time == 0) return fail("a wait ends that has no time-out");
  t.notified = granted;
  t.timed_out = !granted;
  t.waiting = Waiting::no;
  if (take_loan(node, thread, op.arg)) return;
  t.waiting = Waiting::lock;
  step(node, core::Acquire{Ticket(thread), program_->locks[op.arg]});
}

// First come, first notified; who was taken out of the queue is told, and nobody else.
void Simulator::check_condition(const core::Event& event, const core::Effects& effects) {
  const auto* received = std::get_if<core::Received>(&event);
  const auto* call =
      received == nullptr ? nullptr : std::get_if<core::ConditionCall>(&received->message);
  if (call == nullptr) return;
  using Kind = core::ConditionCall::Kind;
  using Answer = core::ConditionAnswer;
  auto& queue = conditions_[call->condition];
  std::vector<std::pair<NodeId, Answer>> expected, found;
  const std::pair<NodeId, std::uint64_t> caller{received->from, call->number};
  const auto notify = [&] {
    expected.push_back({queue.front().first, {queue.front().second, Answer::Kind::notified}});
    queue.pop_front();
  };
  switch (call->kind) {
    case Kind::add:
      queue.push_back(caller);
      expected.push_back({caller.first, {call->number, Answer::Kind::registered}});
      break;
    case Kind::remove:
      if (std::erase(queue, caller) != 0)
        expected.push_back({caller.first, {call->number, Answer::Kind::removed}});
      break;
    case Kind::notify_one:
      if (!queue.empty()) notify();
      break;
    case Kind::notify_all:
      while (!queue.empty()) notify();
      break;
  }
  for (const core::Effect& effect : effects.list())
    if (const auto* send = std::get_if<core::Send>(&effect))
      if (const auto* answer = std::get_if<Answer>(&send->message))
        found.push_back({send->to, *answer});
  if (found != expected) fail("a condition's manager answers others than it should");
}

}  // namespace dsm::sim
