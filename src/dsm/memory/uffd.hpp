// A userfaultfd of this process, and what is registered with it. Internal to this folder.
#pragma once

#include <cstddef>
#include <string>

#include "base/status.hpp"
#include "dsm/memory/uffd_constants.hpp"

namespace dsm::memory {

// In SIGBUS mode, for shared memory, with these features beside.
Result<int> open_uffd(__u64 features = 0);

inline uffdio_range uffd_range(const std::byte* begin, std::size_t bytes) {
  return {.start = reinterpret_cast<std::uintptr_t>(begin), .len = bytes};
}

// With all modes that a view needs (trap_uffd.cpp). What was write-protected there before is not
// any more. Ok, or why not.
Status uffd_register(int fd, const std::byte* begin, std::size_t bytes);
// From here on nothing of it traps. False: the kernel has no more mappings to give.
bool uffd_unregister(int fd, const std::byte* begin, std::size_t bytes);

Status uffd_unavailable(const std::string& why);
std::string uffd_error(const char* what);  // with what errno says

}  // namespace dsm::memory
