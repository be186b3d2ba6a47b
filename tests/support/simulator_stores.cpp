// What threads load and store: traps, and stores that wait in a buffer until a fence or until they
// drain.
#include <utility>

#include "support/simulator.hpp"

namespace dsm::sim {
namespace {

constexpr std::uint32_t tries_max = 10'000;  // of one access

constexpr std::uint64_t every_byte(std::uint8_t value) {
  return value * std::uint64_t{0x0101010101010101};
}

}  // namespace

// True when the access was made; otherwise the thread trapped and will try again.
bool Simulator::access(std::uint32_t node, std::uint32_t thread, const Op& op) {
  if (is_sequential(node, PageId(op.page))) return access_sequential(node, thread, op);
  Thread& t = nodes_[node].threads[thread];
  const bool stores = op.what == Do::write || op.what == Do::set || op.what == Do::count_up;
  if (physics_.reclaim_one_in != 0 && random_.one_in(physics_.reclaim_one_in))
    machines_.change(node).reclaim(op.page);
  const Machine& machine = machines_[node];
  reads(Part::view, node, op.page);
  if (!machine.allows(op.page, stores)) {
    if (exploring_ && waits_for_stores(node, thread)) return false;
    empties(node, thread);
    machines_.change(node).fence(
        thread);  // a trap enters the kernel, and the runtime takes a mutex
    t.waiting = Waiting::access;
    ++statistics_.faults;
    if (++t.tries > tries_max) fail("an access is never let through");
    step(node, core::Fault{Ticket(thread), PageId(op.page), stores ? Access::write : Access::read});
    return false;
  }
  const std::uint64_t expected = oracle_.expected(op.page, op.offset, op.length);
  if (!stores) {
    reads(Part::frame, node, op.page);
    const std::uint64_t found = machine.load(thread, op.page, op.offset, op.length);
    fingerprint_ = mix(fingerprint_ ^ found);
    if (op.what == Do::observe) {
      registers_[op.arg] = static_cast<std::uint8_t>(found);
      return true;
    }
    reads(Part::word, 0, op.page);
    if (found != expected) {
      char text[200];
      std::snprintf(text, sizeof text,
                    "node %u thread %u reads %llx where %llx was written: page %u bytes %u+%u",
                    node, thread, static_cast<unsigned long long>(found),
                    static_cast<unsigned long long>(expected), op.page, op.offset, op.length);
      fail(text);
    }
    return true;
  }
  const std::uint64_t bytes = store_value(node, thread, expected);
  writes(Part::word, 0, op.page);
  writes(Part::stores, node, thread);
  oracle_.write(op.page, op.offset, op.length, bytes);
  machines_.change(node).store(thread, op.page, op.offset, op.length, bytes);
  begin_draining(node, thread);
  return true;
}

// What the thread's next operation stores. Never the zeroes of a new page; now and then what is
// there already.
std::uint64_t Simulator::store_value(std::uint32_t node, std::uint32_t thread,
                                     std::uint64_t expected) const {
  const std::uint32_t next = nodes_[node].threads[thread].next;
  const Op& op = program_->nodes[node][thread][next];
  if (op.what == Do::set) return op.arg;
  if (op.what == Do::count_up) return expected + 1;
  const std::uint64_t bytes =
      mix((std::uint64_t{node} << 40) + (std::uint64_t{thread} << 32) + next + 1) | every_byte(1);
  return program_->repeats_stores && bytes % 16 == 1 ? expected : bytes;
}

void Simulator::begin_draining(std::uint32_t node, std::uint32_t thread) {
  Thread& t = nodes_[node].threads[thread];
  if (t.draining) return;
  t.draining = true;
  schedule(ActionKind::drain, node, thread, local_delay());
}

void Simulator::drain(std::uint32_t node, std::uint32_t thread) {
  Thread& t = nodes_[node].threads[thread];
  Machine& machine = machines_.change(node);
  t.draining = false;
  writes(Part::stores, node, thread);
  if (machine.buffered(thread) == 0) return;
  writes(Part::frame, node, machine.oldest(thread).page);
  machine.drain_one(thread);
  if (machine.buffered(thread) == 0) return go_on_behind_stores(node, thread);
  t.draining = true;
  schedule(ActionKind::drain, node, thread, local_delay());
}

// Entering the runtime takes its mutex, which is a full fence. Without it the engine reads the
// marks too early (PROTOCOL.md B6).
void Simulator::fence(std::uint32_t node, std::uint32_t thread) {
  if (bug_ == core::Bug::missing_fence) return;
  empties(node, thread);
  if (machines_[node].buffered(thread) > 0) machines_.change(node).fence(thread);
}

// An explorer lets stores drain one by one before a fence, rather than with it: that is one of the
// orders that it tries anyway, and the others are no different.
bool Simulator::waits_for_stores(std::uint32_t node, std::uint32_t thread) {
  reads(Part::stores, node, thread);
  if (machines_[node].buffered(thread) == 0) return false;
  nodes_[node].threads[thread].waiting = Waiting::stores;
  return true;
}

void Simulator::go_on_behind_stores(std::uint32_t node, std::uint32_t thread) {
  Thread& t = nodes_[node].threads[thread];
  if (t.waiting == Waiting::stores) {
    t.waiting = Waiting::no;
    schedule(ActionKind::operate, node, thread, 0);
  }
  for (const std::uint32_t executor : std::exchange(nodes_[node].held, {}))
    schedule(ActionKind::effect, node, executor, 0);
}

void Simulator::empties(std::uint32_t node, std::uint32_t thread) {
  reads(Part::stores, node, thread);
  if (machines_[node].buffered(thread) > 0) writes(Part::stores, node, thread);
  machines_[node].each_buffered(
      thread, [&](const Machine::Store& s) { writes(Part::frame, node, s.page); });
}

}  // namespace dsm::sim
