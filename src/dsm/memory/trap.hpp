// Traps: how an access to a page that the program may not touch now reaches the runtime, in the
// thread that made it.
//
// Two mechanisms. `uffd`: userfaultfd on shared memory in SIGBUS mode (Linux 6.4 or later).
// `mprotect`: page protections and SIGSEGV, everywhere. Both signals are always caught; what is not
// a trap goes on to the user's own handler, or to the default action in the faulting instruction
// itself, so that a crash of the program stays the program's crash. The user's handlers are found
// also when they are installed after ours: see interpose.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/status.hpp"
#include "base/types.hpp"

namespace dsm::memory {

class AddressSpace;

enum class TrapKind : std::uint8_t { uffd, mprotect };
inline constexpr int trap_kinds = 2;
const char* name(TrapKind);

// How a page that may be read is watched: its first write traps; or the kernel notes it and is
// asked (AddressSpace::take_written), which is for traps by uffd only, on Linux 6.7 or later.
enum class Watching : std::uint8_t { traps, scans };

// What this machine can do, tried on a scratch mapping. A Status that is not ok says why, in words
// for the user.
struct TrapProbe {
  Status uffd;
  Status mprotect;
  Status scans;  // beside uffd

  const Status& of(TrapKind kind) const { return kind == TrapKind::uffd ? uffd : mprotect; }
  TrapKind best() const { return uffd.ok() ? TrapKind::uffd : TrapKind::mprotect; }
  // Ok, or why pages cannot be scanned beside these traps.
  Status scans_with(TrapKind kind) const;
};
TrapProbe probe_traps();

// Called in the thread that made the access, in signal context, with InRuntime held: no allocation,
// no program-view access. `wanted` is read or write, as the processor reported it. True: the access
// may be tried again. False: it is the program's own mistake (an address that no region covers),
// and is treated as any other crash of the program.
using TrapHandler = bool (*)(void* context, std::uintptr_t address, Access wanted);

// How many spaces one process may watch at a time (tests run several nodes in one process).
inline constexpr int traps_max = 64;
// The fault path needs this much stack; a smaller alternate signal stack ends the program with a
// line that says so.
inline constexpr std::size_t trap_stack_min = 16 * 1024;

// Watches a space for as long as it lives. Move-only; made and destroyed by one thread at a time.
// The thread that installs, and threads that it starts later, have SIGBUS and SIGSEGV unblocked.
class Trap {
 public:
  // REQUIRES: the space outlives the Trap.
  static Result<Trap> install(const AddressSpace& space, TrapHandler handler, void* context);

  Trap(Trap&& other) noexcept : slot_(std::exchange(other.slot_, -1)) {}
  Trap& operator=(Trap&& other) noexcept {
    std::swap(slot_, other.slot_);
    return *this;
  }
  // REQUIRES: no thread accesses the space any more.
  ~Trap();

 private:
  explicit Trap(int slot) : slot_(slot) {}

  int slot_;
};

}  // namespace dsm::memory
