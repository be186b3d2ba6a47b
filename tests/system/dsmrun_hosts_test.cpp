// dsmrun with hosts. The launcher is launcher.sh: every "host" is a shell on this machine.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "run_dsmrun.hpp"

namespace dsm::test {
namespace {

// "launcher.sh KIND": see there.
std::vector<std::string> on(const std::string& hosts, const std::string& nodes,
                            std::vector<std::string> more, const std::string& kind = "run") {
  std::vector<std::string> arguments = {
      "-n",          nodes, "--hosts",    hosts,
      "--interface", "lo",  "--launcher", program("LAUNCHER") + " " + kind};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

TEST(DsmrunHosts, RanksFindEachOther) {
  const Outcome o = run(on("a,b", "4", {actor(), "job"}));
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(lines_of(o.out),
            (std::vector<std::string>{"rank 0 of 4", "rank 1 of 4", "rank 2 of 4", "rank 3 of 4"}));
  EXPECT_EQ(o.err, "");
}

TEST(DsmrunHosts, SomeRanksAreHere) {
  const Outcome o =
      run(on("localhost:1,b:2", "3", {"-p", "sh", "-c", "echo $HOST_OF_TEST $DSM_RANK"}));
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(lines_of(o.out), (std::vector<std::string>{"[0] 0", "[1] b 1", "[2] b 2"}));
}

TEST(DsmrunHosts, HostsComeFromAFileAndTheEnvironmentToo) {
  const std::string path = ::testing::TempDir() + "hosts." + std::to_string(::getpid());
  std::ofstream(path) << "a 1\nb 3  # bigger\n";
  const Outcome o = run({"-n", "3", "-p", "sh", "-c", "echo $HOST_OF_TEST"},
                        {{"DSM_HOSTFILE", path},
                         {"DSM_LAUNCHER", program("LAUNCHER") + " run"},
                         {"DSM_INTERFACE", "lo"}});
  EXPECT_NE(o.code,
            0);  // DSM_INTERFACE is the ranks'; dsmrun's own choice needs names that it knows
  expect_one_line(o.err, {"\"a\" is no host", "--interface"});
  const Outcome p = run({"-n", "3", "-p", "--interface", "lo", "sh", "-c", "echo $HOST_OF_TEST"},
                        {{"DSM_HOSTFILE", path}, {"DSM_LAUNCHER", program("LAUNCHER") + " run"}});
  std::filesystem::remove(path);
  EXPECT_EQ(p.code, 0) << p.err;
  EXPECT_EQ(lines_of(p.out), (std::vector<std::string>{"[0] a", "[1] b", "[2] b"}));
}

TEST(DsmrunHosts, DirectoryAndVariablesTravelAndTheKeyIsOnNoCommandLine) {
  const std::string script =
      "key=$0.$DSM_RANK; cat /proc/self/fd/$DSM_JOB_KEY_FD >$key; wc -c <$key; "
      "grep -lFf $key /proc/[0-9]*/cmdline 2>/dev/null; rm -f $key; pwd; "
      "echo $DSM_CACHE $OTHER $DSM_SPIN";
  const Outcome o = run(on("a", "2",
                           {"--env", "DSM_CACHE=64M", "--env", "OTHER=thing", "sh", "-c", script,
                            ::testing::TempDir() + "key." + std::to_string(::getpid())}),
                        {{"DSM_SPIN", "7"}, {"DSM_JOB_KEY", "nonsense"}});
  EXPECT_EQ(o.code, 0) << o.err;
  const std::string here = std::filesystem::current_path().string();
  EXPECT_EQ(lines_of(o.out),
            (std::vector<std::string>{here, here, "64", "64", "64M thing 7", "64M thing 7"}));
}

TEST(DsmrunHosts, ExitCodesAndDeathsAreReportedWithTheirHost) {
  const Outcome exited = run(on("a,b", "4", {actor(), "exit", "2", "9"}));
  EXPECT_EQ(exited.code, 9);
  expect_one_line(exited.err, {"rank 2 of 4", "on b", "exited with code 9"});

  Process process(dsmrun(on("a,b", "2", {actor(), "sleep"})));
  const auto pids = wait_for_pids(process, "sleeping", 2);
  ASSERT_EQ(pids.size(), 2u);
  ::kill(pids[1], SIGKILL);
  EXPECT_EQ(process.wait(), 128 + SIGKILL);
  expect_one_line(process.err(), {"rank 1 of 2", "on b", "SIGKILL"});
  EXPECT_TRUE(is_gone(pids[0]));
}

TEST(DsmrunHosts, OutputIsPassedOnWhole) {
  const Outcome o = run(on("a,b", "2", {"-p", "sh", "-c", "seq 20000; echo oops >&2"}));
  EXPECT_EQ(o.code, 0);
  for (const char* rank : {"[0] ", "[1] "}) {
    const auto lines = lines_of(o.out);
    EXPECT_EQ(std::count_if(lines.begin(), lines.end(),
                            [&](const std::string& line) { return line.rfind(rank, 0) == 0; }),
              20'000);
    EXPECT_TRUE(has(o.err, std::string(rank) + "oops\n")) << o.err;
  }
}

TEST(DsmrunHosts, WhatAShellSaysIsPassedOn) {
  const Outcome o = run(on("a,b", "2", {actor(), "job"}, "talk"));
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(lines_of(o.out), (std::vector<std::string>{"rank 0 of 2", "rank 1 of 2"}));
  EXPECT_TRUE(has(o.err, "Welcome to b")) << o.err;
}

TEST(DsmrunHosts, HostsThatFailAreNamed) {
  const Outcome fails = run(on("a,b", "2", {actor(), "wait"}, "fail-b"));
  EXPECT_EQ(fails.code, 1);
  expect_one_line(fails.err, {"host b does not answer", "code 255", "password"});

  const Outcome missing = run(on("a,b", "2", {actor(), "wait"}, "missing-b"));
  EXPECT_EQ(missing.code, 127);
  expect_one_line(missing.err, {"host b: dsmrun is not there", "same program"});

  const Outcome hangs =
      run(on("a,b", "2", {actor(), "sleep"}, "hang-b"), {{"DSM_JOIN_TIMEOUT", "2"}});
  EXPECT_EQ(hangs.code, 1);
  expect_one_line(hangs.err, {"host b does not answer", "2 s", "DSM_JOIN_TIMEOUT"});

  const Outcome noise = run(on("a,b", "2", {actor(), "wait"}, "noise-b"));
  EXPECT_EQ(noise.code, 1);
  expect_one_line(noise.err, {"host b", "cannot be read"});

  const Outcome program = run(on("a,b", "2", {"/nonexistent/program"}));
  EXPECT_EQ(program.code, 127);
  expect_one_line(program.err, {"host ", "/nonexistent/program", "No such file"});

  const Outcome none = run({"-n", "2", "--hosts", "a,b", "--interface", "lo", "--launcher",
                            "/nonexistent/launcher", actor(), "wait"});
  EXPECT_EQ(none.code, 1);
  expect_one_line(none.err, {"/nonexistent/launcher", "No such file"});
}

TEST(DsmrunHosts, BadListsAreNamed) {
  expect_one_line(run(on("a,a", "2", {actor(), "job"})).err, {"a is listed twice"});
  expect_one_line(run(on("a:1,b:1", "3", {actor(), "job"})).err, {"2 slots", "3 nodes"});
  expect_one_line(run(on("a:none", "3", {actor(), "job"})).err, {"\"none\"", "slots"});
  expect_one_line(run(on("localhost,127.0.0.1", "2", {actor(), "job"})).err, {"both this one"});
  expect_one_line(run(on("a,b", "2", {"--transport", "shm", actor(), "job"})).err,
                  {"shm", "one host", "tcp"});
  expect_one_line(run(on("a,b", "2", {"--gdb", "1", actor(), "job"})).err,
                  {"--gdb 1", "another host"});
  expect_one_line(run({"-n", "2", "--hostfile", "/nonexistent/hosts", actor(), "job"}).err,
                  {"/nonexistent/hosts"});
  expect_one_line(
      run({"-n", "2", "--hosts", "a,b", "--interface", "nonesuch9", actor(), "job"}).err,
      {"nonesuch9", "lo (127.0.0.1)"});
}

TEST(DsmrunHosts, ALostHostEndsTheJob) {
  Process process(dsmrun(on("a,b", "2", {actor(), "sleep"})));
  const auto pids = wait_for_pids(process, "sleeping", 2);
  ASSERT_EQ(pids.size(), 2u);
  // The agent of b is the parent of its rank.
  std::ifstream stat("/proc/" + std::to_string(pids[1]) + "/stat");
  std::string parent;
  for (int i = 0; i < 4; ++i) stat >> parent;
  ::kill(std::stoi(parent), SIGKILL);
  EXPECT_EQ(process.wait(), 1);
  EXPECT_TRUE(has(process.err(), "host b was lost")) << process.err();
  for (const pid_t pid : pids) EXPECT_TRUE(is_gone(pid));
}

TEST(DsmrunHosts, SignalsReachRanksElsewhere) {
  Process process(dsmrun(on("a,b", "2", {actor(), "signals"})));
  ASSERT_TRUE(process.wait_until([](const std::string& out) { return lines_of(out).size() >= 2; }));
  process.signal(SIGUSR1);
  ASSERT_TRUE(process.wait_until([](const std::string& out) {
    const auto lines = lines_of(out);
    return std::count_if(lines.begin(), lines.end(),
                         [](const std::string& line) { return has(line, "USR1"); }) == 2;
  })) << process.out();
  process.signal(SIGTERM);
  EXPECT_EQ(process.wait(), 0) << process.err();
}

// However dsmrun ends, ranks and what they started are gone, on every host.
TEST(DsmrunHosts, NothingIsLeft) {
  for (const int signal : {SIGTERM, SIGKILL}) {
    Process process(dsmrun(on("a,b", "2", {actor(), "daemon"})));
    const auto pids = wait_for_pids(process, "daemon", 2);
    ASSERT_EQ(pids.size(), 2u);
    process.signal(signal);
    (void)process.wait();
    const auto deadline = std::chrono::steady_clock::now() + patience;
    for (const pid_t pid : pids)
      while (!is_gone(pid) && std::chrono::steady_clock::now() < deadline) ::usleep(10'000);
    for (const pid_t pid : pids) EXPECT_TRUE(is_gone(pid)) << "after signal " << signal;
  }
}

}  // namespace
}  // namespace dsm::test
