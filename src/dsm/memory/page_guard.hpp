// PageGuard: what the program view of some bytes allows; one implementation for each TrapKind.
// Internal to this folder.
#pragma once

#include <cstddef>
#include <memory>

#include "base/status.hpp"
#include "base/types.hpp"

namespace dsm::memory {

// All calls: whole pages inside the guarded view, from any thread, in signal context too. See
// AddressSpace for the contract.
class PageGuard {
 public:
  virtual ~PageGuard() = default;

  // REQUIRES for `access` and `to`: read or write.
  virtual void open(std::byte* begin, std::size_t bytes, Access access) = 0;
  virtual void close(std::byte* begin, std::size_t bytes) = 0;
  // Between read and write.
  virtual void change(std::byte* begin, std::size_t bytes, Access to) = 0;
};

// Guards a mapping whose pages are all closed. The mapping outlives the guard.
Result<std::unique_ptr<PageGuard>> guard_by_uffd(std::byte* view, std::size_t bytes);
Result<std::unique_ptr<PageGuard>> guard_by_mprotect(std::byte* view, std::size_t bytes);

// Ok, or why this machine has not got the mechanism; tried on a scratch mapping.
Status probe_uffd();
Status probe_mprotect();

}  // namespace dsm::memory
