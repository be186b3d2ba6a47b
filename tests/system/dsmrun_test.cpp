// dsmrun with real processes: starting a job, its options, its output, the debugger and the doctor.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "run_dsmrun.hpp"

namespace dsm::test {
namespace {

TEST(Dsmrun, RanksFindEachOther) {
  const Outcome o = run({"-n", "4", actor(), "job"});
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(lines_of(o.out),
            (std::vector<std::string>{"rank 0 of 4", "rank 1 of 4", "rank 2 of 4", "rank 3 of 4"}));
  EXPECT_EQ(o.err, "");
}

TEST(Dsmrun, OneRankIsAJobToo) {
  EXPECT_EQ(run({actor(), "job"}).out, "rank 0 of 1\n");
}

TEST(Dsmrun, BadNumbersOfNodesAreNamed) {
  for (const char* n : {"0", "5000", "-1", "4097", "many", ""}) {
    const Outcome o = run({"-n", n, actor(), "job"});
    EXPECT_EQ(o.code, 2);
    expect_one_line(o.err, {"dsmrun: ", n, "4096"});
  }
}

TEST(Dsmrun, ProgramsThatCannotStartAreNamed) {
  const Outcome missing = run({"-n", "2", "/nonexistent/program"});
  EXPECT_EQ(missing.code, 127);
  expect_one_line(missing.err, {"/nonexistent/program", "No such file"});

  const Outcome nowhere = run({"-n", "2", "no-such-program-in-path"});
  EXPECT_EQ(nowhere.code, 127);
  expect_one_line(nowhere.err, {"no-such-program-in-path", "PATH"});

  const Outcome directory = run({"-n", "2", "/tmp"});
  EXPECT_EQ(directory.code, 126);
  expect_one_line(directory.err, {"/tmp", "directory"});

  const Outcome data = run({"-n", "2", "/etc/passwd"});
  EXPECT_EQ(data.code, 126);
  expect_one_line(data.err, {"/etc/passwd", "not executable"});

  const Outcome nothing = run({"-n", "2"});
  EXPECT_EQ(nothing.code, 2);
  expect_one_line(nothing.err, {"no program"});
}

TEST(Dsmrun, BadOptionsAndVariablesAreNamed) {
  expect_one_line(run({"-n", "2", "--transport", "pigeon", actor(), "job"}).err, {"pigeon", "shm"});
  expect_one_line(run({"-n", "2", "--transport", "loopback", actor(), "job"}).err,
                  {"loopback", "one node"});
  expect_one_line(run({"-n", "2", "--trap", "mouse", actor(), "job"}).err,
                  {"DSM_TRAP=\"mouse\"", "auto, uffd or mprotect"});
  expect_one_line(run({"-n", "2", "--cache", "12Q", actor(), "job"}).err, {"DSM_CACHE=\"12Q\""});
  expect_one_line(run({"-n", "2", "--env", "DSM_SPACE=x", actor(), "job"}).err,
                  {"DSM_SPACE=\"x\""});
  expect_one_line(run({"-n", "2", "--env", "nonsense", actor(), "job"}).err,
                  {"nonsense", "NAME=VALUE"});
  expect_one_line(run({"-n", "2", "--bind", "glue", actor(), "job"}).err,
                  {"glue", "auto, none or core"});
  expect_one_line(run({"-n", "2", "--timeout", "0", actor(), "job"}).err, {"--timeout 0"});
  expect_one_line(run({"-n", "2", "--gdb", "2", actor(), "job"}).err, {"--gdb 2", "0 to 1"});
  expect_one_line(run({"--no-such-option", actor(), "job"}).err, {"--no-such-option"});
  expect_one_line(run({"-n", "2", actor(), "job"}, {{"DSM_SPIN", "x"}}).err,
                  {"DSM_SPIN=\"x\"", "microseconds"});

  const Outcome warned = run({"-n", "2", actor(), "job"}, {{"DSM_CASH", "1G"}});
  EXPECT_EQ(warned.code, 0);
  expect_one_line(warned.err, {"DSM_CASH", "DSM_CACHE"});
}

TEST(Dsmrun, OptionsOfTheProgramAreItsOwn) {
  const Outcome o = run({"-n", "1", actor(), "environment", "--prefix", "-n", "7", "--help"});
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_TRUE(has(o.out, "environment --prefix -n 7 --help")) << o.out;
}

TEST(Dsmrun, HelpTeachesByExamples) {
  const Outcome o = run({"--help"});
  EXPECT_EQ(o.code, 0);
  for (const char* word :
       {"Usage: dsmrun -n N", "Examples:", "--gdb", "--doctor", "DSM_JOB_KEY_FILE"})
    EXPECT_TRUE(has(o.out, word)) << word;
  EXPECT_TRUE(has(run({"--variables"}).out, "DSM_JOIN_TIMEOUT"));
}

TEST(Dsmrun, RanksAreToldWhoTheyAreAndTheKeyIsOnNoCommandLine) {
  const Outcome o =
      run({"-n", "2", "-p", "--cache", "256M", "--env", "COLOUR=red", actor(), "environment"},
          {{"DSM_JOB_KEY", std::string(64, 'a')}});
  EXPECT_EQ(o.code, 0) << o.err;
  for (const char* line :
       {"[0] DSM_RANK=0", "[1] DSM_RANK=1", "[0] DSM_SIZE=2", "[1] DSM_CACHE=256M",
        "[1] DSM_LAUNCHED=1", "[0] DSM_RENDEZVOUS=127.0.0.1:", "[0] DSM_JOB_KEY_FD="})
    EXPECT_TRUE(has(o.out, line)) << line << " in " << o.out;
  EXPECT_FALSE(has(o.out, "DSM_JOB_KEY=")) << "a key of the surroundings is not this job's";
  EXPECT_FALSE(has(o.out, std::string(64, 'a')));
}

TEST(Dsmrun, LinesArePrefixedWholeAndNoneIsLost) {
  constexpr int lines = 300;
  const Outcome o = run({"-n", "3", "-p", actor(), "chatter", std::to_string(lines)});
  EXPECT_EQ(o.code, 0);
  std::vector<std::string> expected;
  for (const char* rank : {"0", "1", "2"}) {
    for (int i = 0; i < lines; ++i)
      expected.push_back(std::string("[") + rank + "] line " + std::to_string(i) + " of " + rank);
    expected.push_back(std::string("[") + rank + "] no newline from " + rank);
  }
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(lines_of(o.out), expected);
}

TEST(Dsmrun, StandardInputIsRankZeros) {
  Process process(dsmrun({"-n", "3", "-p", actor(), "cat"}));
  process.write("twelve bytes");
  process.close_input();
  EXPECT_EQ(process.wait(), 0);
  EXPECT_EQ(lines_of(process.out()),
            (std::vector<std::string>{"[0] read 12", "[1] read 0", "[2] read 0"}));
}

TEST(Dsmrun, ProgramsThatKnowNothingOfJobsRunToo) {
  const Outcome o = run({"-n", "3", "-p", "/bin/sh", "-c", "echo hello"});
  EXPECT_EQ(o.code, 0);
  EXPECT_EQ(lines_of(o.out), (std::vector<std::string>{"[0] hello", "[1] hello", "[2] hello"}));
}

// The cores of each of these ranks, as the kernel names them.
std::vector<std::string> cores_of(const char* ranks, const std::vector<std::string>& binding) {
  std::vector<std::string> arguments = {"-n", ranks};
  arguments.insert(arguments.end(), binding.begin(), binding.end());
  for (const char* word : {"/bin/sh", "-c", "grep Cpus_allowed_list /proc/self/status"})
    arguments.emplace_back(word);
  const Outcome o = run(arguments);
  EXPECT_EQ(o.code, 0) << o.err;
  return lines_of(o.out);
}

TEST(Dsmrun, BindsRanksToTheirShareOfTheCores) {
  const std::vector<std::string> all = cores_of("1", {"--bind", "none"});
  ASSERT_EQ(all.size(), 1u);
  const bool one_core = std::thread::hardware_concurrency() < 2;
  const std::vector<std::string> bound = cores_of("2", {"--bind", "core"});
  ASSERT_EQ(bound.size(), 2u);
  EXPECT_EQ(bound[0] == bound[1], one_core);
  const std::vector<std::string> unasked = cores_of("2", {});
  ASSERT_EQ(unasked.size(), 2u);
  EXPECT_EQ(unasked[0] == unasked[1], one_core);
  EXPECT_EQ(cores_of("2", {"--bind", "none"}), std::vector<std::string>(2, all[0]));
}

TEST(Dsmrun, BindsNobodyWhereThereAreFewerCoresThanRanks) {
  const std::vector<std::string> all = cores_of("1", {"--bind", "none"});
  ASSERT_EQ(all.size(), 1u);
  const std::string many = std::to_string(2 * std::thread::hardware_concurrency() + 1);
  for (const std::string& cores : cores_of(many.c_str(), {})) EXPECT_EQ(cores, all[0]);
}

TEST(Dsmrun, TheDoctorFindsWhatJobsNeed) {
  const Outcome o = run({"--doctor"});
  EXPECT_EQ(o.code, 0) << o.out;
  for (const char* word : {"kernel", "traps", "transport shm", "memory lock", "max_map_count",
                           "/dev/shm", "addresses", "gdb"})
    EXPECT_TRUE(has(o.out, word)) << word;
}

TEST(Dsmrun, GdbRunsOneRankAndKnowsTheEngine) {
  if (::access("/usr/bin/gdb", X_OK) != 0) GTEST_SKIP() << "gdb is not installed";
  const Outcome o = run({"-n",          "2",
                         "--gdb",       "1",
                         "--gdb-batch", "dsm pages",
                         "--gdb-batch", "break dsm_debug_locks",
                         "--gdb-batch", "info signals SIGSEGV",
                         "--gdb-batch", "start",
                         "--gdb-batch", "dsm pages",
                         "--gdb-batch", "delete",
                         "--gdb-batch", "dsm locks",
                         "--gdb-batch", "continue",
                         "--env",       "LSAN_OPTIONS=detect_leaks=0",
                         actor(),       "job"});
  EXPECT_EQ(o.code, 0) << o.out << o.err;
  for (const char* word : {"actor's pages", "actor's locks", "rank 0 of 2", "rank 1 of 2"})
    EXPECT_TRUE(has(o.out, word)) << o.out << o.err;
  EXPECT_TRUE(has(o.err, "There is no process yet")) << o.err;
  EXPECT_FALSE(has(o.out, "SIGSEGV       Yes")) << o.out;
}

}  // namespace
}  // namespace dsm::test
