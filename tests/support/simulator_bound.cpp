// Memory bound to locks, at the simulator's edge: copies that are made before any later step.
#include <cstring>

#include "dsm/core/diff.hpp"
#include "support/simulator.hpp"

namespace dsm::sim {

void Simulator::copy_bound(std::uint32_t node, core::Effects& effects) {
  for (core::Effect& effect : effects) {
    if (auto* sent = std::get_if<core::SendBound>(&effect)) {
      for (const core::Aboard& aboard : sent->grant.aboard) {
        if (aboard.at_home) continue;
        reads(Part::frame, node, {aboard.span.page, 1});
        const std::byte* from = machines_[node].frame(aboard.span.page.value) + aboard.span.offset;
        sent->grant.bytes.insert(sent->grant.bytes.end(), from, from + aboard.span.length);
      }
    } else if (const auto* fill = std::get_if<core::FillBound>(&effect)) {
      writes(Part::frame, node, {fill->span.page, 1});
      std::memcpy(machines_.change(node).frame(fill->span.page.value) + fill->span.offset,
                  fill->bytes.data(), fill->bytes.size());
    }
  }
}

void Simulator::send_bound_diff(std::uint32_t node, const core::SendBoundDiff& diff) {
  const std::uint64_t page = diff.page.value;
  Machine& machine = machines_.change(node);
  reads(Part::view, node, {diff.page, 1});
  reads(Part::frame, node, {diff.page, 1});
  writes(Part::twin, node, {diff.page, 1});
  const std::size_t size = machine.page_bytes();
  if (!machine.has_twin(page))
    return fail("a diff is wanted of page " + std::to_string(page) + " without a twin");
  if (machine.view(page) == Access::write)
    return fail("a diff is taken of page " + std::to_string(page) +
                " while the program may write it");
  const std::byte* const frame = machine.frame(page);
  std::vector<std::byte> twin(machine.twin(page), machine.twin(page) + size);
  for (const core::Span& span : diff.bound)
    std::memcpy(twin.data() + span.offset, frame + span.offset, span.length);
  Bytes body;
  for (const core::Versioned& part : diff.parts)
    body.insert(body.end(), frame + part.span.offset, frame + part.span.offset + part.span.length);
  core::append_diff({frame, size}, twin, 0, body);
  machine.drop_twin(page);
  if (body.empty()) return schedule(ActionKind::diff_home, node, 0, local_delay(), {diff.page, 1});
  send(node, diff.home, core::BoundDiff{diff.page, diff.parts, body});
}

}  // namespace dsm::sim
