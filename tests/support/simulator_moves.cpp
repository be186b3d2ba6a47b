// Homes that move, in the simulator: the contents on their way, and what must hold between nodes.
#include <algorithm>
#include <cstring>

#include "support/simulator.hpp"

namespace dsm::sim {

void Simulator::send_pages(std::uint32_t node, const core::SendPages& effect) {
  const Machine& machine = machines_[node];
  reads(Part::view, node, effect.run);
  reads(Part::frame, node, effect.run);
  for (PageId p = effect.run.first; p < effect.run.end(); ++p)
    if (machine.view(p.value) != Access::none)
      fail("page " + std::to_string(p.value) + " of node " + std::to_string(node) +
           " leaves for another home while the program sees it");
  statistics_.pages_moved += effect.run.count;
  core::MoveContent message = effect.message;
  message.body =
      ByteView(machine.frame(effect.run.first.value), effect.run.count * program_->page_bytes);
  send(node, effect.to, message);
}

void Simulator::fill_pages(std::uint32_t node, const core::FillPages& effect) {
  Machine& machine = machines_.change(node);
  reads(Part::view, node, effect.run);
  writes(Part::frame, node, effect.run);
  for (PageId p = effect.run.first; p < effect.run.end(); ++p)
    if (machine.view(p.value) != Access::none)
      fail("page " + std::to_string(p.value) + " of node " + std::to_string(node) +
           " is filled while the program sees it");
  if (effect.body.size() != effect.run.count * program_->page_bytes)
    return fail("a page's content is a page long");
  std::memcpy(machine.frame(effect.run.first.value), effect.body.data(), effect.body.size());
  schedule(ActionKind::pages_filled, node, 0, local_delay(), effect.run);
}

// A page has one home. While it is on its way it has none, and nobody has a copy.
void Simulator::check_home(PageId page) {
  if (program_->config.migrate_after == 0) return;
  std::uint32_t homes = 0, knowing = 0;
  for (const core::Engine& engine : engines_) {
    const core::Region* region = engine.layout().region_of(page);
    if (region == nullptr) return;  // it is going, or coming
    ++knowing;
    homes += region->home(page) == engine.config().self ? 1 : 0;
  }
  if (homes > 1) return fail("page " + std::to_string(page.value) + " has two homes");
  if (homes == 1 || knowing == 0) return;
  for (std::uint32_t node = 0; node < nodes_.size(); ++node)
    if (engines_[node].state_of(page) != core::PageState::absent)
      return fail("node " + std::to_string(node) + " has a copy of page " +
                  std::to_string(page.value) + ", which is on its way to another home");
}

}  // namespace dsm::sim
