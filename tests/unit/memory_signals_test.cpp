// Traps beside a program's own signal handling, crashes and children.
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

#include "dsm/memory/in_runtime.hpp"
#include "memory_support.hpp"

namespace dsm::memory {
namespace {

// A sanitizer's own handler is the program's action there: it reports and exits.
#if DSM_SANITIZED
#define EXPECT_CRASH(statement) EXPECT_DEATH(statement, "SEGV|BUS|DEADLYSIGNAL")
#else
#define EXPECT_CRASH(statement) EXPECT_EXIT(statement, testing::KilledBySignal(SIGSEGV), "^$")
#endif

volatile int* volatile null_pointer = nullptr;

__attribute__((no_sanitize("undefined"))) void write_to(volatile int* address) {
  *address = 1;
}

// The program's own handler: notes what it got and leaves by a jump, as programs do that survive
// their mistakes.
sigjmp_buf recovery;
volatile sig_atomic_t caught_signal;
void* volatile caught_address;

void recover(int signal, siginfo_t* info, void*) {
  caught_signal = signal;
  caught_address = info->si_addr;
  siglongjmp(recovery, 1);
}

void recover_plainly(int signal) {
  caught_signal = signal;
  siglongjmp(recovery, 1);
}

struct sigaction recovering(int flags = 0) {
  struct sigaction action = {};
  action.sa_sigaction = recover;
  action.sa_flags = SA_SIGINFO | flags;
  sigemptyset(&action.sa_mask);
  return action;
}

// True when writing there ended in the program's handler.
bool write_is_caught(volatile int* address) {
  caught_signal = 0;
  if (sigsetjmp(recovery, 1) == 0) {
    write_to(address);
    return false;
  }
  return true;
}

// Restores the action that a test changes.
class ActionGuard {
 public:
  explicit ActionGuard(int signal) : signal_(signal) { ::sigaction(signal, nullptr, &before_); }
  ~ActionGuard() { ::sigaction(signal_, &before_, nullptr); }
  ActionGuard(const ActionGuard&) = delete;
  ActionGuard& operator=(const ActionGuard&) = delete;

 private:
  int signal_;
  struct sigaction before_;
};

TEST_P(EachTrap, AHandlerInstalledBeforeGetsTheProgramsCrashes) {
  ActionGuard guard(SIGSEGV);
  const struct sigaction action = recovering();
  ASSERT_EQ(::sigaction(SIGSEGV, &action, nullptr), 0);
  {
    TrappedSpace space(GetParam(), 2);
    for (int i = 0; i < 3; ++i) {
      EXPECT_TRUE(write_is_caught(null_pointer));
      EXPECT_EQ(caught_signal, SIGSEGV);
      EXPECT_EQ(caught_address, nullptr);
      space->close(one(0));
      space.word(0) = 1;
    }
    EXPECT_EQ(space.write_traps(), 3);
  }
  struct sigaction after = {};
  ::sigaction(SIGSEGV, nullptr, &after);
  EXPECT_EQ(after.sa_sigaction, recover)
      << "the program's handler is back when the last space is gone";
  EXPECT_TRUE(write_is_caught(null_pointer));
}

TEST_P(EachTrap, AHandlerInstalledAfterGetsTheProgramsCrashesAndTrapsGoOn) {
  ActionGuard guard(SIGSEGV);
  ActionGuard bus_guard(SIGBUS);
  TrappedSpace space(GetParam(), 2);
  for (const int signal : {SIGSEGV, SIGBUS}) {
    const struct sigaction action = recovering();
    ASSERT_EQ(::sigaction(signal, &action, nullptr), 0);
    struct sigaction seen = {};
    ASSERT_EQ(::sigaction(signal, &action, &seen), 0);
    EXPECT_EQ(seen.sa_sigaction, recover) << "the program sees its own action";
  }
  space.word(0) = 1;
  EXPECT_TRUE(write_is_caught(null_pointer));
  space.word(1) = 2;
  EXPECT_EQ(space.write_traps(), 2);
  EXPECT_EQ(space.frame_word(1), 2u);
}

TEST_P(EachTrap, TheOldSignalFunctionWorksToo) {
  ActionGuard guard(SIGSEGV);
  TrappedSpace space(GetParam(), 2);
  ASSERT_NE(::signal(SIGSEGV, recover_plainly), SIG_ERR);
  EXPECT_EQ(::signal(SIGSEGV, recover_plainly), recover_plainly);
  EXPECT_TRUE(write_is_caught(null_pointer));
  space.word(0) = 1;
  EXPECT_EQ(space.write_traps(), 1);
}

TEST_P(EachTrap, AnAccessThatNoRegionCoversIsTheProgramsCrash) {
  ActionGuard guard(SIGSEGV);
  ActionGuard bus_guard(SIGBUS);
  TrappedSpace space(GetParam(), 2);
  space.refuse = true;
  for (const int signal : {SIGSEGV, SIGBUS}) {
    const struct sigaction action = recovering();
    ASSERT_EQ(::sigaction(signal, &action, nullptr), 0);
  }
  auto* address = reinterpret_cast<volatile int*>(space->program(PageId(1)) + 12);
  EXPECT_TRUE(write_is_caught(address));
  EXPECT_EQ(caught_address, const_cast<int*>(address));
}

TEST_P(EachTrap, AHandlerWithResethandRunsOnce) {
  ActionGuard guard(SIGSEGV);
  TrappedSpace space(GetParam(), 1);
  const struct sigaction action = recovering(SA_RESETHAND);
  ASSERT_EQ(::sigaction(SIGSEGV, &action, nullptr), 0);
  EXPECT_TRUE(write_is_caught(null_pointer));
  struct sigaction now = {};
  ::sigaction(SIGSEGV, nullptr, &now);
  EXPECT_EQ(now.sa_handler, SIG_DFL);
  space.word(0) = 1;
  EXPECT_EQ(space.frame_word(0), 1u);
}

TEST_P(EachTrap, AnIgnoredSignalThatIsSentIsIgnored) {
  ActionGuard guard(SIGSEGV);
  TrappedSpace space(GetParam(), 1);
  ::signal(SIGSEGV, SIG_IGN);
  EXPECT_EQ(::raise(SIGSEGV), 0);
  space.word(0) = 1;
  EXPECT_EQ(space.write_traps(), 1);
}

void block_everything(int (*function)(int, const sigset_t*, sigset_t*), int how) {
  sigset_t all;
  sigfillset(&all);
  ASSERT_EQ(function(how, &all, nullptr), 0);
}

TEST_P(EachTrap, AThreadThatBlocksEverySignalStillTraps) {
  TrappedSpace space(GetParam(), 4);
  std::jthread([&space] {
    block_everything(::pthread_sigmask, SIG_BLOCK);
    space.word(0) = 1;
    block_everything(::pthread_sigmask, SIG_SETMASK);
    space.word(1) = 1;
    block_everything(::sigprocmask, SIG_SETMASK);
    space.word(2) = 1;
    sigset_t now;
    ::pthread_sigmask(SIG_SETMASK, nullptr, &now);
    EXPECT_EQ(sigismember(&now, SIGUSR1), 1) << "other signals are blocked as asked";
    EXPECT_EQ(sigismember(&now, SIGSEGV), 0);
    EXPECT_EQ(sigismember(&now, SIGBUS), 0);
  }).join();
  EXPECT_EQ(space.write_traps(), 3);
}

TrappedSpace* space_of_handler;

TEST_P(EachTrap, AHandlerOfAnotherSignalMayTrapWhateverItsMask) {
  if (DSM_TSAN != 0) GTEST_SKIP() << "ThreadSanitizer runs every handler with all signals blocked";
  ActionGuard guard(SIGUSR1);
  TrappedSpace space(GetParam(), 1);
  space_of_handler = &space;
  struct sigaction action = {};
  action.sa_handler = [](int) { space_of_handler->word(0) = 11; };
  sigfillset(&action.sa_mask);
  ASSERT_EQ(::sigaction(SIGUSR1, &action, nullptr), 0);
  ::raise(SIGUSR1);
  EXPECT_EQ(space.frame_word(0), 11u);
  EXPECT_EQ(space.write_traps(), 1);
}

using EachTrapDeathTest = EachTrap;
INSTANTIATE_TEST_SUITE_P(Memory, EachTrapDeathTest,
                         testing::Values(TrapKind::uffd, TrapKind::mprotect), trap_name);

TEST_P(EachTrapDeathTest, ANullPointerIsTheUsualCrash) {
  EXPECT_CRASH({
    TrappedSpace space(GetParam(), 1);
    space.word(0) = 1;
    write_to(null_pointer);
  });
}

TEST_P(EachTrapDeathTest, ACrashSignalThatIsSentKills) {
  EXPECT_CRASH({
    TrappedSpace space(GetParam(), 1);
    ::raise(SIGSEGV);
  });
}

TEST_P(EachTrapDeathTest, ACrashInsideTheProgramsHandlerKills) {
  EXPECT_EXIT(
      {
        TrappedSpace space(GetParam(), 1);
        ::signal(SIGSEGV, [](int) { write_to(null_pointer); });
        write_to(null_pointer);
      },
      testing::KilledBySignal(SIGSEGV), "");
}

TEST_P(EachTrapDeathTest, RunningDataIsACrashAndNotATrap) {
  EXPECT_CRASH({
    TrappedSpace space(GetParam(), 1);
    space.word(0) = 0;
    reinterpret_cast<void (*)()>(space->program(PageId(0)))();
  });
}

TEST_P(EachTrapDeathTest, AChildThatTouchesTheSpaceGetsALine) {
  TrappedSpace space(GetParam(), 1);
  space.word(0) = 1;
  EXPECT_EXIT(space.word(0) = 2, testing::KilledBySignal(SIGSEGV),
              "a child process touched the shared space at 0x");
  EXPECT_EQ(space.word(0), 1u);
}

TEST_P(EachTrapDeathTest, ATrapOfTheRuntimeItselfIsABug) {
  TrappedSpace outside(GetParam(), 1);
  EXPECT_EXIT(
      {
        TrappedSpace space(GetParam(), 1);
        InRuntime in_runtime;
        space.word(0) = 1;
      },
      testing::KilledBySignal(SIGABRT), "the runtime never touches the program view");
}

#if !DSM_SANITIZED
volatile int depth_max = 1 << 30;
__attribute__((noinline)) int overflow_stack(int n) {
  volatile char frame[4096];
  frame[0] = static_cast<char>(n);
  if (n == depth_max) return 0;
  return overflow_stack(n + 1) + frame[0];
}

void set_alternate_stack(std::size_t bytes) {
  stack_t stack = {};
  stack.ss_sp = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  stack.ss_size = bytes;
  ::sigaltstack(&stack, nullptr);
}

TEST_P(EachTrapDeathTest, AStackOverflowReachesTheProgramsHandlerOnItsAlternateStack) {
  constexpr int survived = 42;
  EXPECT_EXIT(
      {
        TrappedSpace space(GetParam(), 1);
        set_alternate_stack(std::size_t{64} << 10);
        struct sigaction action = {};
        action.sa_handler = [](int) { ::_exit(survived); };
        action.sa_flags = SA_ONSTACK;
        ::sigaction(SIGSEGV, &action, nullptr);
        space.word(0) = 1;
        overflow_stack(0);
      },
      testing::ExitedWithCode(survived), "");
}

TEST_P(EachTrapDeathTest, ASmallAlternateStackIsEnoughOrNamed) {
  const auto touch = [] {
    TrappedSpace space(GetParam(), 1);
    set_alternate_stack(std::size_t{12} << 10);
    struct sigaction action = {};
    action.sa_handler = [](int) {};
    action.sa_flags = SA_ONSTACK;
    ::sigaction(SIGSEGV, &action, nullptr);
    space.word(0) = 1;
    ::_exit(0);
  };
  if (GetParam() == TrapKind::uffd) {
    EXPECT_EXIT(touch(), testing::ExitedWithCode(0), "^$");  // traps are SIGBUS there
  } else {
    EXPECT_EXIT(touch(), testing::ExitedWithCode(EXIT_FAILURE),
                "alternate signal stack of this thread has 12288 bytes");
  }
}
#endif

}  // namespace
}  // namespace dsm::memory
