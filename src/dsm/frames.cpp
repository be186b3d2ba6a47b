#include "dsm/frames.hpp"

namespace dsm {
namespace {

std::span<std::byte> frames_of(memory::AddressSpace& space, PageRun run) {
  return {space.runtime(run.first), run.count * memory::AddressSpace::page_size()};
}

}  // namespace

Status make_frames(memory::AddressSpace& space, transport::Transport& wire,
                   std::span<const PageRun> runs) {
  Status made = space.populate(runs);
  for (const PageRun& run : runs)
    if (made.ok() && run.count > 0) made = wire.cover(frames_of(space, run));
  if (!made.ok())
    for (const PageRun& run : runs) give_back_frames(space, wire, run);
  return made;
}

void give_back_frames(memory::AddressSpace& space, transport::Transport& wire, PageRun run) {
  if (run.count == 0) return;
  const std::size_t page_bytes = memory::AddressSpace::page_size();
  const std::byte* const start = space.runtime(run.first);
  wire.discard(frames_of(space, run), [&](std::span<std::byte> part) {
    const auto first = static_cast<std::uint64_t>(part.data() - start) / page_bytes;
    space.punch({run.first + first, part.size() / page_bytes});
  });
}

}  // namespace dsm
