// Shared memory and system calls, which do not fault pages in.
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <optional>
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
  throw Error(std::string(call) +
              ": part of the range is shared memory and part is not, or was never allocated");
}

// Faults in, one by one, what this node may not use yet.
void fault_in(Node& node, PageRun run, Intent intent) {
  const Access wanted = intent == Intent::write ? Access::write : Access::read;
  for (PageId page = run.first; page < run.end(); ++page) node.driver().fault(page, wanted);
}

// Chunks of the cache that may not be evicted now. Without a limit, nothing could be evicted for
// the pages that are still missing.
class Pins {
 public:
  bool try_take(std::uint64_t chunks, std::uint64_t most) {
    const std::scoped_lock hold(mutex_);
    if (taken_ + chunks > most) return false;
    taken_ += chunks;
    return true;
  }
  void take(std::uint64_t chunks, std::uint64_t most) {
    std::unique_lock hold(mutex_);
    given_.wait(hold, [&] { return taken_ + chunks <= most; });
    taken_ += chunks;
  }
  void give(std::uint64_t chunks) {
    {
      const std::scoped_lock hold(mutex_);
      taken_ -= chunks;
    }
    given_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable given_;
  std::uint64_t taken_ = 0;
};

// by Ensured, for as long as the program likes: half the cache, and a refusal beyond
Pins kept_pins;
// by pieces of load() and store(), for as long as one takes: a quarter, and the next waits
Pins moved_pins;

std::uint64_t cache_chunks(Node& node) {
  return node.cache_bytes() / (node.chunk_pages() * page_size());
}

// How many chunks hold other nodes' pages of the run.
std::uint64_t foreign_chunks(Node& node, PageRun run) {
  return node.driver().look([&](const core::Engine& engine) {
    std::uint64_t count = 0, counted_end = 0;
    for (PageId page = run.first; page < run.end();) {
      const core::Region* region = engine.layout().region_of(page);
      const PageRun part = region->same_home(page, run.end() - page);
      if (region->home(page) != node.self()) {
        const std::uint64_t first = std::max(page.value / node.chunk_pages(), counted_end);
        const std::uint64_t end = (part.end().value - 1) / node.chunk_pages() + 1;
        count += end > first ? end - first : 0;
        counted_end = std::max(counted_end, end);
      }
      page = part.end();
    }
    return count;
  });
}

// A piece that stays present while one system call works on it.
class Piece {
 public:
  Piece(Node& node, PageRun run, Intent intent)
      : node_(node), run_(run), chunks_(foreign_chunks(node, run)) {
    moved_pins.take(chunks_, cache_chunks(node) / 4);
    node_.driver().pin(run_);
    fault_in(node_, run_, intent);
  }
  ~Piece() {
    node_.driver().unpin(run_);
    moved_pins.give(chunks_);
  }
  Piece(const Piece&) = delete;
  Piece& operator=(const Piece&) = delete;

 private:
  Node& node_;
  const PageRun run_;
  const std::uint64_t chunks_;
};

// Moves up to `bytes` by `move(done)`, a pread or pwrite of the rest, which stops short where a
// page has gone meanwhile.
template <typename Move>
std::size_t moved(const std::byte* memory, std::size_t bytes, Intent intent, const char* call,
                  Move move) {
  Node& node = api::current(call);
  const bool shared = pages_of(node, memory, bytes, call).shared;
  std::size_t done = 0;
  while (done < bytes) {
    const std::size_t size = std::min(piece_bytes, bytes - done);
    std::optional<Piece> piece;
    if (shared) piece.emplace(node, pages_of(node, memory + done, size, call).run, intent);
    const ssize_t n = move(done, size);
    if (n > 0) {
      done += static_cast<std::size_t>(n);
    } else if (n == 0) {
      return done;
    } else if (errno != EINTR && !(errno == EFAULT && shared)) {
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
  const std::uint64_t chunks = foreign_chunks(node, range.run);
  if (!kept_pins.try_take(chunks, cache_chunks(node) / 2)) {
    const std::uint64_t chunk_mib = node.chunk_pages() * page_size() >> 20;
    throw Error("ensure() of a range with other nodes' pages in " + std::to_string(chunks) +
                " pieces of " + std::to_string(chunk_mib) +
                " MiB: together with what is ensured already that is more than half the cache "
                "(DSM_CACHE is " +
                std::to_string(node.cache_bytes() >> 20) +
                " MiB); use load() and store(), or a larger cache");
  }
  node.driver().pin(range.run);
  Ensured hold(range.run.first.value, range.run.count);
  fault_in(node, range.run, intent);
  return hold;
}

Ensured::Ensured(Ensured&& other) noexcept : first_page_(other.first_page_), pages_(other.pages_) {
  other.pages_ = 0;
}

Ensured::~Ensured() {
  Node* node = api::joined();  // none in a forked child
  if (pages_ == 0 || node == nullptr) return;
  const PageRun run{PageId(first_page_), pages_};
  node->driver().unpin(run);
  kept_pins.give(foreign_chunks(*node, run));
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
