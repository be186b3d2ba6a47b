#include "dsmrun_options.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <sstream>

#include "base/log.hpp"
#include "dsm/launch/interface.hpp"
#include "dsm/launch/numbers.hpp"
#include "dsm/launch/settings.hpp"
#include "transport/transport.hpp"

namespace dsm::run {
namespace {

constexpr std::uint64_t day_s = 86'400;
constexpr const char* default_launcher = "ssh -o BatchMode=yes";
constexpr const char* stopped_in_gdb_s = "86400";  // a node that stands in a debugger is not lost

constexpr const char* examples =
    R"(Examples:
  dsmrun -n 4 ./hello                         four nodes on this machine
  dsmrun -n 4 -p ./hello                      every line of output behind its rank: "[2] ..."
  dsmrun -n 2 --transport tcp ./himeno S      another wire than the best one (dsmrun --doctor lists them)
  dsmrun -n 2 --timeout 60 ./himeno S         ends the job after a minute
  dsmrun -n 2 --gdb 1 ./hello                 rank 1 in the debugger, which knows "dsm pages" and "dsm locks"
  dsmrun -n 2 --env DSM_CACHE=256M ./hello    sets a variable for every rank (dsmrun --variables lists DSM_*)

The first rank that fails ends the job, and dsmrun exits with its code (128 + number for a signal). Signals that dsmrun
gets go to all ranks. Rank 0 reads standard input, if it runs on this machine. Nothing that the job started outlives it.

  dsmrun -n 8 --hosts a:4,b:4 ./himeno M      ranks 0 to 3 on a, 4 to 7 on b, by ssh
  dsmrun -n 4 --hosts a,b ./himeno M          shared out evenly, in blocks
dsmrun and the program have the same paths on every host, and each rank starts in this directory there. DSM_* and --env are
set everywhere; the job's key travels over the launcher's standard input.

Without dsmrun, the same job on two machines: set DSM_SIZE=2, DSM_RENDEZVOUS=HOST:PORT of rank 0, DSM_JOB_KEY_FILE to a
copy of one private file ("openssl rand -hex 32 > key; chmod 600 key"), and DSM_RANK to 0 and 1.)";

// What the command line says, before it is judged.
struct Given {
  std::string nodes = "1";
  std::string timeout;
  std::string gdb;
  std::string bind = "auto";
  std::string hosts, hostfile, launcher;
  std::vector<std::string> environment;
  bool doctor = false;
  bool variables = false;
};

class Help : public CLI::Formatter {
 public:
  std::string make_usage(const CLI::App*, std::string) const override {
    return "Usage: dsmrun -n N [OPTIONS] PROGRAM ARGS...\n";
  }
};

std::string variables_text() {
  std::string text = "Variables of libdsm (empty counts as not set):\n";
  for (const launch::Setting& row : launch::settings_table()) {
    text += "  " + std::string(row.name) + "\n      " + row.help + "\n      " + row.legal;
    text += *row.fallback != '\0' ? "; " + std::string(row.fallback) + " when not set\n" : "\n";
  }
  return text;
}

std::optional<UsageError> usage(std::string line) {
  return UsageError{exit_usage, std::move(line)};
}

bool is_executable_file(const std::string& path) {
  struct stat about {};
  return ::stat(path.c_str(), &about) == 0 && S_ISREG(about.st_mode) &&
         ::access(path.c_str(), X_OK) == 0;
}

// As a shell finds it.
std::optional<UsageError> find_program(const std::string& name, std::string& path) {
  if (name.find('/') != std::string::npos) {
    path = name;
    struct stat about {};
    if (::stat(name.c_str(), &about) != 0)
      return UsageError{exit_not_found, "cannot start " + name + ": " + std::strerror(errno)};
    if (is_executable_file(name)) return std::nullopt;
    const char* why = S_ISDIR(about.st_mode)
                          ? "it is a directory"
                          : "it is not executable: chmod +x it, or name its interpreter";
    return UsageError{exit_not_executable, "cannot start " + name + ": " + why};
  }
  const char* given = std::getenv("PATH");
  const std::string_view directories = given != nullptr ? given : "/usr/bin:/bin";
  for (std::size_t at = 0; at <= directories.size();) {
    const std::size_t end = std::min(directories.find(':', at), directories.size());
    const std::string directory(directories.substr(at, end - at));
    path = (directory.empty() ? "." : directory) + "/" + name;
    if (is_executable_file(path)) return std::nullopt;
    at = end + 1;
  }
  std::string line = "cannot start " + name + ": no directory of PATH has such a program";
  if (is_executable_file("./" + name)) line += "; this directory has: write ./" + name;
  return UsageError{exit_not_found, line};
}

std::optional<UsageError> judge_numbers(const Given& given, Options& out) {
  const auto nodes = launch::parse_unsigned(given.nodes, 1, nodes_max);
  if (!nodes)
    return usage("-n " + given.nodes + " is not a number of nodes from 1 to " +
                 std::to_string(nodes_max));
  out.nodes = static_cast<std::uint32_t>(*nodes);
  if (!given.timeout.empty()) {
    const auto seconds = launch::parse_unsigned(given.timeout, 1, day_s);
    if (!seconds)
      return usage("--timeout " + given.timeout + " is not a number of seconds from 1 to " +
                   std::to_string(day_s));
    out.timeout = std::chrono::seconds(*seconds);
  }
  if (!given.gdb.empty()) {
    const auto rank = launch::parse_unsigned(given.gdb, 0, out.nodes - 1);
    if (!rank)
      return usage("--gdb " + given.gdb + " is not a rank of this job: give 0 to " +
                   std::to_string(out.nodes - 1));
    out.gdb_rank = static_cast<std::uint32_t>(*rank);
  }
  if (!out.gdb_batch.empty() && !out.gdb_rank) return usage("--gdb-batch needs --gdb RANK");
  if (given.bind == "none")
    out.bind = Binding::none;
  else if (given.bind == "core")
    out.bind = Binding::core;
  else if (given.bind != "auto")
    return usage("--bind " + given.bind + " is not legal: give auto, none or core");
  return std::nullopt;
}

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

std::optional<UsageError> judge_launcher(const Given& given, Options& out) {
  const std::string text = !given.launcher.empty() ? given.launcher : variable("DSM_LAUNCHER");
  std::istringstream words(text.empty() ? default_launcher : text);
  for (std::string word; words >> word;) out.launcher.push_back(word);
  if (out.launcher.empty()) return usage("--launcher is empty: give a command, as ssh");
  return std::nullopt;
}

// Which ranks run here, and which elsewhere. Without hosts all run here, and nothing else changes.
std::optional<UsageError> judge_hosts(const Given& given, Options& out) {
  if (!given.hosts.empty() && !given.hostfile.empty())
    return usage("--hosts and --hostfile both: give one of them");
  const std::string file = !given.hostfile.empty() ? given.hostfile : variable("DSM_HOSTFILE");
  if (given.hosts.empty() && file.empty()) {
    out.here = Share{"", 0, out.nodes};
    return std::nullopt;
  }
  auto hosts = !given.hosts.empty() ? parse_hosts(given.hosts) : read_hostfile(file);
  if (!hosts) return usage(hosts.status().message());
  auto shares = place(*hosts, out.nodes);
  if (!shares) return usage(shares.status().message());
  for (Share& share : *shares) {
    if (!launch::is_this_host(share.host)) {
      out.elsewhere.push_back(std::move(share));
    } else if (out.here) {
      return usage("hosts " + out.here->host + " and " + share.host +
                   " are both this one: name it once, with slots, as in " + share.host + ":2");
    } else {
      out.here = std::move(share);
    }
  }
  const auto& here = out.here;
  if (out.gdb_rank &&
      !(here && *out.gdb_rank >= here->first && *out.gdb_rank - here->first < here->count))
    return usage("--gdb " + std::to_string(*out.gdb_rank) +
                 ": that rank is on another host; gdb is for ranks of this one");
  return judge_launcher(given, out);
}

// The wire of a job on several hosts must reach them.
std::optional<UsageError> judge_reach(const std::string& transport, Options& out) {
  const std::string name = transport.substr(0, transport.find('+'));
  std::string reaching;
  const transport::Backend* best = nullptr;
  for (const transport::Backend* row : transport::backends()) {
    if (row->one_host || !row->joins_nodes || !row->usable().ok()) continue;
    if (best == nullptr) best = row;
    reaching += (reaching.empty() ? "" : ", ") + std::string(row->name);
  }
  if (name == "best") {
    if (best == nullptr) return usage("no transport reaches other hosts (dsmrun --doctor)");
    out.environment.emplace_back("DSM_TRANSPORT", best->name + transport.substr(name.size()));
    return std::nullopt;
  }
  const auto chosen = transport::choose(name);
  if (chosen.ok() && chosen.value()->one_host)
    return usage("transport " + name + " joins nodes of one host, and this job has " +
                 std::to_string(out.elsewhere.size() + (out.here ? 1 : 0)) + ": choose " +
                 reaching);
  return std::nullopt;
}

std::optional<UsageError> judge_environment(const Given& given, Options& out) {
  for (const std::string& entry : given.environment) {
    const std::size_t equals = entry.find('=');
    if (equals == 0 || equals == std::string::npos)
      return usage("--env " + entry + " is not NAME=VALUE");
    out.environment.emplace_back(entry.substr(0, equals), entry.substr(equals + 1));
  }
  launch::Environment environment = launch::process_environment();
  // Of this job's own making, whatever surrounds it.
  for (const char* own : own_variables) environment.erase(own);
  constexpr const char* patience = "DSM_JOIN_TIMEOUT";
  if (out.gdb_rank && environment.count(patience) == 0)
    out.environment.insert(out.environment.begin(), {patience, stopped_in_gdb_s});
  for (const auto& entry : out.environment)
    if (entry.first.substr(0, 4) == "DSM_") environment[entry.first] = entry.second;

  const auto settings = launch::read_settings(environment);
  if (!settings) return usage(settings.status().message());
  for (const std::string& warning : settings.value().warnings)
    ::dprintf(STDERR_FILENO, "dsmrun: %s\n", warning.c_str());
  out.join_timeout = settings.value().join_timeout;

  const std::string& transport = settings.value().transport;
  const auto backend = transport::choose(transport.substr(0, transport.find('+')));
  if (out.nodes > 1 || transport != "best") {
    if (!backend) return usage(backend.status().message());
    if (out.nodes > 1 && !backend.value()->joins_nodes)
      return usage("transport " + transport +
                   " is for a job of one node: choose another (dsmrun --doctor), or -n 1");
  }
  if (!out.elsewhere.empty()) return judge_reach(transport, out);
  return std::nullopt;
}

std::optional<UsageError> judge(const Given& given, Options& out) {
  if (given.doctor || given.variables) {
    out.verb = given.doctor ? Options::Verb::doctor : Options::Verb::text;
    if (given.variables) out.text = variables_text();
    return std::nullopt;
  }
  if (!out.command.empty() && out.command.front() == "--") out.command.erase(out.command.begin());
  if (out.command.empty())
    return usage("there is no program to start: dsmrun -n 4 PROGRAM ARGS..., or dsmrun --help");
  if (out.command.front().size() > 1 && out.command.front().front() == '-')
    return usage(out.command.front() + " is no option of dsmrun: dsmrun --help lists them");
  if (auto wrong = judge_numbers(given, out)) return wrong;
  if (auto wrong = judge_hosts(given, out)) return wrong;
  if (auto wrong = judge_environment(given, out)) return wrong;
  auto missing = find_program(out.command.front(), out.program);
  if (!missing || out.here) return missing;
  out.program = out.command.front();  // it may be there
  return std::nullopt;
}

}  // namespace

std::optional<UsageError> parse_options(int argc, char** argv, Options& out) {
  CLI::App app("Runs a program as N nodes that share one memory, on this machine or several.");
  app.formatter(std::make_shared<Help>());
  app.footer(examples);
  app.prefix_command();

  Given given;
  std::string transport, trap, cache;
  app.add_option("-n,--nodes", given.nodes, "nodes, 1 to 4096 (1 when not given)")
      ->option_text("N");
  app.add_option("--hosts", given.hosts, "hosts, and how many nodes each has room for")
      ->option_text("A:2,B");
  app.add_option("--hostfile", given.hostfile, "the same from a file, a host a line (DSM_HOSTFILE)")
      ->option_text("FILE");
  app.add_option(
         "--launcher", given.launcher,
         "starts \"CMD HOST COMMAND...\"; ssh -o BatchMode=yes when not given (DSM_LAUNCHER)")
      ->option_text("CMD");
  app.add_option("--interface", out.interface,
                 "where hosts reach one another: an interface or a network (DSM_INTERFACE)")
      ->option_text("NAME");
  app.add_option("--transport", transport, "the wire between nodes (DSM_TRANSPORT)")
      ->option_text("NAME");
  app.add_option("--trap", trap, "auto, uffd or mprotect (DSM_TRAP)")->option_text("KIND");
  app.add_option("--cache", cache, "memory of each node for copies of others' pages (DSM_CACHE)")
      ->option_text("BYTES");
  app.add_flag("-p,--prefix", out.prefix, "begin every line of output with its rank");
  app.add_option("--timeout", given.timeout, "end the job after so many seconds; exit code 124")
      ->option_text("S");
  app.add_option("--bind", given.bind,
                 "core: each rank keeps to its share of its host's cores; none; or auto: as core "
                 "where there is a core for each (when not given)")
      ->option_text("HOW");
  app.add_option("--env", given.environment, "set a variable for every rank (repeatable)")
      ->option_text("NAME=VALUE")
      ->allow_extra_args(false);
  app.add_option("--gdb", given.gdb, "start this rank in gdb, in this terminal")
      ->option_text("RANK");
  app.add_option("--gdb-batch", out.gdb_batch,
                 "with --gdb: run this gdb command and the following ones, then quit (repeatable)")
      ->option_text("COMMAND")
      ->allow_extra_args(false);
  app.add_flag("--doctor", given.doctor,
               "print what this machine offers, and what would mend the rest");
  app.add_flag("--variables", given.variables,
               "print the DSM_* variables, their legal values and defaults");

  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    out.verb = Options::Verb::text;
    out.text = app.help();
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    return usage(std::string(error.what()) + " (dsmrun --help)");
  }
  out.command = app.remaining();
  for (const auto& [name, value] : {std::pair("DSM_TRANSPORT", transport),
                                    {"DSM_TRAP", trap},
                                    {"DSM_CACHE", cache},
                                    {"DSM_INTERFACE", out.interface}})
    if (!value.empty()) out.environment.emplace_back(name, value);
  return judge(given, out);
}

}  // namespace dsm::run
