// Shared memory and system calls, which do not fault pages in.
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "dsm/api/current.hpp"

namespace dsm {
namespace {

constexpr std::size_t piece_bytes = 1u << 20;  // of load() and store(): a small part of any cache

struct Range {
  PageRun run;
  bool shared = false;
};

// The pages of a range: all of them in regions, or none of them in the space.
Range pages_of(Node& node, const void* memory, std::size_t bytes, const char* call) {
  const auto first = reinterpret_cast<std::uintptr_t>(memory);
  if (bytes == 0) return {};
  const std::uintptr_t last = first + bytes - 1;
  const bool starts = node.space().contains(first), ends = node.space().contains(last);
  if (!starts && !ends) return {};
  Range range;
  if (starts && ends && first <= last) {
    const PageId page = node.space().page_of(first);
    range = {{page, node.space().page_of(last) - page + 1}, true};
    const bool known = node.driver().look([&](const core::Engine& engine) {
      for (PageId p = range.run.first; p < range.run.end();) {
        const core::Region* region = engine.layout().region_of(p);
        if (region == nullptr) return false;
        p = region->run().end();
      }
      return true;
    });
    if (known) return range;
  }
  throw Error(std::string(call) + ": part of the range is shared memory and part is not, or was never allocated");
}

// Faults in, one by one, what this node may not use yet.
void fault_in(Node& node, PageRun run, Intent intent) {
  const Access wanted = intent == Intent::write ? Access::write : Access::read;
  for (PageId page = run.first; page < run.end(); ++page) node.driver().fault(page, wanted);
}

// Moves up to `bytes` by `move(done)`, a pread or pwrite of the rest, which stops short where a page has gone meanwhile.
template <typename Move>
std::size_t moved(const std::byte* memory, std::size_t bytes, Intent intent, const char* call, Move move) {
  std::size_t done = 0;
  while (done < bytes) {
    const std::size_t piece = std::min(piece_bytes, bytes - done);
    const Ensured hold = ensure(memory + done, piece, intent);
    const ssize_t n = move(done, piece);
    if (n > 0) {
      done += static_cast<std::size_t>(n);
    } else if (n == 0) {
      return done;
    } else if (errno != EFAULT && errno != EINTR) {
      throw Error(std::string(call) + ": " + std::strerror(errno));
    }
  }
  return done;
}

}  // namespace

Ensured ensure(const void* memory, std::size_t bytes, Intent intent) {
  Node& node = api::current("ensure()");
  const Range range = pages_of(node, memory, bytes, "ensure()");
  if (!range.shared) return Ensured(0, 0);
  const std::uint64_t foreign = node.driver().look([&](const core::Engine& engine) {
    std::uint64_t count = 0;
    for (PageId p = range.run.first; p < range.run.end(); ++p)
      count += engine.layout().region_of(p)->home(p) != node.self() ? 1 : 0;
    return count;
  });
  if (foreign * page_size() > node.cache_bytes() / 2)
    throw Error("ensure() of " + std::to_string(foreign * page_size() >> 20) + " MiB of other nodes' pages exceeds half the cache (DSM_CACHE is " +
                std::to_string(node.cache_bytes() >> 20) + " MiB); use load() and store(), or a larger cache");
  node.driver().pin(range.run);
  Ensured hold(range.run.first.value, range.run.count);
  fault_in(node, range.run, intent);
  return hold;
}

Ensured::Ensured(Ensured&& other) noexcept : first_page_(other.first_page_), pages_(other.pages_) { other.pages_ = 0; }

Ensured::~Ensured() {
  if (pages_ > 0) api::current("~Ensured()").driver().unpin({PageId(first_page_), pages_});
}

std::size_t load(int fd, void* memory, std::size_t bytes, std::uint64_t offset) {
  auto* to = static_cast<std::byte*>(memory);
  return moved(to, bytes, Intent::write, "load()", [&](std::size_t done, std::size_t piece) {
    return ::pread(fd, to + done, piece, static_cast<off_t>(offset + done));
  });
}

std::size_t store(int fd, const void* memory, std::size_t bytes, std::uint64_t offset) {
  const auto* from = static_cast<const std::byte*>(memory);
  return moved(from, bytes, Intent::read, "store()", [&](std::size_t done, std::size_t piece) {
    return ::pwrite(fd, from + done, piece, static_cast<off_t>(offset + done));
  });
}

}  // namespace dsm
