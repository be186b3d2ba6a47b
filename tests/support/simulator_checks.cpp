// What must hold after every step, and at the end. Checked are the engine that made the step, and
// every page that the step or its effects name, on all nodes; everything, when a node passes a
// barrier and at the end.
#include <algorithm>
#include <cstring>
#include <type_traits>
#include <variant>

#include "support/simulator.hpp"
#include "support/trace.hpp"

namespace dsm::sim {
namespace {

using core::PageState;

// What the program view may allow while the engine says `state`: changes under way may or may not
// have taken hold. What is scanned may be written whatever the view says, and then says so.
bool view_fits(PageState state, Access view, bool scanned) {
  if (scanned && state >= PageState::own_private && state <= PageState::own_protecting)
    return view != Access::none || state == PageState::own_mapping ||
           state == PageState::own_opening;
  switch (state) {
    case PageState::absent:
    case PageState::fetching:
    case PageState::fetched:
      return view == Access::none;
    case PageState::mapping:
    case PageState::unmapping:
      return view != Access::write;
    case PageState::clean:
    case PageState::diffing:
    case PageState::own_watched:
      return view == Access::read;
    case PageState::opening:
    case PageState::own_opening:
      return true;
    case PageState::dirty:
    case PageState::settling:
    case PageState::own_private:
    case PageState::own_written:
    case PageState::own_comparing:
      return view == Access::write;
    case PageState::protecting:
    case PageState::own_protecting:
      return view != Access::none;
    case PageState::own_mapping:
      return view != Access::write;
    case PageState::own_closing:
      return true;
    case PageState::own_closed:
      return view == Access::none;
    case PageState::seq_asked:
    case PageState::own_seq_none:
      return view == Access::none;
    case PageState::seq_read:
    case PageState::seq_upgrading:
    case PageState::own_seq_read:
      return view == Access::read;
    case PageState::seq_write:
    case PageState::own_seq_write:
      return view == Access::write;
    case PageState::seq_sending:
      return view != Access::write;
    case PageState::seq_opening:
    case PageState::seq_closing:
    case PageState::own_seq_opening:
    case PageState::own_seq_closing:
      return true;
  }
  return false;
}

bool at_rest(PageState state) {
  return state == PageState::absent || state == PageState::fetched || state == PageState::clean ||
         state == PageState::dirty || state == PageState::own_private ||
         state == PageState::own_watched || state == PageState::own_written ||
         state == PageState::seq_read || state == PageState::seq_write ||
         state == PageState::own_seq_none || state == PageState::own_seq_read ||
         state == PageState::own_seq_write;
}

PageRun pages_of(const core::Event& event) {
  return std::visit(
      [](const auto& e) -> PageRun {
        if constexpr (requires { e.run; }) {
          return e.run;
        } else if constexpr (requires { e.page; }) {
          return {e.page, 1};
        } else if constexpr (std::is_same_v<std::remove_cvref_t<decltype(e)>, core::Received>) {
          if (const auto* diff = std::get_if<core::Diff>(&e.message)) return diff->run;
          if (const auto* ack = std::get_if<core::DiffAck>(&e.message)) return ack->run;
          if (const auto* moved = std::get_if<core::MoveContent>(&e.message)) return moved->run;
          return std::visit(
              [](const auto& m) -> PageRun {
                if constexpr (requires { m.page; }) return {m.page, 1};
                return {};
              },
              e.message);
        } else {
          return {};
        }
      },
      event);
}

PageRun pages_of(const core::Effect& effect) {
  return std::visit(
      [](const auto& e) -> PageRun {
        if constexpr (requires { e.run; }) {
          return e.run;
        } else if constexpr (requires { e.page; }) {
          return {e.page, 1};
        } else {
          return {};
        }
      },
      effect);
}

}  // namespace

// The effects have been decided and not yet carried out.
void Simulator::check_step(std::uint32_t node, const core::Event& event,
                           const core::Effects& effects) {
  if (std::string broken = engines_[node].broken_invariant(); !broken.empty())
    return fail("node " + std::to_string(node) + " after " + name_of(event) + ": " + broken);
  check_shared();
  check_pages(node, pages_of(event));
  if (const auto* received = std::get_if<core::Received>(&event))
    if (const auto* grant = std::get_if<core::LockGrant>(&received->message))
      check_token(grant->lock);
  bool everything = false;
  for (const core::Effect& effect : effects.list()) {
    check_pages(node, pages_of(effect));
    everything |= std::holds_alternative<core::Passed>(effect);
    if (const auto* send = std::get_if<core::Send>(&effect))
      if (const auto* grant = std::get_if<core::LockGrant>(&send->message))
        check_token(grant->lock);
  }
  if (everything) check_everything();
}

std::uint32_t Simulator::index_of(LockId lock) const {
  return static_cast<std::uint32_t>(
      std::find(program_->locks.begin(), program_->locks.end(), lock) - program_->locks.begin());
}

// Tokens are counted as they go; their places are looked at when one moves.
void Simulator::check_token(LockId lock) {
  const std::uint32_t index = index_of(lock);
  std::uint32_t tokens = flying_.at(index);
  for (const core::Engine& engine : engines_) tokens += engine.has_token(lock) ? 1 : 0;
  if (tokens > 1 || (tokens == 0 && ever_known_.at(index)))
    fail("lock " + std::to_string(lock.value) + " has " + std::to_string(tokens) + " tokens");
  if (tokens > 0) ever_known_[index] = true;
}

void Simulator::count_token(const core::Message& message, bool leaves) {
  const auto* grant = std::get_if<core::LockGrant>(&message);
  if (grant == nullptr) return;
  for (std::size_t i = 0; i < flying_.size(); ++i)
    if (program_->locks[i] == grant->lock) flying_[i] += leaves ? 1 : -1;
}

void Simulator::check_pages(std::uint32_t node, PageRun run) {
  for (PageId p = run.first; p < run.end(); ++p) check_page(node, p);
}

void Simulator::check_page(std::uint32_t node, PageId page) {
  const core::Region* region = engines_[node].layout().region_of(page);
  if (region == nullptr) return;
  ++statistics_.pages_checked;
  check_home(page);
  const std::uint32_t home = region->home(page).value;
  const PageState state = engines_[node].state_of(page);
  const Machine& machine = machines_[node];
  const Access view = machine.view(page.value);
  const auto complain = [&](const char* what) {
    static constexpr const char* views[] = {"none", "read", "write"};
    fail("node " + std::to_string(node) + " page " + std::to_string(page.value) + ", " +
         name_of(state) + ", which the program may access: " + views[static_cast<int>(view)] +
         ": " + what);
  };
  if (!view_fits(state, view, machine.scanned(page.value)) && !machine.reclaimed(page.value))
    return complain("the view does not fit the state");
  if (region->policy() == core::Policy::sequential) return check_single_writer(page);
  if (home != node) {
    if (view == Access::write && !machine.has_twin(page.value))
      return complain("it is written without a twin");
    if (state == PageState::clean && machine.has_twin(page.value))
      return complain("a clean page has a twin");
    check_mark(node, home, page);
  } else {
    for (std::uint32_t reader = 0; reader < nodes_.size(); ++reader)
      if (reader != home) check_mark(reader, home, page);
  }
}

// A copy that may be read is known at its home, or will be as soon as the home looks into its rings
// (PROTOCOL.md B5, B7). A home that has passed one more barrier has cleared marks of copies that
// this reader is about to drop.
void Simulator::check_mark(std::uint32_t reader, std::uint32_t home, PageId page) {
  const PageState state = engines_[reader].state_of(page);
  if (state != PageState::fetched && state != PageState::clean && state != PageState::dirty &&
      state != PageState::settling)
    return;
  const core::Engine& keeper = engines_[home];
  if (engines_[reader].epoch() < keeper.epoch()) return;
  if (keeper.layout().region_of(page) == nullptr) return;
  for (const Thread& t : nodes_[home].threads)
    if (t.waiting == Waiting::drop) return;  // the region is going, and its readers drop it too
  const bool known = keeper.has_mark(page, NodeId(reader));
  if (machines_[home].marked_in_ring(NodeId(reader), page, keeper.epoch(), known)) return;
  fail("node " + std::to_string(reader) + " has a copy of page " + std::to_string(page.value) +
       " and its home, node " + std::to_string(home) + ", does not know");
}

void Simulator::check_everything() {
  for (std::uint32_t node = 0; node < nodes_.size(); ++node)
    for (const core::Region& region : engines_[node].layout().regions())
      check_pages(node, region.run());
  for (const LockId lock : program_->locks) check_token(lock);
}

void Simulator::reported(std::uint32_t node, const core::Race& race) {
  races_.push_back(race);
  if (program_->races == 0)
    fail("node " + std::to_string(node) + " reports a race where there is none: page " +
         std::to_string(race.page.value) + " bytes " + std::to_string(race.offset) + "+" +
         std::to_string(race.bytes) + " of node " + std::to_string(race.first.node.value) +
         " and node " + std::to_string(race.second.node.value));
}

void Simulator::check_end() {
  if (races_.size() < program_->races)
    fail("a race was not reported, one of " + std::to_string(program_->races));
  if (forbidden_ < program_->forbidden)
    fail("a write without its lock was not reported, one of " +
         std::to_string(program_->forbidden));
  for (std::uint32_t node = 0; node < nodes_.size(); ++node) {
    for (std::uint32_t t = 0; t < nodes_[node].threads.size(); ++t) {
      const Thread& thread = nodes_[node].threads[t];
      if (thread.done) continue;
      return fail("node " + std::to_string(node) + " thread " + std::to_string(t) +
                  " is stuck at its operation " + std::to_string(thread.next) + ", " +
                  to_string(program_->nodes[node][t][thread.next]) + "\n" +
                  engines_[node].describe_pages() + engines_[node].describe_locks());
    }
    if (std::string broken = engines_[node].broken_invariant(); !broken.empty())
      return fail("node " + std::to_string(node) + " at the end: " + broken);
  }
  check_everything();
  check_shared_end();
  check_semaphores_end();
  for (const std::uint32_t flying : flying_)
    if (flying != 0) return fail("a token is still under way at the end");
  for (std::uint32_t node = 0; node < nodes_.size(); ++node) {
    for (const core::Region& region : engines_[node].layout().regions()) {
      for (PageId p = region.run().first; p < region.run().end(); ++p) {
        const PageState state = engines_[node].state_of(p);
        if (!at_rest(state))
          return fail("node " + std::to_string(node) + " page " + std::to_string(p.value) +
                      " is still " + name_of(state) + " at the end");
        if (region.home(p) != NodeId(node)) continue;
        if (region.policy() == core::Policy::sequential) {
          check_newest(p);
          continue;
        }
        if (program_->races > 0) continue;  // whoever came home last
        if (std::memcmp(machines_[node].frame(p.value),
                        oracle_.page(static_cast<std::uint32_t>(p.value)),
                        program_->page_bytes) != 0)
          return fail("page " + std::to_string(p.value) + " at its home, node " +
                      std::to_string(node) + ", is not what the program wrote");
      }
    }
  }
}

}  // namespace dsm::sim
