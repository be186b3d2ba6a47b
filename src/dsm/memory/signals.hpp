// The two signals that carry traps, and the program's own actions for them, which traps must not
// disturb. Internal.
//
// While our handler is installed, sigaction() and signal() for SIGSEGV and SIGBUS only record and
// return what the program wants (interpose.cpp); pthread_sigmask() and sigprocmask() never block
// the two, since the kernel kills a thread that traps on a blocked signal. Everything here may be
// called in a signal handler.
#pragma once

#include <csignal>

namespace dsm::memory {

inline constexpr int trap_signals[] = {SIGSEGV, SIGBUS};
inline constexpr bool is_trap_signal(int signal) {
  return signal == SIGSEGV || signal == SIGBUS;
}

// Puts `handler` in front of the program's actions; takes it away again.
void install_handler(void (*handler)(int, siginfo_t*, void*));
void remove_handler();

// What the program does with this crash signal now. An action made with SA_RESETHAND is reset,
// since it is about to run.
struct sigaction take_program_action(int signal);

// Gives the signal its default action in the kernel itself: the next one ends the process.
void restore_default(int signal);

// Changes this thread's mask without the rule that the trap signals are never blocked.
void set_mask(int how, const sigset_t& set);

}  // namespace dsm::memory
