// What the user asked of dsmrun. A value, checked: what can be known to be wrong before a process
// starts is an error here.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.hpp"
#include "dsmrun_hosts.hpp"

namespace dsm::run {

// Exit codes of dsmrun itself, as shells use them; otherwise it exits with the code of the rank
// that failed first.
inline constexpr int exit_usage = 2;
inline constexpr int exit_timeout = 124;
inline constexpr int exit_not_executable = 126;
inline constexpr int exit_not_found = 127;
inline constexpr int exit_signal_base = 128;

// What every job makes for itself, whatever surrounds it.
inline constexpr const char* own_variables[] = {"DSM_RANK",      "DSM_SIZE",    "DSM_RENDEZVOUS",
                                                "DSM_LAUNCHED",  "DSM_JOB_KEY", "DSM_JOB_KEY_FILE",
                                                "DSM_JOB_KEY_FD"};

// Which cores a rank may run on: all, or its own share; automatic: its share, if that is a core.
enum class Binding : std::uint8_t { automatic, none, core };

struct Options {
  enum class Verb : std::uint8_t { run, doctor, text };

  Verb verb = Verb::run;
  std::string text;  // to print and be done: help, variables

  std::uint32_t nodes = 1;
  std::vector<std::string> command;                              // the program and its arguments
  std::string program;                                           // the file that command[0] names
  std::vector<std::pair<std::string, std::string>> environment;  // set for every rank
  std::chrono::seconds join_timeout{};
  std::optional<Share> here;          // the ranks of this host; absent: none
  std::vector<Share> elsewhere;       // those of others
  std::vector<std::string> launcher;  // reaches them
  std::string interface;              // where they reach this host; empty: chosen
  bool prefix = false;
  Binding bind = Binding::automatic;
  std::optional<std::chrono::seconds> timeout;
  std::optional<std::uint32_t> gdb_rank;
  std::vector<std::string> gdb_batch;  // commands; empty: gdb talks to the terminal
};

// An error and the code to exit with.
struct UsageError {
  int exit_code = exit_usage;
  std::string line;
};

// Also prints warnings about DSM_* variables that nobody knows.
std::optional<UsageError> parse_options(int argc, char** argv, Options& out);

}  // namespace dsm::run
