// Shared memory and system calls. Included by <dsm/dsm.hpp>.
#pragma once

#include <cstddef>
#include <cstdint>

#include <dsm/job.hpp>

namespace dsm {

enum class Intent { read, write };

// System calls do not fault pages in: given an absent page they fail with EFAULT, or stop short
// without a word. While an Ensured lives, [memory, memory + bytes) is present on this node, and
// writable if asked, so long as no other thread of the node acquires a lock or passes a barrier.
class DSM_API Ensured {
 public:
  Ensured(Ensured&& other) noexcept;
  Ensured& operator=(Ensured&&) = delete;
  ~Ensured();

 private:
  friend DSM_API Ensured ensure(const void*, std::size_t, Intent);
  Ensured(std::uint64_t first_page, std::uint64_t pages) : first_page_(first_page), pages_(pages) {}
  std::uint64_t first_page_;
  std::uint64_t pages_;
};

// Throws Error when a part of the range is not shared memory, or when all that this node has
// ensured holds more foreign pages than half the cache (DSM_CACHE, counted in chunks of 2 MiB):
// move such ranges with load() and store(), which work in pieces. Ranges outside the shared memory
// cost nothing and are left alone.
[[nodiscard]] DSM_API Ensured ensure(const void* memory, std::size_t bytes, Intent intent);

// Bytes [offset, offset + bytes) of a file into shared memory, and back. Any size. They return the
// bytes moved, fewer than asked only at the end of the file, and throw Error with the system's
// reason otherwise.
DSM_API std::size_t load(int fd, void* memory, std::size_t bytes, std::uint64_t offset);
DSM_API std::size_t store(int fd, const void* memory, std::size_t bytes, std::uint64_t offset);

}  // namespace dsm
