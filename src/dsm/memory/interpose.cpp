// Stands in for libc's sigaction, signal, sigprocmask and pthread_sigmask, so that a program's own
// signal handling and the traps live together whichever was set up first. Behind them: libc's
// functions, or a sanitizer's, whichever the dynamic linker finds next. What is not covered:
// sigset() and its kin from System V, and masks given to ppoll() or sigsuspend(), which hold only
// while the thread is in the kernel.
//
// A sanitizer's runtime may call these functions before it is ready for instrumented code, so this
// file is compiled without sanitizers, and uses no inline function that another file might have
// compiled with them (hence no std::atomic).
#include <dlfcn.h>
#include <pthread.h>

#include "base/check.hpp"
#include "dsm/memory/signals.hpp"

#define DSM_REPLACES_LIBC extern "C" __attribute__((visibility("default")))

namespace dsm::memory {
namespace {

// The function that would have been called without us. Looked up before main, since dlsym may take
// locks.
template <typename Function>
class Next {
 public:
  explicit constexpr Next(const char* name) : name_(name) {}

  Function* get() {
    Function* found = __atomic_load_n(&function_, __ATOMIC_RELAXED);
    if (found != nullptr) return found;
    found = reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name_));
    DSM_CHECK(found != nullptr, "libc has the functions that are replaced here");
    __atomic_store_n(&function_, found, __ATOMIC_RELAXED);
    return found;
  }

 private:
  const char* name_;
  Function* function_ = nullptr;
};

constinit Next<int(int, const struct sigaction*, struct sigaction*)> next_sigaction("sigaction");
constinit Next<void (*(int, void (*)(int)))(int)> next_signal("signal");
constinit Next<int(int, const sigset_t*, sigset_t*)> next_sigprocmask("sigprocmask");
constinit Next<int(int, const sigset_t*, sigset_t*)> next_pthread_sigmask("pthread_sigmask");

__attribute__((constructor)) void look_up_early() {
  next_sigaction.get();
  next_signal.get();
  next_sigprocmask.get();
  next_pthread_sigmask.get();
}

// Held with every signal blocked, so that a handler that calls sigaction() cannot meet its own
// thread holding it.
class SignalLock {
 public:
  SignalLock() {
    sigset_t all;
    sigfillset(&all);
    next_pthread_sigmask.get()(SIG_SETMASK, &all, &before_);
    while (__atomic_test_and_set(&held_, __ATOMIC_ACQUIRE)) {
    }
  }
  ~SignalLock() {
    __atomic_clear(&held_, __ATOMIC_RELEASE);
    next_pthread_sigmask.get()(SIG_SETMASK, &before_, nullptr);
  }
  SignalLock(const SignalLock&) = delete;
  SignalLock& operator=(const SignalLock&) = delete;

 private:
  static inline constinit bool held_ = false;
  sigset_t before_;
};

// Guarded by SignalLock.
using Handler = void (*)(int, siginfo_t*, void*);
constinit Handler installed = nullptr;
struct sigaction program_segv = {};
struct sigaction program_bus = {};

struct sigaction& program_action(int signal) {
  return signal == SIGSEGV ? program_segv : program_bus;
}

// Ours in the kernel. The alternate stack only where the program's own handler wants it, and only
// for SIGSEGV: that is how a stack overflow is survived, and such stacks are often too small to
// fetch a page on.
struct sigaction our_action(int signal) {
  struct sigaction action = {};
  action.sa_sigaction = installed;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  if (signal == SIGSEGV) action.sa_flags |= program_segv.sa_flags & SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  return action;
}

sigset_t without_trap_signals(sigset_t set) {
  sigdelset(&set, SIGSEGV);
  sigdelset(&set, SIGBUS);
  return set;
}

int mask(Next<int(int, const sigset_t*, sigset_t*)>& next, int how, const sigset_t* set,
         sigset_t* old) {
  if (set == nullptr || how == SIG_UNBLOCK) return next.get()(how, set, old);
  const sigset_t allowed = without_trap_signals(*set);
  return next.get()(how, &allowed, old);
}

int set_program_action(int signal, const struct sigaction* action, struct sigaction* old) {
  SignalLock lock;
  if (installed == nullptr) return next_sigaction.get()(signal, action, old);
  struct sigaction& program = program_action(signal);
  const struct sigaction before = program;
  if (action != nullptr) {
    program = *action;
    const struct sigaction ours = our_action(signal);
    next_sigaction.get()(signal, &ours, nullptr);
  }
  if (old != nullptr) *old = before;
  return 0;
}

}  // namespace

void install_handler(Handler handler) {
  SignalLock lock;
  installed = handler;
  for (const int signal : trap_signals) {
    // The program's action first: whether it wants the alternate stack decides about ours.
    next_sigaction.get()(signal, nullptr, &program_action(signal));
    const struct sigaction ours = our_action(signal);
    next_sigaction.get()(signal, &ours, nullptr);
  }
}

void remove_handler() {
  SignalLock lock;
  installed = nullptr;
  for (const int signal : trap_signals)
    next_sigaction.get()(signal, &program_action(signal), nullptr);
}

struct sigaction take_program_action(int signal) {
  SignalLock lock;
  struct sigaction& program = program_action(signal);
  const struct sigaction action = program;
  if ((action.sa_flags & SA_RESETHAND) != 0) {
    program.sa_handler = SIG_DFL;
    program.sa_flags &= ~SA_SIGINFO;
  }
  return action;
}

void restore_default(int signal) {
  struct sigaction action = {};
  action.sa_handler = SIG_DFL;
  next_sigaction.get()(signal, &action, nullptr);
}

void set_mask(int how, const sigset_t& set) {
  next_pthread_sigmask.get()(how, &set, nullptr);
}

}  // namespace dsm::memory

using namespace dsm::memory;  // NOLINT: the functions below must be global

DSM_REPLACES_LIBC int sigaction(int signal, const struct sigaction* action,
                                struct sigaction* old) noexcept {
  struct sigaction allowed;
  if (action != nullptr) {
    allowed = *action;
    allowed.sa_mask = without_trap_signals(action->sa_mask);
    action = &allowed;
  }
  if (is_trap_signal(signal)) return set_program_action(signal, action, old);
  return next_sigaction.get()(signal, action, old);
}

DSM_REPLACES_LIBC void (*signal(int signal, void (*handler)(int)) noexcept)(int) {
  if (!is_trap_signal(signal)) return next_signal.get()(signal, handler);
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  struct sigaction old;
  return set_program_action(signal, &action, &old) == 0 ? old.sa_handler : SIG_ERR;
}

DSM_REPLACES_LIBC int sigprocmask(int how, const sigset_t* set, sigset_t* old) noexcept {
  return mask(next_sigprocmask, how, set, old);
}

DSM_REPLACES_LIBC int pthread_sigmask(int how, const sigset_t* set, sigset_t* old) noexcept {
  return mask(next_pthread_sigmask, how, set, old);
}
