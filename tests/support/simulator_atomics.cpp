// Atomic operations on shared words, in the simulator. They take effect at one moment, in the
// home's frame; the oracle has one memory, so it knows what each must find there, and what its
// thread must be told.// An explorer's reduction takes them to use everything: the thread's state
// is used at the home too.
#include <cstring>
#include <string>
#include <utility>

#include "support/simulator.hpp"

namespace dsm::sim {

void Simulator::operate_atomic(std::uint32_t node, std::uint32_t thread, const Op& op) {
  footprint_.everything();
  Thread& t = nodes_[node].threads[thread];
  const std::uint64_t now = oracle_.expected(op.page, op.offset, 8);
  t.waiting = Waiting::atomic;
  t.atomic.page = PageId(op.page);
  t.atomic.offset = op.offset;
  t.atomic.operand = store_value(node, thread, now);
  t.atomic.kind = op.what == Do::atomic_add ? core::WordOperation::Kind::fetch_add
                                            : core::WordOperation::Kind::compare_swap;
  t.atomic.compare = op.what == Do::atomic_swap ? now + op.arg : 0;
  step(node, core::Atomic{Ticket(thread), t.atomic});
}

// At this node at once; or the wire takes it to its home, and the answer back.
bool Simulator::carry_out_atomic(std::uint32_t node, const core::PerformAtomic& e) {
  const auto thread = static_cast<std::uint32_t>(e.who.value);
  if (e.home != NodeId(node)) {
    ++statistics_.one_sided;
    statistics_.one_sided_bytes += 8;
    schedule(ActionKind::atomic, node, thread, trip_delay(), {PageId(e.home.value), 1});
    return true;
  }
  if (!perform_atomic(e.asker.value, thread, node)) return false;
  schedule(ActionKind::atomic_done, node, thread, local_delay(), {PageId(e.asker.value), 1});
  return true;
}

void Simulator::perform_atomic_far(const Action& action) {
  const auto home = static_cast<std::uint32_t>(action.run.first.value);
  if (!perform_atomic(action.node, action.index, home))
    return schedule(ActionKind::atomic, action.node, action.index, local_delay(), action.run);
  schedule(ActionKind::atomic_done, action.node, action.index, trip_delay(),
           {PageId(action.node), 1});
}

// False: the word was loaded, and is stored the next time (a planted bug).
bool Simulator::perform_atomic(std::uint32_t asker, std::uint32_t thread, std::uint32_t at) {
  footprint_.everything();
  Thread& t = nodes_[asker].threads[thread];
  const core::WordOperation& op = t.atomic;
  const auto page = static_cast<std::uint32_t>(op.page.value);
  std::byte* const word = machines_.change(at).frame(page) + op.offset;
  const std::uint64_t expected = oracle_.expected(page, op.offset, 8);
  if (!std::exchange(t.atomic_loaded, false)) {
    std::memcpy(&t.atomic_found, word, 8);
    if (t.atomic_found != expected && program_->races == 0)
      fail("an atomic operation of node " + std::to_string(asker) + " finds " +
           std::to_string(t.atomic_found) + " where " + std::to_string(expected) + " is: page " +
           std::to_string(page) + " bytes " + std::to_string(op.offset) + "+8");
    t.atomic_loaded = bug_ == core::Bug::atomic_in_halves;
    if (t.atomic_loaded) return false;
  }
  const std::uint64_t next = op.result(t.atomic_found);
  std::memcpy(word, &next, 8);
  oracle_.write(page, op.offset, 8, op.result(expected));
  fingerprint_ = mix(fingerprint_ ^ next);
  return true;
}

void Simulator::atomic_done(const Action& action) {
  footprint_.everything();
  const NodeId asker(static_cast<std::uint32_t>(action.run.first.value));
  const std::uint64_t found = nodes_[asker.value].threads[action.index].atomic_found;
  step(action.node, core::AtomicDone{asker, Ticket(action.index), found});
}

void Simulator::check_found(std::uint32_t node, const core::Found& found) {
  footprint_.everything();
  Thread& t = nodes_[node].threads.at(found.who.value);
  if (t.waiting != Waiting::atomic)
    return fail("an atomic operation ends for a thread that has none");
  if (found.previous != t.atomic_found)
    return fail("node " + std::to_string(node) + " thread " + std::to_string(found.who.value) +
                " is told that its atomic operation found " + std::to_string(found.previous) +
                ", not " + std::to_string(t.atomic_found));
  t.atomic = {};
}

}  // namespace dsm::sim
