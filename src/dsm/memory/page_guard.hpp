// PageGuard: what the program view of some bytes allows; one implementation for each TrapKind.
// Internal to this folder.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "base/status.hpp"
#include "base/types.hpp"
#include "dsm/memory/trap.hpp"

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

  // As in AddressSpace, of a guard that may scan. One that may not has only pages that trap.
  virtual bool watch_by_scans(std::byte*, std::size_t) { return false; }
  virtual void watch_by_traps(std::byte*, std::size_t) {}
  virtual void take_written(std::byte*, std::size_t, std::vector<PageRun>&) {}
};

// Guards a mapping whose pages are all closed. The mapping outlives the guard.
Result<std::unique_ptr<PageGuard>> guard_by_uffd(std::byte* view, std::size_t bytes, Watching most);
Result<std::unique_ptr<PageGuard>> guard_by_mprotect(std::byte* view, std::size_t bytes);

// Ok, or why this machine has not got the mechanism; tried on a scratch mapping.
Status probe_uffd();
Status probe_scans();
Status probe_mprotect();

}  // namespace dsm::memory
