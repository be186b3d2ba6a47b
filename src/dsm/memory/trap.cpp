#include "dsm/memory/trap.hpp"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <string>

#include "base/log.hpp"
#include "base/mutex.hpp"
#include "dsm/memory/address_space.hpp"
#include "dsm/memory/in_runtime.hpp"
#include "dsm/memory/machine_context.hpp"
#include "dsm/memory/page_guard.hpp"
#include "dsm/memory/signals.hpp"

namespace dsm::memory {
namespace {

// One watched space. Published by `begin`, and only then read by the signal handler; 0 is a free
// slot.
struct Watched {
  std::atomic<std::uintptr_t> begin{0};
  std::size_t bytes = 0;
  int signal = 0;
  pid_t process = 0;
  TrapHandler handler = nullptr;
  void* context = nullptr;
};

Watched watched[traps_max];
std::atomic<int> watched_end{0};  // no slot at or above it was ever used
Mutex install_mutex;
int installed_count DSM_GUARDED_BY(install_mutex) = 0;

const Watched* find(std::uintptr_t address) {
  const int end = watched_end.load(std::memory_order_acquire);
  for (int i = 0; i < end; ++i) {
    const std::uintptr_t begin = watched[i].begin.load(std::memory_order_acquire);
    if (begin != 0 && address - begin < watched[i].bytes) return &watched[i];
  }
  return nullptr;
}

// The default action, where the crash happened: a signal that an instruction caused comes again
// when that instruction is tried again, so a core file shows the program's own frame on top. One
// that was sent must be sent again.
void crash(int signal, const siginfo_t& info) {
  restore_default(signal);
  if (info.si_code <= 0) ::raise(signal);
}

void check_stack(const stack_t& alternate) {
  const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  const std::uintptr_t room = here - reinterpret_cast<std::uintptr_t>(alternate.ss_sp);
  if (alternate.ss_size == 0 || room >= alternate.ss_size || room >= trap_stack_min) return;
  log_line(
      "the alternate signal stack of this thread has %zu bytes, too few to fetch a shared page: "
      "give sigaltstack() at least %zu bytes, or leave SA_ONSTACK out of the SIGSEGV handler",
      alternate.ss_size, 2 * trap_stack_min);
  ::_exit(EXIT_FAILURE);
}

// True when the access may be tried again.
bool resolve(int signal, const siginfo_t& info, const ucontext_t& context) {
  const auto address = reinterpret_cast<std::uintptr_t>(info.si_addr);
  const bool not_mapped = signal == SIGSEGV && info.si_code == SEGV_MAPERR;
  const bool not_allowed =
      signal == SIGSEGV ? info.si_code == SEGV_ACCERR : info.si_code == BUS_ADRERR;
  if (!not_mapped && !not_allowed) return false;
  const Watched* space = find(address);
  if (space == nullptr) return false;
  if (not_mapped) {
    DSM_CHECK_WITH(space->process != ::getpid(), "a watched space is mapped", {"address", address});
    log_line(
        "a child process touched the shared space at %p: memory shared between nodes does not "
        "exist in a forked child; copy what it needs before fork()",
        info.si_addr);
    restore_default(signal);
    return true;
  }
  const Access wanted = wanted_access(context);
  if (signal != space->signal || wanted == Access::none) return false;
  DSM_CHECK_WITH(!InRuntime::here(), "the runtime never touches the program view",
                 {"address", address}, {"write", wanted == Access::write});
  check_stack(context.uc_stack);
  InRuntime in_runtime;
  return space->handler(space->context, address, wanted);
}

// Does for the program's action what the kernel would have done.
void pass_on(int signal, siginfo_t* info, void* context) {
  const struct sigaction action = take_program_action(signal);
  const bool sent = info->si_code <= 0;
  if (action.sa_handler == SIG_IGN && sent) return;
  if (action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN) return crash(signal, *info);
  sigset_t blocked = action.sa_mask;
  if ((action.sa_flags & SA_NODEFER) == 0) sigaddset(&blocked, signal);
  set_mask(SIG_BLOCK, blocked);  // undone by the return from this signal
  if ((action.sa_flags & SA_SIGINFO) != 0) {
    action.sa_sigaction(signal, info, context);
  } else {
    action.sa_handler(signal);
  }
}

void on_signal(int signal, siginfo_t* info, void* context) {
  const int error = errno;
  if (!resolve(signal, *info, *static_cast<ucontext_t*>(context))) pass_on(signal, info, context);
  errno = error;
}

}  // namespace

const char* name(TrapKind kind) {
  return kind == TrapKind::uffd ? "uffd" : "mprotect";
}

Status TrapProbe::scans_with(TrapKind kind) const {
  if (kind == TrapKind::uffd) return scans;
  return Status(Code::unavailable, std::string("traps by ") + name(kind) + " are the only watch");
}

TrapProbe probe_traps() {
  TrapProbe probe{.uffd = probe_uffd(), .mprotect = probe_mprotect(), .scans = {}};
  probe.scans = probe.uffd.ok() ? probe_scans() : probe.uffd;
  return probe;
}

Result<Trap> Trap::install(const AddressSpace& space, TrapHandler handler, void* context) {
  MutexLock lock(install_mutex);
  int slot = 0;
  while (slot < traps_max && watched[slot].begin.load(std::memory_order_relaxed) != 0) ++slot;
  if (slot == traps_max)
    return Status(Code::exhausted,
                  "this process watches " + std::to_string(traps_max) + " shared spaces already");

  watched[slot].bytes = space.bytes();
  watched[slot].signal = space.trap_kind() == TrapKind::uffd ? SIGBUS : SIGSEGV;
  watched[slot].process = ::getpid();
  watched[slot].handler = handler;
  watched[slot].context = context;
  watched[slot].begin.store(space.base(), std::memory_order_release);
  if (watched_end.load(std::memory_order_relaxed) <= slot)
    watched_end.store(slot + 1, std::memory_order_release);

  if (installed_count++ == 0) install_handler(on_signal);
  sigset_t traps;
  sigemptyset(&traps);
  for (const int signal : trap_signals) sigaddset(&traps, signal);
  set_mask(SIG_UNBLOCK, traps);
  return Trap(slot);
}

Trap::~Trap() {
  if (slot_ < 0) return;
  MutexLock lock(install_mutex);
  watched[slot_].begin.store(0, std::memory_order_release);
  if (--installed_count == 0) remove_handler();
}

}  // namespace dsm::memory
