// The state of a simulation as a number and as words, for explorers. Times are no part of it: an
// explorer has none.
#include <algorithm>
#include <cstring>
#include <span>
#include <string>
#include <variant>

#include "support/simulator.hpp"
#include "support/trace.hpp"

namespace dsm::sim {
namespace {

class Hash {
 public:
  void add(std::uint64_t v) { value_ = mix(value_ ^ v) + 0x9e3779b97f4a7c15u; }
  void add(PageRun run) {
    add(run.first.value);
    add(run.count);
  }
  void add(ByteView bytes) {
    add(bytes.size());
    for (; !bytes.empty(); bytes = bytes.subspan(std::min<std::size_t>(8, bytes.size()))) {
      std::uint64_t word = 0;
      std::memcpy(&word, bytes.data(), std::min<std::size_t>(8, bytes.size()));
      add(word);
    }
  }
  std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = 0;
};

// Messages by their bytes; the other effects are told apart by their words.
void add(Hash& h, const core::Effect& effect) {
  if (const auto* send = std::get_if<core::Send>(&effect)) {
    Bytes bytes;
    core::encode(send->message, bytes);
    h.add(send->to.value);
    h.add(ByteView(bytes));
    return;
  }
  if (const auto* diff = std::get_if<core::ApplyDiff>(&effect)) h.add(diff->body);
  if (const auto* fill = std::get_if<core::FillPage>(&effect)) h.add(fill->body);
  if (const auto* fill = std::get_if<core::FillPages>(&effect)) h.add(fill->body);
  const std::string words = to_string(effect);
  h.add(std::as_bytes(std::span(words.data(), words.size())));
}

}  // namespace

// What is still to be done of a step.
std::uint64_t Simulator::remaining(const Executor& executor) {
  Hash h;
  const auto& effects = executor.effects.list();
  for (std::size_t i = executor.next; i < effects.size(); ++i) add(h, effects[i]);
  h.add(ByteView(executor.blended));
  h.add(executor.scanned);
  for (const PageRun& run : executor.written) h.add(run);
  return h.value();
}

std::uint64_t Simulator::identity_of(const Action& a) const {
  if (a.identity != 0) return a.identity;
  Hash h;
  h.add(static_cast<std::uint64_t>(a.kind));
  h.add(a.node);
  h.add(a.run);
  switch (a.kind) {
    case ActionKind::arrive:
      h.add(messages_[a.index].from);
      h.add(ByteView(*messages_[a.index].packet));
      break;
    case ActionKind::place:
    case ActionKind::complete: {
      const Transfer& t = transfers_[a.index];
      h.add(t.run);
      h.add(t.slot.value_or(~std::uint64_t{0}));
      h.add(ByteView(t.data));
      break;
    }
    case ActionKind::bound_read:
    case ActionKind::bound_done: {
      const core::BoundRead& r = readings_[a.index].result;
      h.add(r.source.owner.value), h.add(r.source.lock.value), h.add(r.source.turn.value);
      h.add(ByteView(r.bytes));
      break;
    }
    case ActionKind::effect: {
      h.add(remaining(executors_[a.index]));
      break;
    }
    case ActionKind::pushed:
      for (const PageRun& run : pushed_[a.node].changed) h.add(run);
      for (const core::PushCount& p : pushed_[a.node].to) h.add(p.node.value), h.add(p.count);
      break;
    case ActionKind::operate:
    case ActionKind::drain:
    case ActionKind::channel:
    case ActionKind::expire:
    case ActionKind::held:
    case ActionKind::cancel:
    case ActionKind::atomic:
    case ActionKind::atomic_done:
    case ActionKind::lock_back:
    case ActionKind::watch_changed:
      h.add(a.index);
      break;
    case ActionKind::changed:
    case ActionKind::diff_home:
    case ActionKind::punched:
    case ActionKind::page_sent:
    case ActionKind::filled:
    case ActionKind::pages_filled:
      break;
  }
  return a.identity = h.value();
}

// Pending actions and messages count as sets: which was made first does not matter.
std::uint64_t Simulator::hash() const {
  std::uint64_t set = 0;
  for (const Action& a : pending_) set += identity_of(a);
  Hash h;
  h.add(set);
  for (std::size_t n = 0; n < nodes_.size(); ++n) h.add(engines_.hash(n)), h.add(machines_.hash(n));
  for (const Node& node : nodes_) {
    std::uint64_t tenures = 0;
    for (const Tenure& t : node.tenures) tenures += mix(t.page.value * 256 + t.number + 1);
    h.add(tenures);
    std::uint64_t held = 0;
    for (const std::uint32_t e : node.held) held += remaining(executors_[e]);
    h.add(held);
    h.add(node.scanning);
    for (const Thread& t : node.threads) {
      h.add(t.next);
      h.add(static_cast<std::uint64_t>(t.waiting) * 16 + (t.timed_out ? 8 : 0) +
            (t.joined ? 1 : 0) + (t.notified ? 2 : 0) + (t.notified_early ? 4 : 0));
      h.add(t.atomic.page.value * 65536 + t.atomic.offset * 4 + (t.atomic_loaded ? 2 : 0) +
            static_cast<std::uint64_t>(t.atomic.kind));
      h.add(t.atomic.operand), h.add(t.atomic.compare), h.add(t.atomic_found);
      h.add(t.trapped.value + t.behind.value * 64 + t.last.value * 4096);
    }
  }
  h.add(oracle_.hash());
  for (const std::uint8_t r : registers_) h.add(r);
  for (const std::uint32_t begun : waits_begun_) h.add(begun);
  for (const Loan loan : loans_) h.add(static_cast<std::uint64_t>(loan));
  for (const Baton& b : batons_) {
    h.add(b.lies);
    h.add(b.lock);
    h.add(std::uint64_t{b.node} << 32 | b.thread);
  }
  for (const Channel& channel : channels_) {
    for (const std::uint32_t index : channel.queue) {
      const Transfer& t = transfers_[index];
      h.add(t.run);
      h.add(t.slot.value_or(~std::uint64_t{0}));
      h.add((t.posted ? 1u : 0u) + (t.marked ? 2u : 0u) + (t.fetch ? 4u : 0u));
      h.add(ByteView(t.data).first(t.read));
    }
    h.add(channel.queue.size());
  }
  return h.value();
}

int Simulator::rank(std::size_t choice) const {
  switch (pending_[choice].kind) {
    case ActionKind::place:
      return 0;
    case ActionKind::drain:
      return 1;
    case ActionKind::arrive:
    case ActionKind::effect:
    case ActionKind::channel:
    case ActionKind::bound_read:
      return 4;
    case ActionKind::operate:
      return 3;
    default:
      return 2;
  }
}

std::string Simulator::describe(std::size_t choice) const {
  const Action& a = pending_[choice];
  const std::string node = "node " + std::to_string(a.node) + " ";
  switch (a.kind) {
    case ActionKind::operate: {
      const std::uint32_t next = nodes_[a.node].threads[a.index].next;
      return node + "thread " + std::to_string(a.index) + ": " +
             to_string(program_->nodes[a.node][a.index][next]);
    }
    case ActionKind::drain:
      return node + "a store of thread " + std::to_string(a.index) + " becomes visible";
    case ActionKind::effect:
      return node + "an effect is carried out";
    case ActionKind::arrive:
      return node + "a message from node " + std::to_string(messages_[a.index].from) + " arrives";
    case ActionKind::channel:
      return node + "its mark or READ takes effect at node " + std::to_string(a.index);
    case ActionKind::place:
      return node + "a READ of pages " + to_string(transfers_[a.index].run) + " is placed";
    case ActionKind::complete:
      return node + "a READ of pages " + to_string(transfers_[a.index].run) + " completes";
    case ActionKind::changed:
      return node + "pages " + to_string(a.run) + " have changed";
    case ActionKind::diff_home:
      return node + "pages " + to_string(a.run) + " had no change to send";
    case ActionKind::expire:
      return node + "the time of thread " + std::to_string(a.index) + "'s wait is up";
    case ActionKind::punched:
      return node + "pages " + to_string(a.run) + " are given back";
    case ActionKind::page_sent:
      return node + "page " + to_string(a.run) + " has been sent";
    case ActionKind::filled:
      return node + "page " + to_string(a.run) + " has been filled";
    case ActionKind::pages_filled:
      return node + "pages " + to_string(a.run) + " have been filled";
    case ActionKind::held:
      return node + "the tenure of page " + to_string(a.run) + " ends";
    case ActionKind::lock_back:
      return node + "a lock comes back";
    case ActionKind::atomic:
      return node + "the atomic operation of thread " + std::to_string(a.index) + " takes effect";
    case ActionKind::atomic_done:
      return node + "an atomic operation of node " + std::to_string(a.run.first.value) + " is done";
    case ActionKind::bound_read:
      return node + "reads bytes that are bound to a lock at their owner";
    case ActionKind::bound_done:
      return node + "has read the bytes that are bound to a lock";
    case ActionKind::pushed:
      return node + "its pushes have left";
    case ActionKind::watch_changed:
      return node + "pages " + to_string(a.run) + " are watched " +
             (a.index != 0 ? "by scans" : "by traps");
    case ActionKind::cancel:
      return node + "thread " + std::to_string(a.index) + " has waited long enough";
  }
  return node;
}

bool Simulator::is_past_first_join(std::size_t choice) const {
  const Action& a = pending_[choice];
  if (a.kind != ActionKind::operate) return false;
  const std::vector<Op>& ops = program_->nodes[a.node][a.index];
  const auto next = ops.begin() + nodes_[a.node].threads[a.index].next;
  return std::any_of(ops.begin(), next, [](const Op& op) { return op.what == Do::join; });
}

}  // namespace dsm::sim
