// A program for the tests of dsmrun: what each rank does is its first argument. Sees the launch
// library only.
//   actor job               joins, exchanges, leaves; prints "rank R of N"
//   actor wait              joins, prints "joined R PID", and waits for the end of the job
//   actor leave RANK        as wait, but RANK exits with 0 without having left the job
//   actor absent RANK       as wait, but RANK never joins
//   actor exit RANK CODE    RANK exits; the others sleep
//   actor sleep             prints "sleeping R PID" and sleeps
//   actor stubborn RANK     RANK exits with 3; the others ignore SIGTERM
//   actor daemon            starts a child in a session of its own, prints "daemon PID", and sleeps
//   actor signals           prints the name of each signal it gets; SIGTERM ends it with 0
//   actor chatter LINES     writes lines in pieces
//   actor cat               prints "read BYTES" of standard input
//   actor environment       prints its DSM_* variables and its command line
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "base/log.hpp"
#include "dsm/launch/rendezvous.hpp"

// What the gdb script calls; the library has its own.
extern "C" __attribute__((visibility("default"), used)) void dsm_debug_pages() {
  std::puts("actor's pages");
  std::fflush(stdout);
}
extern "C" __attribute__((visibility("default"), used)) void dsm_debug_locks() {
  std::puts("actor's locks");
  std::fflush(stdout);
}

namespace {

using namespace dsm::launch;
using dsm::Status;

constexpr std::chrono::seconds patience{60};

[[noreturn]] void fail(const Status& status) {
  dsm::log_line("%s", status.message().c_str());
  std::exit(exit_code_of_bystander);
}

template <typename T>
T need(dsm::Result<T> result) {
  if (!result) fail(result.status());
  return std::move(*result);
}
void need(const Status& status) {
  if (!status) fail(status);
}

const char* variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

void say(const std::string& line) {
  std::puts(line.c_str());
  std::fflush(stdout);
}

[[noreturn]] void sleep_for_ever() {
  for (;;) ::pause();
}

struct Joined {
  Job job;
  std::unique_ptr<Rendezvous> rendezvous;
};

Joined join() {
  const Settings settings = need(read_settings(process_environment()));
  Joined joined{need(read_job(settings)), nullptr};
  dsm::log_set_rank(joined.job.rank.value);
  joined.rendezvous = need(make_rendezvous(joined.job, settings_agreement(settings)));
  return joined;
}

int run_job() {
  Joined joined = join();
  const std::string name = "rank " + std::to_string(joined.job.rank.value);
  need(joined.rendezvous->publish("name", std::as_bytes(std::span(name.data(), name.size()))));
  const auto names = need(gather(*joined.rendezvous, joined.job.size, "name", patience));
  need(joined.rendezvous->fence(patience));
  joined.rendezvous->finish();
  say(name + " of " + std::to_string(names.size()));
  return 0;
}

int wait_for_the_end() {
  Joined joined = join();
  say("joined " + std::to_string(joined.job.rank.value) + " " + std::to_string(::getpid()));
  pollfd entry{joined.rendezvous->wait_fd(), POLLIN, 0};
  for (;;) {
    (void)::poll(&entry, 1, -1);
    need(joined.rendezvous->check());
  }
}

int be_a_daemon() {
  const pid_t child = ::fork();
  if (child == 0) {
    ::setsid();
    if (::fork() != 0) ::_exit(0);  // and an orphan of its own
    say("daemon " + std::to_string(::getpid()));
    sleep_for_ever();
  }
  sleep_for_ever();
}

int name_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2}) ::sigaddset(&set, signal);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  say("ready");
  for (int signal = 0; ::sigwait(&set, &signal) == 0;) {
    say(std::string("got SIG") + ::sigabbrev_np(signal));
    if (signal == SIGTERM) return 0;
  }
  return 1;
}

int chatter(int lines) {
  const std::string rank = variable("DSM_RANK");
  for (int i = 0; i < lines; ++i) {
    for (const std::string& piece :
         {std::string("line "), std::to_string(i), " of " + rank, std::string("\n")})
      (void)!::write(STDOUT_FILENO, piece.data(), piece.size());
  }
  const std::string last = "no newline from " + rank;
  (void)!::write(STDOUT_FILENO, last.data(), last.size());
  return 0;
}

int count_input() {
  std::size_t count = 0;
  for (char c = 0; ::read(STDIN_FILENO, &c, 1) == 1;) ++count;
  say("read " + std::to_string(count));
  return 0;
}

int print_environment() {
  for (const auto& entry : process_environment()) say(entry.first + "=" + entry.second);
  std::ifstream file("/proc/self/cmdline");
  std::string line(std::istreambuf_iterator<char>(file), {});
  for (char& c : line)
    if (c == '\0') c = ' ';
  say("command line: " + line);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const auto argument = [&](int i) { return std::string(i < argc ? argv[i] : ""); };
  const std::string verb = argument(1);
  const bool chosen = argument(2) == variable("DSM_RANK");
  if (verb == "job") return run_job();
  if (verb == "wait") return wait_for_the_end();
  if (verb == "leave") {
    if (!chosen) return wait_for_the_end();
    const Joined joined = join();
    ::_exit(0);
  }
  if (verb == "absent") {
    if (!chosen) return wait_for_the_end();
    sleep_for_ever();
  }
  if (verb == "exit") {
    if (chosen) return std::atoi(argument(3).c_str());
    sleep_for_ever();
  }
  if (verb == "sleep") {
    say("sleeping " + std::string(variable("DSM_RANK")) + " " + std::to_string(::getpid()));
    sleep_for_ever();
  }
  if (verb == "stubborn") {
    ::signal(SIGTERM, SIG_IGN);
    const Joined joined = join();  // which is when all of them ignore it
    if (chosen) ::_exit(3);
    sleep_for_ever();
  }
  if (verb == "daemon") return be_a_daemon();
  if (verb == "signals") return name_signals();
  if (verb == "chatter") return chatter(std::atoi(argument(2).c_str()));
  if (verb == "cat") return count_input();
  if (verb == "environment") return print_environment();
  dsm::log_line("no such verb: %s", verb.c_str());
  return 2;
}
