#include "dsm/frames.hpp"

#include <algorithm>
#include <utility>

#include "base/check.hpp"

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
    for (const PageRun& run : runs) give_back_frames(space, wire, run, 0);
  return made;
}

bool give_back_frames(memory::AddressSpace& space, transport::Transport& wire, PageRun run,
                      transport::Cookie done) {
  if (run.count == 0) return true;
  const std::size_t page_bytes = memory::AddressSpace::page_size();
  const std::byte* const start = space.runtime(run.first);
  return wire.discard(
      frames_of(space, run),
      [&space, run, start, page_bytes](std::span<std::byte> part) {
        const auto first = static_cast<std::uint64_t>(part.data() - start) / page_bytes;
        space.punch({run.first + first, part.size() / page_bytes});
      },
      done);
}

std::uint64_t Departures::begin(PageRun run) {
  MutexLock hold(mutex_);
  const auto free =
      std::find_if(runs_.begin(), runs_.end(), [](const PageRun& each) { return each.count == 0; });
  const auto number = static_cast<std::uint64_t>(free - runs_.begin());
  if (free == runs_.end()) runs_.emplace_back();
  runs_[number] = run;
  return number;
}

PageRun Departures::end(std::uint64_t number) {
  MutexLock hold(mutex_);
  DSM_CHECK_WITH(number < runs_.size() && runs_[number].count > 0,
                 "only frames that were going are gone", {"number", number});
  return std::exchange(runs_[number], {});
}

}  // namespace dsm
