// Time and threads. What threads load and store is in simulator_stores.cpp, the edge and the
// network in simulator_effects.cpp, the checks in simulator_checks.cpp.
#include "support/simulator.hpp"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "support/check_trap.hpp"
#include "support/trace.hpp"

namespace dsm::sim {
namespace {

constexpr std::uint64_t actions_max =
    3'000'000;  // of one run; programs of a few hundred operations need a few thousand

// Enters the runtime, which takes its mutex.
bool fences(Do what) {
  switch (what) {
    case Do::acquire:
    case Do::try_acquire:
    case Do::timed_acquire:
    case Do::release:
    case Do::acquire_shared:
    case Do::try_acquire_shared:
    case Do::timed_acquire_shared:
    case Do::release_shared:
    case Do::arrive:
    case Do::join:
    case Do::wait:
    case Do::await_count:
    case Do::team_arrive:
    case Do::team_join:
      return true;
    default:
      return false;
  }
}

}  // namespace

Physics Physics::by_seed(std::uint64_t seed) {
  Random random(seed ^ 0x70687973);
  Physics p;
  p.trip_max = random.pick(600u, 1500u, 5000u);
  p.trip_min = random.pick(100u, 500u);
  p.local_max = random.pick(10u, 100u, 1000u);
  p.effect_max = random.pick(p.local_max, 10 * p.local_max, 3000u, 20000u);
  p.notice_max = random.pick(p.local_max, p.local_max, 10 * p.local_max, 3000u);
  p.slow_one_in = random.pick(0u, 8u, 30u);
  p.slow_times = random.pick(5u, 20u, 60u);
  p.at_once_percent = random.pick(30u, 60u, 95u);
  p.reclaim_one_in = random.one_in(4) ? 20 : 0;
  p.yields = random.pick(0u, 5u, 40u);
  p.tenure_max = random.pick(10u, 300u, 5000u);
  return p;
}

Physics Physics::exact() {
  Physics p;
  p.trip_min = p.trip_max = exact_trip;
  p.local_max = p.effect_max = p.notice_max = 0;
  p.slow_one_in = 0;
  p.at_once_percent = 100;
  p.tenure_max = 0;
  p.yields = 0;
  return p;
}

Simulator::Simulator(const Program& program, const Physics& physics, std::uint64_t seed,
                     core::Bug bug)
    : program_(&program),
      physics_(physics),
      random_(seed),
      bug_(bug),
      batons_(program.batons),
      registers_(program.registers),
      oracle_(program) {
  const std::uint32_t n = program.node_count();
  pending_.reserve(256);
  engines_.reserve(n);
  machines_.reserve(n);
  for (std::uint32_t node = 0; node < n; ++node) {
    core::Config config = program.config;
    config.self = NodeId(node);
    config.page_bytes = program.page_bytes;
    config.bug = bug;
    core::Engine engine(config);
    for (std::uint32_t team = 0; team < program.teams.size(); ++team) {
      const std::vector<NodeId>& members = program.teams[team];
      core::Effects none;
      if (std::find(members.begin(), members.end(), NodeId(node)) != members.end())
        engine.step(core::AddTeam{TeamId(team), members}, none);
    }
    engines_.push_back(std::move(engine));
    machines_.push_back(Machine(program));
    nodes_.push_back({std::vector<Thread>(program.nodes[node].size()), {}, 0, 0, false, false, {}});
  }
  std::size_t threads = 0;
  for (const auto& node : program.nodes) threads = std::max(threads, node.size());
  parts_ = Parts(n, static_cast<std::uint32_t>(threads),
                 static_cast<std::uint32_t>(program.config.space_pages),
                 static_cast<std::uint32_t>(program.locks.size()));
  channels_.resize(std::size_t{n} * n);
  pushed_.resize(n);
  reading_.resize(n * program.config.space_pages);
  flying_.resize(program.locks.size());
  loans_.resize(n * program.locks.size());
  ever_known_.resize(program.locks.size());
  for (std::uint32_t node = 0; node < n; ++node) {
    spans_.emplace_back();
    for (std::uint32_t t = 0; t < nodes_[node].threads.size(); ++t) {
      spans_.back().emplace_back();
      schedule(ActionKind::operate, node, t, local_delay());
    }
  }
}

std::uint64_t Simulator::stretch(std::uint64_t delay) {
  return physics_.slow_one_in != 0 && random_.one_in(physics_.slow_one_in)
             ? delay * physics_.slow_times
             : delay;
}
std::uint64_t Simulator::delay_up_to(std::uint32_t max) {
  return stretch(random_.below(max + 1));
}
std::uint64_t Simulator::trip_delay() {
  return stretch(physics_.trip_min + random_.below(physics_.trip_max - physics_.trip_min + 1));
}

void Simulator::schedule(ActionKind kind, std::uint32_t node, std::uint32_t index,
                         std::uint64_t delay, PageRun run) {
  pending_.push_back({now_ + delay, orders_++, kind, node, index, run});
  if (!exploring_) std::push_heap(pending_.begin(), pending_.end(), Later{});
}

void Simulator::run() {
  std::uint64_t actions = 0;
  while (!pending_.empty() && failure_.empty()) {
    std::pop_heap(pending_.begin(), pending_.end(), Later{});
    const Action action = pending_.back();
    pending_.pop_back();
    now_ = action.due;
    act(action);
    if (++actions > actions_max) fail("the run does not come to rest");
  }
  if (failure_.empty()) finish();
}

void Simulator::perform(std::size_t choice) {
  exploring_ = true;
  footprint_ = {};
  const Action action = pending_[choice];
  pending_[choice] = pending_.back();
  pending_.pop_back();
  act(action);
}

void Simulator::finish() {
  statistics_.ticks = now_;
  check_end();
  for (const core::Engine& engine : engines_) fingerprint_ = mix(fingerprint_ ^ engine.hash());
  for (const Machine& machine : machines_) fingerprint_ = mix(fingerprint_ ^ machine.hash());
}

void Simulator::act(const Action& action) {
  fingerprint_ = mix(fingerprint_ ^
                     (now_ * 1024 + static_cast<std::uint64_t>(action.kind) * 64 + action.node));
  try {
    carry_on(action);
    note_performed(action.node);
  } catch (const CheckFailed& e) {
    fail(e.what());
  }
}

void Simulator::carry_on(const Action& action) {
  switch (action.kind) {
    case ActionKind::operate:
      return operate(action.node, action.index);
    case ActionKind::drain:
      return drain(action.node, action.index);
    case ActionKind::effect:
      return run_effects(action.index, false);
    case ActionKind::arrive:
      return arrive(action.index);
    case ActionKind::channel:
      return channel(action.node, action.index);
    case ActionKind::place:
      return place(action.node, action.index);
    case ActionKind::complete:
      return complete(action.node, action.index);
    case ActionKind::changed:
      return step(action.node, core::Changed{action.run});
    case ActionKind::diff_home:
      return step(action.node, core::DiffHome{action.run});
    case ActionKind::punched:
      return step(action.node, core::Punched{action.run});
    case ActionKind::expire:
      return expire(action);
    case ActionKind::page_sent:
      return step(action.node, core::PageSent{action.run.first});
    case ActionKind::filled:
      return step(action.node, core::Filled{action.run.first});
    case ActionKind::pages_filled:
      return step(action.node, core::PagesFilled{action.run});
    case ActionKind::lock_back:
      return step(action.node,
                  core::LockBack{program_->locks[action.index / 2], action.index % 2 != 0});
    case ActionKind::atomic:
      return perform_atomic_far(action);
    case ActionKind::atomic_done:
      return atomic_done(action);
    case ActionKind::bound_read:
      return read_bound(action.node, action.index);
    case ActionKind::bound_done:
      return bound_done(action.node, action.index);
    case ActionKind::pushed:
      return pushed(action.node);
    case ActionKind::watch_changed:
      return step(action.node, core::WatchChanged{action.run, action.index != 0});
    case ActionKind::cancel:
      return give_up(action.node, action.index, action.run.first.value);
    case ActionKind::held:
      return step(action.node,
                  core::Held{action.run.first, static_cast<std::uint8_t>(action.index)});
  }
}

void Simulator::fail(std::string what) {
  if (failure_.empty()) failure_ = std::move(what) + " (at tick " + std::to_string(now_) + ")";
  if (tracing_)
    std::printf("%10llu FAILED %s\n", static_cast<unsigned long long>(now_), failure_.c_str());
}

void Simulator::step(std::uint32_t node, const core::Event& event, Packet packet) {
  std::uint32_t index;
  if (free_executors_.empty()) {
    index = static_cast<std::uint32_t>(executors_.size());
    executors_.emplace_back();
  } else {
    index = free_executors_.back();
    free_executors_.pop_back();
  }
  Executor& executor = executors_[index];
  executor.used = true;
  executor.node = node;
  executor.next = 0;
  executor.packet = std::move(packet);
  executor.effects.clear();
  ++statistics_.steps;
  if (tracing_)
    std::printf("%10llu node %u < %s\n", static_cast<unsigned long long>(now_), node,
                to_string(event).c_str());
  const auto* received = std::get_if<core::Received>(&event);
  if (received != nullptr) count_token(received->message, false);
  const Progress before = progress(node);
  engines_.change(node).step(event, executor.effects);
  note_step(node, event, executor.effects, before);
  for (const core::Effect& effect : executor.effects.list()) {
    if (const auto* send = std::get_if<core::Send>(&effect)) count_token(send->message, true);
    if (const auto* bound = std::get_if<core::SendBound>(&effect)) count_token(bound->grant, true);
  }
  copy_bound(node, executor.effects);
  if (tracing_)
    for (const core::Effect& effect : executor.effects.list())
      std::printf("%10s         > %s\n", "", to_string(effect).c_str());
  post_transfers(node, executor.effects);
  begin_tenures(node, executor.effects);
  if (checking_) check_step(node, event, executor.effects);
  check_condition(event, executor.effects);
  run_effects(index, true);
}

Simulator::Progress Simulator::progress(std::uint32_t node) const {
  const core::Engine& engine = engines_[node];
  return {engine.epoch(), engine.arrived(), engine.barrier_round()};
}

// Most steps use all of their engine. A round of a barrier that is not complete with it is kept for
// later, a manager forwards a request to whoever asked before, and a diff goes into the frame.
void Simulator::note_step(std::uint32_t node, const core::Event& event,
                          const core::Effects& effects, const Progress& before) {
  const Progress after = progress(node);
  const auto* received = std::get_if<core::Received>(&event);
  const auto* round =
      received == nullptr ? nullptr : std::get_if<core::BarrierRound>(&received->message);
  if (round != nullptr) writes(Part::early, node, Parts::early(round->epoch.value, round->round));
  // Who has just heard of everybody waits for pushes.
  if (round != nullptr && !(after == before) && after.round == engines_[node].barrier_rounds())
    reads(Part::engine, node);
  if (received != nullptr && std::holds_alternative<core::Push>(received->message))
    reads(Part::barrier, node);
  // A step that gets on in the barrier takes messages that came early, up to one that is missing.
  if (!(after == before)) {
    writes(Part::barrier, node);
    const bool passed = after.epoch != before.epoch;
    const std::uint32_t end = passed ? engines_[node].barrier_rounds() : after.round;
    for (std::uint32_t r = before.round; r < end; ++r)
      writes(Part::early, node, Parts::early(before.epoch.value, r));
    if (!passed && end < engines_[node].barrier_rounds())
      reads(Part::early, node, Parts::early(before.epoch.value, end));
  }
  if (received == nullptr || before.epoch != after.epoch) return writes(Part::engine, node);
  const auto only = [&](auto allowed) {
    return std::all_of(effects.list().begin(), effects.list().end(), allowed);
  };
  const auto sends = [](const core::Effect& e) { return std::holds_alternative<core::Send>(e); };
  const auto forwards = [](const core::Effect& e) {
    const auto* send = std::get_if<core::Send>(&e);
    return send != nullptr && std::holds_alternative<core::LockForward>(send->message);
  };
  if (round != nullptr && only(sends)) return;
  if (std::holds_alternative<core::LockRequest>(received->message) && effects.list().size() == 1 &&
      only(forwards))
    return writes(Part::queues, node);
  // Where homes move, they count who sent it.
  if (std::holds_alternative<core::Diff>(received->message) && !program_->config.find_races &&
      program_->config.migrate_after == 0)
    return;
  writes(Part::engine, node);
}

// ---- threads ----

void Simulator::advance(std::uint32_t node, std::uint32_t thread, std::uint32_t operations) {
  writes(Part::thread, node, thread);
  Thread& t = nodes_[node].threads[thread];
  if (spans_on_) spans_[node][thread].back().ended = now_;
  t.waiting = Waiting::no;
  t.tries = 0;
  t.next += operations;
  if (t.next >= program_->nodes[node][thread].size()) {
    t.done = true;
    return;
  }
  const Op& next = program_->nodes[node][thread][t.next];
  if (exploring_ && bug_ != core::Bug::missing_fence && fences(next.what) &&
      waits_for_stores(node, thread))
    return;
  std::uint64_t delay = local_delay();
  if (physics_.yields != 0)
    delay += std::uint64_t{physics_.local_max} * random_.below(physics_.yields + 1);
  schedule(ActionKind::operate, node, thread, delay);
}

void Simulator::operate(std::uint32_t node, std::uint32_t thread) {
  writes(Part::thread, node, thread);
  Thread& t = nodes_[node].threads[thread];
  const Op& op = program_->nodes[node][thread][t.next];
  const Ticket me(thread);
  if (spans_on_ && t.tries == 0) {
    auto& spans = spans_[node][thread];
    spans.resize(t.next + 1);
    spans[t.next].begun = now_;
  }
  if (tracing_ && t.tries == 0)
    std::printf("%10llu node %u thread %u: %s\n", static_cast<unsigned long long>(now_), node,
                thread, to_string(op).c_str());
  switch (op.what) {
    case Do::read:
    case Do::write:
    case Do::set:
    case Do::count_up:
    case Do::observe:
      if (access(node, thread, op)) advance(node, thread);
      return;
    case Do::acquire:
      fence(node, thread);
      if (take_loan(node, thread, op.arg)) return;
      t.waiting = Waiting::lock;
      return step(node, core::Acquire{me, program_->locks[op.arg]});
    case Do::try_acquire:
      fence(node, thread);
      if (take_loan(node, thread, op.arg)) return;
      t.waiting = Waiting::lock;
      return step(node, core::TryAcquire{me, program_->locks[op.arg]});
    case Do::timed_acquire:
      fence(node, thread);
      if (take_loan(node, thread, op.arg)) return;
      t.waiting = Waiting::lock;
      give_up_later(node, thread);
      return step(node, core::Acquire{me, program_->locks[op.arg]});
    case Do::release:
      fence(node, thread);
      oracle_.released(op.arg);
      writes(Part::holder, 0, op.arg);
      writes(Part::loan, node, op.arg);
      advance(node, thread);
      if (Loan& loan = loan_of(node, op.arg); loan == Loan::held) {
        loan = Loan::free;
        return;
      }
      return step(node, core::Release{program_->locks[op.arg]});
    case Do::take:
      writes(Part::program, 0);
      if (Baton& b = batons_[op.arg]; b.lies && b.lock == op.lock) b = {false, 0, node, thread};
      return advance(node, thread);
    case Do::give:
      writes(Part::program, 0);
      if (has(node, thread, op.arg)) batons_[op.arg] = {true, op.lock, 0, 0};
      return advance(node, thread);
    case Do::if_has:
      reads(Part::program, 0);
      return advance(node, thread, has(node, thread, op.arg) ? 1 : op.skip);
    case Do::acquire_shared:
    case Do::try_acquire_shared:
    case Do::timed_acquire_shared:
    case Do::release_shared:
      fence(node, thread);
      return operate_shared(node, thread, op);
    case Do::acquire_semaphore:
    case Do::try_acquire_semaphore:
    case Do::timed_acquire_semaphore:
    case Do::release_semaphore:
      fence(node, thread);
      return operate_semaphore(node, thread, op);
    case Do::arrive:
      fence(node, thread);
      return arrive(node, thread, true);
    case Do::join: {
      fence(node, thread);
      Node& here = nodes_[node];
      t.joined = true;
      t.waiting = Waiting::barrier;
      if (++here.joined == here.threads.size()) arrive(node, thread, false);
      return;
    }
    case Do::wait:
      fence(node, thread);
      return wait(node, thread, op);
    case Do::await_count:
      return await_count(node, thread, op);
    case Do::await_waits:
      return await_waits(node, thread, op);
    case Do::notify_one:
    case Do::notify_all: {
      const bool all = op.what == Do::notify_all;
      advance(node, thread);
      return step(node, core::Notify{condition_id(op.arg), all});
    }
    case Do::team_arrive:
      fence(node, thread);
      return arrive_team(node, thread, op.arg);
    case Do::team_join: {
      fence(node, thread);
      Node& here = nodes_[node];
      t.joined = true;
      t.waiting = Waiting::team;
      if (++here.joined == here.threads.size()) arrive_team(node, thread, op.arg);
      return;
    }
    case Do::atomic_add:
    case Do::atomic_swap:
      return operate_atomic(node, thread, op);
    case Do::pin:
    case Do::unpin: {
      const PageRun run{PageId(op.page), op.arg};
      const bool pin = op.what == Do::pin;
      advance(node, thread);
      if (pin) return step(node, core::Pin{run});
      return step(node, core::Unpin{run});
    }
    case Do::add_region: {
      footprint_.everything();
      const core::Region& region = program_->regions[op.arg];
      oracle_.zero(region.run());
      for (PageId p = region.run().first; p < region.run().end(); ++p)
        if (region.home(p) == NodeId(node)) machines_.change(node).make_home({p, 1});
      machines_.change(node).watch(region.run(), region.policy() == core::Policy::sequential);
      advance(node, thread);
      step(node, core::AddRegion{region});
      for (const Binding& b : program_->bindings)
        if (region.run().contains(b.span.page))
          step(node, core::Bind{program_->locks[b.lock], {b.span}, b.refresh});
      return;
    }
    case Do::drop_region:
      footprint_.everything();
      t.waiting = Waiting::drop;
      return step(node, core::DropRegion{me, program_->regions[op.arg].id()});
  }
}

// Time-outs are as long as a few trips, so that some come while the answer is under way.
void Simulator::give_up_later(std::uint32_t node, std::uint32_t thread) {
  const std::uint32_t op = nodes_[node].threads[thread].next;
  schedule(ActionKind::cancel, node, thread, delay_up_to(5 * physics_.trip_max), {PageId(op), 1});
}

// The engine may have granted it already: its Wake is then among the effects still to be carried
// out.
void Simulator::give_up(std::uint32_t node, std::uint32_t thread, std::uint64_t op) {
  reads(Part::thread, node, thread);
  const Thread& t = nodes_[node].threads[thread];
  if (t.next != op) return;
  if (t.waiting == Waiting::semaphore) return step(node, core::CancelSemaphore{Ticket(thread)});
  if (t.waiting != Waiting::lock) return;
  const Op& waits = program_->nodes[node][thread][t.next];
  if (waits.what == Do::timed_acquire_shared)
    return step(node, core::CancelShared{Ticket(thread), program_->shared_locks[waits.arg]});
  step(node, core::Cancel{Ticket(thread), program_->locks[waits.arg]});
}

// A lock that the engine has lent, and that is free: it does not hear of it.
bool Simulator::take_loan(std::uint32_t node, std::uint32_t thread, std::uint32_t lock) {
  writes(Part::loan, node, lock);
  Loan& loan = loan_of(node, lock);
  if (loan != Loan::free) return false;
  loan = Loan::held;
  writes(Part::holder, 0, lock);
  if (std::string wrong = oracle_.acquired(lock, node, thread); !wrong.empty()) fail(wrong);
  advance(node, thread, behind(node, thread));
  return true;
}

void Simulator::arrive(std::uint32_t node, std::uint32_t thread, bool alone) {
  Node& here = nodes_[node];
  here.alone = alone;
  here.arriving = thread;
  here.joined = alone ? here.joined : 0;
  here.threads[thread].waiting = Waiting::barrier;
  oracle_.arrived(node);
  step(node, core::Arrive{Ticket(thread), payload_of(node, oracle_.arrivals(node))});
}

void Simulator::arrive_team(std::uint32_t node, std::uint32_t thread, std::uint32_t team) {
  nodes_[node].threads[thread].waiting = Waiting::team;
  oracle_.arrived_team(node, team);
  const Bytes payload = payload_of(node, oracle_.arrivals_team(node, team), team + 1);
  step(node, core::ArriveTeam{Ticket(thread), TeamId(team), payload});
}

Simulator::Span Simulator::span(std::uint32_t node, std::uint32_t thread, std::uint32_t op) const {
  return spans_.at(node).at(thread).at(op);
}

}  // namespace dsm::sim
