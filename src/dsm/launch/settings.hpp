// Every DSM_* variable of libdsm, in one table, and the values that one process was given.
//
// A variable that is malformed is an error that names it, its value and the legal ones; one that
// nobody knows is a warning that names the nearest known. Values only: nothing here acts on them.
// Thread-compatible; no globals.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.hpp"
#include "base/types.hpp"
#include "dsm/launch/endpoint.hpp"

namespace dsm::launch {

// The DSM_* variables of a process, by name.
using Environment = std::map<std::string, std::string, std::less<>>;

// REQUIRES: no other thread changes the environment meanwhile.
Environment process_environment();

// The policy of regions that name none.
enum class ConsistencyChoice : std::uint8_t { scope, release, sequential };
enum class TrapChoice : std::uint8_t { automatic, uffd, mprotect };
enum class WatchChoice : std::uint8_t { automatic, trap, scan };

inline constexpr std::uint64_t kibibyte = std::uint64_t{1} << 10;
inline constexpr std::uint64_t mebibyte = std::uint64_t{1} << 20;
inline constexpr std::uint64_t gibibyte = std::uint64_t{1} << 30;
inline constexpr std::uint64_t space_step = mebibyte;  // the space is a multiple of this
inline constexpr std::uint64_t space_max = std::uint64_t{1}
                                           << 46;  // half of what an x86-64 process can address
inline constexpr std::uint64_t read_ahead_pages_max = 4096;
inline constexpr std::uint64_t push_after_max = 100;
inline constexpr std::uint64_t migrate_after_max = 100;
inline constexpr std::uint64_t base_step = 2 * mebibyte;  // the space starts at a multiple of this

// How a process takes part in a job, as given; job.hpp judges whether it makes sense.
struct LaunchVariables {
  std::optional<std::uint32_t> rank;
  std::optional<std::uint32_t> size;
  std::optional<Endpoint> rendezvous;
  bool launched = false;  // by dsmrun, which serves the rendezvous itself
  std::string key_file;  // the three ways to hand over the job's key; empty or absent: not this way
  std::optional<int> key_fd;
  std::string key_hex;
};

// What a job can do without, to see what it is worth.
struct Without {
  bool private_pages = false;  // pages that no other node has are watched, too
  bool lending = false;        // each taking and giving back of a lock is a step of the engine
  bool runs = false;           // a fault brings one page
  bool ordered_marks = false;  // a mark is a message, and its READ waits for the answer
  bool dissemination = false;  // barriers are trees, of few nodes too
  bool operator==(const Without&) const = default;
};

struct Settings {
  std::string transport;
  TrapChoice trap = TrapChoice::automatic;
  WatchChoice watch = WatchChoice::automatic;
  ConsistencyChoice consistency = ConsistencyChoice::scope;
  std::uint64_t cache_bytes = 0;
  std::uint32_t read_ahead_pages = 0;
  std::uint32_t push_after = 0;
  Without without;
  std::uint32_t migrate_after = 0;
  std::uint64_t space_bytes = 0;
  std::optional<std::uint64_t> base;  // absent: chosen by node 0
  bool log_debug = false;
  bool debug = false;
  std::optional<std::chrono::microseconds>
      spin;            // how long to spin before sleeping; absent: adaptive
  std::string faulty;  // the faults that the `faulty` adapter makes; its own syntax
  std::string lossy;   // what the wires of datagrams do to them; its own syntax
  std::chrono::milliseconds datagram_linger{};
  std::string ipoib_interface;  // empty: the first of its kind
  bool ipoib_any = false;
  std::string verbs;  // what the verbs transports use; their own syntax
  std::chrono::seconds join_timeout{};
  std::string interface;  // whose address the others are given; empty: chosen
  LaunchVariables launch;

  std::vector<std::string> warnings;  // one line each, for the user
};

// One row of the table. An empty fallback: not set.
struct Setting {
  const char* name;
  const char* type;
  const char* fallback;
  const char* legal;  // completes "give ..."
  const char* help;
  bool (*apply)(std::string_view value, Settings& out);
};

std::span<const Setting> settings_table();

// Fallbacks first, then what the environment says. A variable set to nothing counts as not set.
Result<Settings> read_settings(const Environment& environment);

// What must be equal on all nodes, as text for a message.
struct Agreed {
  std::string name;
  std::string value;
  bool operator==(const Agreed&) const = default;
};
using Agreement = std::vector<Agreed>;

// Build, size of the space, its base and the page size.
Agreement settings_agreement(const Settings& settings);

// The same as one number: equal numbers, equal agreements.
std::uint64_t settings_fingerprint(const Settings& settings);

// Names the code that runs: the linker's build id of the program or library that contains libdsm,
// else its version.
std::string build_id();

}  // namespace dsm::launch
