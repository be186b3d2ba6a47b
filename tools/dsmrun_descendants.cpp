#include "dsmrun_descendants.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "dsm/launch/socket.hpp"

namespace dsm::run {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds patience{5};
constexpr std::chrono::milliseconds pause{2};

struct Process {
  pid_t parent = 0;
  bool alive = false;
};

// /proc/PID/stat: "PID (NAME) STATE PARENT ..."; the name may hold anything, so the last
// parenthesis counts.
bool read_process(pid_t pid, Process& out) {
  const Fd file(::open(("/proc/" + std::to_string(pid) + "/stat").c_str(), O_RDONLY | O_CLOEXEC));
  char text[512];
  const ssize_t n = file ? ::read(file.get(), text, sizeof text - 1) : -1;
  if (n <= 0) return false;
  text[n] = '\0';
  const char* after = std::strrchr(text, ')');
  char state = 0;
  int parent = 0;
  if (after == nullptr || std::sscanf(after + 1, " %c %d", &state, &parent) != 2) return false;
  out = {parent, state != 'Z' && state != 'X'};
  return true;
}

std::map<pid_t, Process> all_processes() {
  std::map<pid_t, Process> found;
  const std::unique_ptr<DIR, int (*)(DIR*)> proc(::opendir("/proc"), &::closedir);
  if (!proc) return found;
  while (const dirent* entry = ::readdir(proc.get())) {
    const pid_t pid = static_cast<pid_t>(std::strtol(entry->d_name, nullptr, 10));
    Process process;
    if (pid > 0 && read_process(pid, process)) found[pid] = process;
  }
  return found;
}

}  // namespace

void become_subreaper() {
  (void)::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

std::vector<pid_t> living_descendants() {
  const auto processes = all_processes();
  const pid_t self = ::getpid();
  std::vector<pid_t> found;
  for (const auto& [pid, process] : processes) {
    pid_t ancestor = process.parent;
    for (std::size_t steps = 0; ancestor > 1 && ancestor != self && steps < processes.size();
         ++steps) {
      const auto next = processes.find(ancestor);
      ancestor = next == processes.end() ? 0 : next->second.parent;
    }
    if (ancestor == self && process.alive) found.push_back(pid);
  }
  return found;
}

void kill_descendants() {
  for (const auto deadline = Clock::now() + patience; Clock::now() < deadline;) {
    const auto living = living_descendants();
    for (const pid_t pid : living) ::kill(pid, SIGKILL);
    pid_t waited = 0;
    while ((waited = ::waitpid(-1, nullptr, WNOHANG)) > 0) {
    }
    if (waited < 0 && living.empty()) return;  // no child at all
    std::this_thread::sleep_for(pause);
  }
}

}  // namespace dsm::run
