// Nodes that die: of kill -9 in the middle of something, and of the program's own mistakes. The
// others end soon, each with one line that says who was lost, where, and what it was waiting for; a
// crash of the program stays the program's.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "by_hand.hpp"
#include "dsm/launch/rendezvous.hpp"
#include "run_dsmrun.hpp"

namespace dsm::test {
namespace {

using Clock = std::chrono::steady_clock;
// from the death of a node to the end of the last other one
constexpr std::chrono::seconds promise{5};
constexpr int nodes = 4;

// What ./check varies, and the wire.
Variables variables_for(const std::string& transport) {
  Variables variables = {{"DSM_TRANSPORT", transport}};
  if (const char* trap = std::getenv("DSM_TRAP")) variables.emplace_back("DSM_TRAP", trap);
  return variables;
}

// A job of programs/crash.cpp, one Process a node.
class Job {
 public:
  Job(const std::vector<std::string>& command, const std::string& transport,
      const Variables& more = {}) {
    for (int rank = 0; rank < nodes; ++rank) {
      Variables variables = by_hand_.of(rank, std::to_string(nodes));
      variables.insert(variables.end(), more.begin(), more.end());
      for (const auto& variable : variables_for(transport)) variables.push_back(variable);
      processes_.push_back(std::make_unique<Process>(command, variables));
    }
  }
  Process& node(int rank) { return *processes_[static_cast<std::size_t>(rank)]; }

  // Kills the victim; every other node ends in time, as a bystander, and says so in one line with
  // these words.
  void lose(int victim, const std::string& waiting) {
    const pid_t pid = node(victim).pid();
    const auto start = Clock::now();
    node(victim).signal(SIGKILL);
    for (int rank = 0; rank < nodes; ++rank) {
      const int code = node(rank).wait();
      if (rank == victim) continue;
      EXPECT_EQ(code, launch::exit_code_of_bystander) << rank;
      expect_one_line(node(rank).err(), {"lost node", "process", "this node was", waiting.c_str()});
      EXPECT_TRUE(has(node(rank).err(), "lost node " + std::to_string(victim) + " ("))
          << node(rank).err();
      EXPECT_TRUE(has(node(rank).err(), "process " + std::to_string(pid) + ")"))
          << node(rank).err();
    }
    EXPECT_LT(Clock::now() - start, promise);
  }

 private:
  ByHand by_hand_;
  std::vector<std::unique_ptr<Process>> processes_;
};

void expect_nothing_left() {
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm"))
    EXPECT_FALSE(has(entry.path().filename().string(), "dsm")) << entry.path();
}

class Losses : public testing::TestWithParam<const char*> {
 protected:
  // A sanitizer's handlers would count as the program's own.
  static void SetUpTestSuite() {
    for (const char* variable : {"ASAN_OPTIONS", "TSAN_OPTIONS"})
      ::setenv(variable, "handle_segv=0:handle_sigbus=0", 1);
  }
  Job start(const std::string& what) { return Job({program("CRASH"), what}, GetParam()); }
  void wait_until_ready(Job& job) {
    for (int rank = 0; rank < nodes; ++rank)
      ASSERT_TRUE(job.node(rank).wait_for_output("ready")) << job.node(rank).err();
  }
};
INSTANTIATE_TEST_SUITE_P(Over, Losses, testing::Values("shm", "tcp"),
                         [](const auto& p) { return std::string(p.param); });

TEST_P(Losses, OfTheHolderOfALock) {
  Job job = start("hold");
  wait_until_ready(job);
  // so that the others have asked for it
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  job.lose(0, "waiting for lock 7");
  expect_nothing_left();
}

TEST_P(Losses, OfWhatIsBoundToLocks) {
  Job job = start("bound");
  wait_until_ready(job);
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  job.lose(0, "waiting for lock 7");
  for (int rank = 1; rank < nodes; ++rank) {
    const std::string said = job.node(rank).err();
    for (const char* words :
         {"and with it what was bound to lock 7 (64 bytes from 0x", ", lock 11 (32 bytes from 0x"})
      EXPECT_TRUE(has(said, words)) << words << "\n" << said;
    EXPECT_FALSE(has(said, "lock 9")) << said;
  }
}

TEST_P(Losses, OfAReaderThatWritersWaitFor) {
  Job job = start("hold_shared");
  wait_until_ready(job);
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  job.lose(0, "waiting for shared lock 3");
}

TEST_P(Losses, OfANodeThatABarrierWaitsFor) {
  Job job = start("barrier");
  wait_until_ready(job);
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  job.lose(0, "waiting at a barrier");
}

TEST_P(Losses, OfANodeInABarrier) {
  Job job = start("barrier");
  wait_until_ready(job);
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  // Node 0 sleeps outside of the library.
  job.lose(3, "this node was");
  EXPECT_TRUE(has(job.node(0).err(), "computing")) << job.node(0).err();
  EXPECT_TRUE(has(job.node(1).err(), "at a barrier")) << job.node(1).err();
}

// At any time, in whatever they are doing: some are faulting.
TEST_P(Losses, OfNodesThatFault) {
  for (const int victim : {0, 2, 3}) {
    Job job = start("fault");
    wait_until_ready(job);
    std::this_thread::sleep_for(std::chrono::milliseconds(50 + 23 * victim));
    job.lose(victim, "this node was");
  }
}

TEST_P(Losses, OfANodeWhenNobodyCallsTheLibrary) {
  Job job = start("busy");
  wait_until_ready(job);
  job.lose(1, "computing");
}

// dsmrun ends the job with the culprit's signal, and nothing stays.
TEST_P(Losses, OfANodeUnderDsmrun) {
  Process job(dsmrun({"-n", std::to_string(nodes), program("CRASH"), "fault"}),
              variables_for(GetParam()));
  const auto pids = wait_for_pids(job, "ready", nodes);
  ASSERT_EQ(pids.size(), std::size_t{nodes});
  const auto start = Clock::now();
  ASSERT_EQ(::kill(pids[2], SIGKILL), 0);
  EXPECT_EQ(job.wait(), 128 + SIGKILL) << job.err();
  EXPECT_LT(Clock::now() - start, promise);
  EXPECT_TRUE(has(job.err(), "rank 2 of 4")) << job.err();
  EXPECT_TRUE(has(job.err(), "lost node 2 (")) << job.err();
  for (const pid_t pid : pids) EXPECT_TRUE(is_gone(pid));
  expect_nothing_left();
}

TEST_P(Losses, OfANodeDuringHimeno) {
  Process job(dsmrun({"-n", "2", "/bin/sh", "-c",
                      "echo ready $DSM_RANK $$; exec \"$0\" M --iterations 100000 --quiet",
                      program("HIMENO")}),
              variables_for(GetParam()));
  const auto pids = wait_for_pids(job, "ready", 2);
  ASSERT_EQ(pids.size(), 2u);
  std::this_thread::sleep_for(std::chrono::seconds(2));
  const auto start = Clock::now();
  ASSERT_EQ(::kill(pids[1], SIGKILL), 0);
  EXPECT_EQ(job.wait(), 128 + SIGKILL) << job.err();
  EXPECT_LT(Clock::now() - start, promise);
  EXPECT_TRUE(has(job.err(), "lost node 1 (")) << job.err();
  for (const pid_t pid : pids) EXPECT_TRUE(is_gone(pid));
  expect_nothing_left();
}

// The default action: the signal is the process' end, and the others lose it like any other.
TEST_P(Losses, OfANodeThatCrashes) {
  for (const char* what : {"null", "wild"}) {
    Job job = start(what);
    const int code = job.node(0).wait();
    EXPECT_TRUE(code == 1000 + SIGSEGV || (what == std::string("wild") && code == 1000 + SIGBUS))
        << what << " " << code << job.node(0).err();
    EXPECT_EQ(job.node(0).err(), "")
        << "the crash is the program's: the library has nothing to say";
    for (int rank = 1; rank < nodes; ++rank) {
      EXPECT_EQ(job.node(rank).wait(), launch::exit_code_of_bystander);
      expect_one_line(job.node(rank).err(), {"lost node 0 (", "this node was"});
    }
  }
}

// The program's own handler runs, whether it was there before the library's or came after.
TEST_P(Losses, OfANodeWhoseCrashIsHandled) {
  for (const char* what : {"handled_before", "handled_after"}) {
    Job job = start(what);
    EXPECT_EQ(job.node(0).wait(), 42) << what;
    EXPECT_EQ(job.node(0).err(), "the program's own handler\n");
    for (int rank = 1; rank < nodes; ++rank)
      EXPECT_EQ(job.node(rank).wait(), launch::exit_code_of_bystander);
  }
}

// With DSM_DEBUG=1 a crash in the shared space says where it was.
TEST_P(Losses, OfANodeThatUsesFreedMemory) {
  for (const auto& [what, words] :
       {std::pair("freed", "8192 bytes at 0x"), {"wild", "no region"}}) {
    Job job({program("CRASH"), what}, GetParam(), {{"DSM_DEBUG", "1"}});
    EXPECT_GE(job.node(0).wait(), 1000) << "the signal stays the program's";
    expect_one_line(job.node(0).err(), {"dsm[0]: address 0x", words});
  }
}

// An Error that nobody catches is one line and an exit code, and the others hear it as the reason.
TEST_P(Losses, OfANodeThatLetsAnErrorGo) {
  Job job = start("uncaught");
  EXPECT_EQ(job.node(0).wait(), EXIT_FAILURE);
  expect_one_line(job.node(0).err(), {"dsm[0]: ", "unlock", "lock 3"});
  for (int rank = 1; rank < nodes; ++rank) {
    EXPECT_EQ(job.node(rank).wait(), launch::exit_code_of_bystander);
    expect_one_line(job.node(rank).err(), {"node 0 (", "left: ", "lock 3"});
  }
}

}  // namespace
}  // namespace dsm::test
