#include "dsmrun_front.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "dsm/launch/socket.hpp"
#include "dsmrun_descendants.hpp"
#include "dsmrun_keeper.hpp"

namespace dsm::run {
namespace {

// A user's signal goes to the keeper; the terminal's has reached it already.
void pass_on(const siginfo_t& signal, pid_t keeper) {
  if (signal.si_code != SI_KERNEL) ::kill(keeper, signal.si_signo);
  if (signal.si_signo == SIGTSTP) ::raise(SIGSTOP);  // the shell waits for that
}

// The exit code, once the keeper has ended.
int attend(pid_t keeper, const sigset_t& signals) {
  for (;;) {
    siginfo_t signal{};
    if (::sigwaitinfo(&signals, &signal) < 0) continue;
    if (signal.si_signo != SIGCHLD) {
      pass_on(signal, keeper);
      continue;
    }
    int status = 0;
    if (::waitpid(keeper, &status, WNOHANG) != keeper) continue;
    if (WIFEXITED(status)) return WEXITSTATUS(status);
    if (!WIFSIGNALED(status)) continue;
    ::dprintf(STDERR_FILENO,
              "dsmrun: its keeper (process %d) was killed by signal %d; the job is ended\n", keeper,
              WTERMSIG(status));
    return exit_signal_base + WTERMSIG(status);
  }
}

}  // namespace

int run_job(const Options& options) {
  sigset_t signals = forwarded_signals();
  ::sigaddset(&signals, SIGCHLD);
  sigset_t before;
  ::sigprocmask(SIG_BLOCK, &signals, &before);
  ::signal(SIGCHLD, SIG_DFL);  // ignored, it would hide how children end
  become_subreaper();

  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    ::dprintf(STDERR_FILENO, "dsmrun: no pipe: %s: raise ulimit -n\n", std::strerror(errno));
    return 1;
  }
  Fd front_alive(ends[0]);
  Fd alive(ends[1]);
  const pid_t keeper = ::fork();
  if (keeper < 0) {
    ::dprintf(STDERR_FILENO, "dsmrun: no process: %s: raise ulimit -u\n", std::strerror(errno));
    return 1;
  }
  if (keeper == 0) {
    alive.reset();
    return keep_job(options, std::move(front_alive), before);
  }
  front_alive.reset();
  const int code = attend(keeper, signals);
  kill_descendants();
  return code;
}

}  // namespace dsm::run
