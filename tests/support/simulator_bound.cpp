// Memory bound to locks, at the simulator's edge; and what is copied before any later step.
#include <cstring>
#include <utility>

#include "dsm/core/diff.hpp"
#include "support/simulator.hpp"

namespace dsm::sim {

void Simulator::copy_bound(std::uint32_t node, core::Effects& effects) {
  for (core::Effect& effect : effects) {
    if (auto* sent = std::get_if<core::SendBound>(&effect)) {
      for (const core::Aboard& aboard : sent->grant.aboard) {
        if (aboard.where != core::Where::aboard) continue;
        reads(Part::frame, node, {aboard.span.page, 1});
        const std::byte* from = machines_[node].frame(aboard.span.page.value) + aboard.span.offset;
        sent->grant.bytes.insert(sent->grant.bytes.end(), from, from + aboard.span.length);
      }
      for (const core::Span& span : sent->leaves) {
        reads(Part::frame, node, {span.page, 1});
        writes(Part::twin, node, {span.page, 1});
        if (!machines_[node].has_twin(span.page.value))
          return fail("page " + std::to_string(span.page.value) + " is watched without a twin");
        machines_.change(node).renew_twin(span.page.value, span.offset, span.length);
      }
    } else if (const auto* push = std::get_if<core::ApplyPush>(&effect)) {
      apply_push(node, *push);
    } else if (const auto* take = std::get_if<core::TakeBase>(&effect)) {
      reads(Part::frame, node, take->run);
      writes(Part::twin, node, take->run);
      machines_.change(node).take_bases(take->run);
    } else if (const auto* drop = std::get_if<core::DropBase>(&effect)) {
      writes(Part::twin, node, drop->run);
      for (PageId p = drop->run.first; p < drop->run.end(); ++p)
        machines_.change(node).drop_twin(p.value);
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
  for (const core::Forbidden& forbidden : diff.forbidden) check_forbidden(node, forbidden);
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

void Simulator::check_forbidden(std::uint32_t node, const core::Forbidden& forbidden) {
  const core::Span& span = forbidden.span;
  const Machine& machine = machines_[node];
  const auto differs = core::difference({machine.frame(span.page.value) + span.offset, span.length},
                                        {machine.twin(span.page.value) + span.offset, span.length});
  if (!differs) return;
  ++forbidden_;
  if (program_->forbidden == 0)
    fail("node " + std::to_string(node) + " is said to have written page " +
         std::to_string(span.page.value) + " bytes " + std::to_string(span.offset) + "+" +
         std::to_string(span.length) + " without lock " + std::to_string(forbidden.lock.value));
}

// ---- READs of bound bytes from the frames of their owner ----

void Simulator::begin_reading(std::uint32_t node, const core::BoundSource& source) {
  std::uint32_t index;
  if (free_readings_.empty()) {
    index = static_cast<std::uint32_t>(readings_.size());
    readings_.emplace_back();
  } else {
    index = free_readings_.back();
    free_readings_.pop_back();
  }
  readings_[index] = {true, {source, {}}, 0};
  ++statistics_.one_sided;
  schedule(ActionKind::bound_read, node, index, trip_delay());
}

// Span after span; no program's span is longer than what a device reads at one time.
void Simulator::read_bound(std::uint32_t node, std::uint32_t index) {
  Reading& reading = readings_[index];
  const core::BoundSource& source = reading.result.source;
  const core::Span& span = source.spans[reading.spans++];
  reads(Part::frame, source.owner.value, span.page.value);
  const std::byte* from = machines_[source.owner.value].frame(span.page.value) + span.offset;
  reading.result.bytes.insert(reading.result.bytes.end(), from, from + span.length);
  statistics_.one_sided_bytes += span.length;
  if (reading.spans < source.spans.size())
    return schedule(ActionKind::bound_read, node, index, local_delay());
  schedule(ActionKind::bound_done, node, index, trip_delay());
}

void Simulator::bound_done(std::uint32_t node, std::uint32_t index) {
  const core::BoundRead result = std::exchange(readings_[index], {}).result;
  free_readings_.push_back(index);
  step(node, result);
}

// Frames that another node reads stay.
void Simulator::check_not_read(std::uint32_t node, PageRun run) {
  for (const Reading& reading : readings_) {
    const core::BoundSource& source = reading.result.source;
    if (!reading.used || source.owner != NodeId(node)) continue;
    for (std::size_t i = reading.spans; i < source.spans.size(); ++i)
      if (run.contains(source.spans[i].page))
        fail("node " + std::to_string(node) + " gives back the frame of page " +
             std::to_string(source.spans[i].page.value) + " while bound bytes are read from it");
  }
}

}  // namespace dsm::sim
