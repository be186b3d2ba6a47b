// Pages of sequential regions: racy accesses, and what they may see.
//
// One memory for the whole cluster says what is right: a store enters it at the moment at which it
// leaves its store buffer, and no other node may have access to the page then; a load sees what is
// in it, or what its own thread has stored and not yet drained. That is x86-TSO across the whole
// cluster, and, since a page cannot change its writer without a fence, sequential consistency
// between nodes.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>
#include <variant>

#include "support/simulator.hpp"

namespace dsm::sim {
namespace {

// An access needs two pages at the most, and each of them comes to stay (on_sequential.cpp). Beyond
// that a try is lost to the kernel's reclaim, to an eviction, or to another thread's fault.
constexpr std::uint32_t tries_enough = 60;

struct Piece {
  std::uint32_t page = 0, offset = 0, length = 0, shift = 0;
};

}  // namespace

bool Simulator::is_sequential(std::uint32_t node, PageId page) const {
  const core::Region* region = engines_[node].layout().region_of(page);
  return region != nullptr && region->policy() == core::Policy::sequential;
}

bool Simulator::access_sequential(std::uint32_t node, std::uint32_t thread, const Op& op) {
  Thread& t = nodes_[node].threads[thread];
  const bool stores = op.what == Do::write || op.what == Do::set;
  if (t.trapped != core::no_page) {
    step(node, core::Retry{std::exchange(t.trapped, core::no_page), t.behind});
    if (!failure_.empty()) return false;
  }
  const std::uint32_t first = std::min<std::uint32_t>(op.length, program_->page_bytes - op.offset);
  const Piece parts[] = {{op.page, op.offset, first, 0},
                         {op.page + 1, 0, op.length - first, 8 * first}};
  const std::size_t count = first < op.length ? 2 : 1;
  if (physics_.reclaim_one_in != 0 && random_.one_in(physics_.reclaim_one_in))
    machines_.change(node).reclaim(parts[random_.below(count)].page);

  // Which of two missing pages traps is the processor's choice.
  std::uint32_t missing = ~0u;
  for (std::size_t i = 0; i < count; ++i) reads(Part::view, node, parts[i].page);
  for (std::size_t i = 0; i < count; ++i)
    if (!machines_[node].allows(parts[i].page, stores) &&
        (missing == ~0u || (exploring_ ? program_->higher_traps : random_.one_in(2))))
      missing = parts[i].page;
  if (missing != ~0u) {
    if (exploring_ && waits_for_stores(node, thread)) return false;
    empties(node, thread);
    machines_.change(node).fence(thread);
    t.waiting = Waiting::access;
    ++statistics_.faults;
    if (++t.tries > tries_enough) fail("an access is never let through");
    t.trapped = PageId(missing);
    t.behind = t.last < t.trapped ? t.last : core::no_page;
    t.last = t.trapped;
    step(node,
         core::Fault{Ticket(thread), t.trapped, stores ? Access::write : Access::read, t.behind});
    return false;
  }

  note_performed(node);
  const Machine& machine = machines_[node];
  std::uint64_t expected = 0, found = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const Piece& p = parts[i];
    reads(Part::word, 0, p.page);
    reads(Part::frame, node, p.page);
    expected |= machine.load_over(oracle_.page(p.page), thread, p.page, p.offset, p.length)
                << p.shift;
    found |= machine.load(thread, p.page, p.offset, p.length) << p.shift;
  }
  if (!stores) {
    fingerprint_ = mix(fingerprint_ ^ found);
    if (spans_on_) spans_[node][thread][t.next].found = found;
    if (op.what == Do::observe) registers_[op.arg] = static_cast<std::uint8_t>(found);
    if (found == expected) return true;
    char text[200];
    std::snprintf(text, sizeof text,
                  "node %u thread %u reads %llx where %llx is newest: page %u bytes %u+%u", node,
                  thread, static_cast<unsigned long long>(found),
                  static_cast<unsigned long long>(expected), op.page, op.offset, op.length);
    fail(text);
    return true;
  }
  writes(Part::stores, node, thread);
  const std::uint64_t bytes = store_value(node, thread, expected);
  for (std::size_t i = 0; i < count; ++i)
    machines_.change(node).store(thread, parts[i].page, parts[i].offset, parts[i].length,
                                 bytes >> parts[i].shift);
  begin_draining(node, thread);
  return true;
}

std::uint64_t Simulator::found(std::uint32_t node, std::uint32_t thread, std::uint32_t op) const {
  return spans_.at(node).at(thread).at(op).found;
}

// Stores of this node that have become visible since the last time.
void Simulator::note_performed(std::uint32_t node) {
  if (machines_[node].performed().empty()) return;
  for (const Machine::Store& s : machines_[node].performed()) {
    oracle_.write(s.page, s.offset, s.length, s.bytes);
    writes(Part::word, 0, s.page);
    for (std::uint32_t other = 0; other < nodes_.size(); ++other) reads(Part::view, other, s.page);
    for (std::uint32_t other = 0; other < nodes_.size(); ++other)
      if (other != node && machines_[other].view(s.page) != Access::none)
        fail("a store of node " + std::to_string(node) + " becomes visible in page " +
             std::to_string(s.page) + " while node " + std::to_string(other) + " has access");
  }
  machines_.change(node).forget_performed();
}

void Simulator::check_single_writer(PageId page) {
  std::uint32_t writer = ~0u, others = 0;
  for (std::uint32_t node = 0; node < nodes_.size(); ++node) {
    const Access view = machines_[node].view(page.value);
    if (view == Access::none) continue;
    if (!is_sequential(node, page)) return;  // it is going, or coming
    if (view == Access::write) writer = node;
    ++others;
  }
  if (writer != ~0u && others > 1)
    fail("node " + std::to_string(writer) + " may write page " + std::to_string(page.value) +
         " and is not alone");
}

// At the end the newest content is with whoever may use the page, and else at its home.
void Simulator::check_newest(PageId page) {
  const auto number = static_cast<std::uint32_t>(page.value);
  const std::uint32_t home = engines_[0].layout().region_of(page)->home(page).value;
  bool elsewhere = false;
  for (std::uint32_t node = 0; node < nodes_.size(); ++node) {
    const core::PageState state = engines_[node].state_of(page);
    const bool writer = state == core::PageState::seq_write;
    elsewhere |= writer;
    if (!writer && state != core::PageState::seq_read) continue;
    if (std::memcmp(machines_[node].frame(number), oracle_.page(number), program_->page_bytes) != 0)
      return fail("page " + std::to_string(number) + " at node " + std::to_string(node) +
                  " is not the newest");
  }
  if (!elsewhere &&
      std::memcmp(machines_[home].frame(number), oracle_.page(number), program_->page_bytes) != 0)
    fail("page " + std::to_string(number) + " at its home, node " + std::to_string(home) +
         ", is not the newest");
}

// Ends are told when somebody wants to know, and no earlier: the engine has to ask.
void Simulator::begin_tenures(std::uint32_t node, const core::Effects& effects) {
  for (const core::Effect& effect : effects.list())
    if (const auto* hold = std::get_if<core::Hold>(&effect)) {
      writes(Part::tenures, node);
      nodes_[node].tenures.push_back(
          {hold->page, hold->tenure, now_ + delay_up_to(physics_.tenure_max)});
    }
}

void Simulator::hasten(std::uint32_t node) {
  writes(Part::tenures, node);
  for (const Tenure& t : std::exchange(nodes_[node].tenures, {}))
    schedule(ActionKind::held, node, t.number, t.end > now_ ? t.end - now_ : 0, {t.page, 1});
}

void Simulator::send_page(std::uint32_t node, const core::SendPage& effect) {
  const Machine& machine = machines_[node];
  reads(Part::view, node, effect.page.value);
  reads(Part::frame, node, effect.page.value);
  if (machine.view(effect.page.value) == Access::write)
    fail("page " + std::to_string(effect.page.value) + " is sent while the program may write it");
  core::Message message = effect.message;
  const ByteView body(machine.frame(effect.page.value), machine.page_bytes());
  if (auto* grant = std::get_if<core::PageGrant>(&message)) grant->body = body;
  if (auto* back = std::get_if<core::PageReturn>(&message)) back->body = body;
  send(node, effect.to, message);
  if (effect.reports) schedule(ActionKind::page_sent, node, 0, local_delay(), {effect.page, 1});
}

void Simulator::fill_page(std::uint32_t node, const core::FillPage& effect) {
  Machine& machine = machines_.change(node);
  reads(Part::view, node, effect.page.value);
  writes(Part::frame, node, effect.page.value);
  if (machine.view(effect.page.value) != Access::none)
    fail("page " + std::to_string(effect.page.value) + " of node " + std::to_string(node) +
         " is filled while the program sees it");
  if (effect.body.size() != machine.page_bytes()) return fail("a page's content is a page long");
  std::memcpy(machine.frame(effect.page.value), effect.body.data(), effect.body.size());
  if (effect.reports) schedule(ActionKind::filled, node, 0, local_delay(), {effect.page, 1});
}

}  // namespace dsm::sim
