// dsmrun with real processes: signals, failures, and how a job ends without leaving anything
// behind.
#include <gtest/gtest.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "run_dsmrun.hpp"

namespace dsm::test {
namespace {

TEST(Dsmrun, TheFirstFailureEndsTheJobWithItsCode) {
  const Outcome o = run({"-n", "3", actor(), "exit", "1", "42"});
  EXPECT_EQ(o.code, 42);
  expect_one_line(o.err, {"rank 1 of 3", "actor", "exited with code 42"});
}

TEST(Dsmrun, RanksThatIgnoreSigtermAreKilled) {
  const Outcome o = run({"-n", "2", actor(), "stubborn", "1"});
  EXPECT_EQ(o.code, 3);
  expect_one_line(o.err, {"rank 1 of 2", "code 3"});
}

TEST(Dsmrun, AKilledRankIsNamedWithItsSignalAndTheOthersAreTold) {
  Process process(dsmrun({"-n", "3", actor(), "wait"}));
  const auto pids = wait_for_pids(process, "joined", 3);  // sorted by line: by rank
  ASSERT_EQ(pids.size(), 3u);
  ASSERT_EQ(::kill(pids[1], SIGKILL), 0);
  EXPECT_EQ(process.wait(), 128 + SIGKILL);
  EXPECT_TRUE(has(process.err(), "dsmrun: rank 1 of 3")) << process.err();
  EXPECT_TRUE(has(process.err(), "was killed by SIGKILL")) << process.err();
  for (const char* line : {"dsm[0]: lost node 1 (", "dsm[2]: lost node 1 ("})
    EXPECT_TRUE(has(process.err(), line)) << process.err();
  for (const pid_t pid : pids) EXPECT_TRUE(is_gone(pid));
}

TEST(Dsmrun, ARankThatLeavesWithoutAWordIsNamedAlthoughItsCodeIsZero) {
  const Outcome o = run({"-n", "3", actor(), "leave", "2"});
  EXPECT_EQ(o.code, 1);
  EXPECT_TRUE(has(o.err, "dsmrun: rank 2 of 3")) << o.err;
  EXPECT_TRUE(has(o.err, "had not left the job")) << o.err;
}

TEST(Dsmrun, ARankThatDoesNotJoinIsNamed) {
  const Outcome o = run({"-n", "3", actor(), "absent", "1"}, {{"DSM_JOIN_TIMEOUT", "1"}});
  EXPECT_EQ(o.code, 1);
  EXPECT_TRUE(has(o.err, "dsmrun: rank 1 of 3 did not join within 1 s")) << o.err;
}

TEST(Dsmrun, RanksOfDifferentSizesOfSpaceAreNamed) {
  const Outcome o = run({"-n", "2", "/bin/sh", "-c",
                         "test $DSM_RANK = 0 || export DSM_SPACE=32G; exec \"$0\" job", actor()});
  EXPECT_EQ(o.code, 1);
  for (const char* word : {"dsmrun: nodes of different builds or sizes of space", "rank 0",
                           "rank 1", "34359738368", "68719476736"})
    EXPECT_TRUE(has(o.err, word)) << word << " in " << o.err;
}

TEST(Dsmrun, ATimeoutEndsTheJob) {
  const Outcome o = run({"-n", "2", "--timeout", "1", actor(), "sleep"});
  EXPECT_EQ(o.code, 124);
  expect_one_line(o.err, {"--timeout", "1 s"});
}

TEST(Dsmrun, SignalsGoToAllRanks) {
  Process process(dsmrun({"-n", "2", "-p", actor(), "signals"}));
  for (const char* rank : {"[0]", "[1]"})
    ASSERT_TRUE(process.wait_for_output(std::string(rank) + " ready"));
  for (const auto& [signal, name] : {std::pair(SIGUSR1, "SIGUSR1"),
                                     {SIGUSR2, "SIGUSR2"},
                                     {SIGINT, "SIGINT"},
                                     {SIGHUP, "SIGHUP"},
                                     {SIGTERM, "SIGTERM"}}) {
    process.signal(signal);
    for (const char* rank : {"[0]", "[1]"})
      EXPECT_TRUE(process.wait_for_output(std::string(rank) + " got " + name));
  }
  EXPECT_EQ(process.wait(), 0) << "the ranks made something of SIGTERM, and dsmrun respects it";
}

// Reads the master's end of a terminal until it said the text, or has nothing more to say.
bool terminal_says(int terminal, std::string& said, std::string_view text) {
  while (said.find(text) == std::string::npos) {
    char buffer[1024];
    if (!launch::wait_readable(terminal, patience)) return false;
    const ssize_t n = ::read(terminal, buffer, sizeof buffer);
    if (n <= 0) return false;
    said.append(buffer, static_cast<std::size_t>(n));
  }
  return true;
}

TEST(Dsmrun, AnInterruptFromTheTerminalArrivesOnce) {
  const auto command = dsmrun({"-n", "2", "-p", actor(), "signals"});
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  int master = -1;
  const pid_t pid = ::forkpty(&master, nullptr, nullptr, nullptr);
  if (pid == 0) {
    ::execv(arguments[0], arguments.data());
    ::_exit(127);
  }
  ASSERT_GT(pid, 0);
  const Fd terminal(master);
  std::string said;
  for (const char* rank : {"[0] ready", "[1] ready"})
    EXPECT_TRUE(terminal_says(master, said, rank)) << said;
  EXPECT_EQ(::write(master, "\x03", 1), 1);
  for (const char* rank : {"[0] got SIGINT", "[1] got SIGINT"})
    EXPECT_TRUE(terminal_says(master, said, rank)) << said;
  EXPECT_EQ(::kill(pid, SIGTERM), 0);
  for (const char* rank : {"[0] got SIGTERM", "[1] got SIGTERM"})
    EXPECT_TRUE(terminal_says(master, said, rank)) << said;
  int status = 0;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);
  std::size_t interrupts = 0;
  for (std::size_t at = said.find("got SIGINT"); at != std::string::npos;
       at = said.find("got SIGINT", at + 1))
    ++interrupts;
  EXPECT_EQ(interrupts, 2u) << said;
}

TEST(Dsmrun, ASignalThatKillsTheRanksIsTheExitCode) {
  Process process(dsmrun({"-n", "2", actor(), "sleep"}));
  wait_for_pids(process, "sleeping", 2);
  process.signal(SIGINT);
  EXPECT_EQ(process.wait(), 128 + SIGINT);
}

// The third field of /proc/PID/stat.
char state_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(file, text);
  const std::size_t after = text.rfind(')');
  return after == std::string::npos ? '-' : text[after + 2];
}

bool reaches_state(pid_t pid, char state) {
  for (const auto deadline = std::chrono::steady_clock::now() + patience;
       std::chrono::steady_clock::now() < deadline;) {
    if (state_of(pid) == state) return true;
    ::usleep(5'000);
  }
  return false;
}

TEST(Dsmrun, StopsAndContinuesAsOneJob) {
  Process process(dsmrun({"-n", "2", actor(), "sleep"}));
  const auto pids = wait_for_pids(process, "sleeping", 2);
  // A group without a shell in its session ignores SIGTSTP; ranks are stopped by SIGSTOP then,
  // which no test needs.
  process.signal(SIGTSTP);
  EXPECT_TRUE(reaches_state(process.pid(), 'T'));
  process.signal(SIGCONT);
  EXPECT_TRUE(reaches_state(process.pid(), 'S'));
  for (const pid_t pid : pids) EXPECT_TRUE(reaches_state(pid, 'S'));
  process.signal(SIGTERM);
  EXPECT_EQ(process.wait(), 128 + SIGTERM);
}

TEST(Dsmrun, NothingOutlivesTheJobNotEvenDaemons) {
  Process process(dsmrun({"-n", "1", actor(), "daemon"}));
  const auto daemons = wait_for_pids(process, "daemon", 1);
  ASSERT_EQ(daemons.size(), 1u);
  EXPECT_FALSE(state_of(daemons[0]) == '-');
  process.signal(SIGTERM);
  EXPECT_EQ(process.wait(), 128 + SIGTERM);
  EXPECT_TRUE(is_gone(daemons[0]));
}

TEST(Dsmrun, KilledItselfItLeavesNoOrphans) {
  for (const auto& [verb, says] :
       {std::pair("sleep", "sleeping"), {"wait", "joined"}, {"daemon", "daemon"}}) {
    Process process(dsmrun({"-n", "2", actor(), verb}));
    const auto pids = wait_for_pids(process, says, 2);
    ASSERT_EQ(pids.size(), 2u);
    process.signal(SIGKILL);
    for (const pid_t pid : pids) EXPECT_TRUE(is_gone(pid)) << verb;
    EXPECT_EQ(process.wait(), 1000 + SIGKILL);
  }
}

TEST(Dsmrun, ItsKeeperKilledItLeavesNoOrphans) {
  Process process(dsmrun({"-n", "1", actor(), "daemon"}));
  const auto daemons = wait_for_pids(process, "daemon", 1);
  ASSERT_EQ(daemons.size(), 1u);
  const std::string task = "/proc/" + std::to_string(process.pid()) + "/task/" +
                           std::to_string(process.pid()) + "/children";
  pid_t keeper = 0;
  std::ifstream(task) >> keeper;
  ASSERT_GT(keeper, 0);
  ASSERT_EQ(::kill(keeper, SIGKILL), 0);
  EXPECT_EQ(process.wait(), 128 + SIGKILL);
  EXPECT_TRUE(is_gone(daemons[0]));
  expect_one_line(process.err(), {"keeper", "killed by signal 9"});
}

}  // namespace
}  // namespace dsm::test
