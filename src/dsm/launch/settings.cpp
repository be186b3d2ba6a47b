#include "dsm/launch/settings.hpp"

#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <numeric>

#include "dsm/launch/key.hpp"
#include "dsm/launch/numbers.hpp"

namespace dsm::launch {
namespace {

constexpr std::string_view prefix = "DSM_";
constexpr std::uint64_t day_s = 86'400;
constexpr std::uint64_t spin_us_max = 1'000'000;
constexpr std::uint64_t linger_ms_max = 60'000;
constexpr std::size_t text_max = 4'096;
constexpr int descriptor_max = 1 << 20;

bool apply_text(std::string_view value, std::string& out) {
  out = value;
  return value.size() <= text_max;
}

bool apply_seconds(std::string_view value, std::chrono::seconds& out) {
  const auto seconds = parse_unsigned(value, 1, day_s);
  if (seconds) out = std::chrono::seconds(*seconds);
  return seconds.has_value();
}

bool apply_transport(std::string_view value, Settings& out) {
  return apply_text(value, out.transport);
}

bool apply_trap(std::string_view value, Settings& out) {
  if (value == "auto")
    out.trap = TrapChoice::automatic;
  else if (value == "uffd")
    out.trap = TrapChoice::uffd;
  else if (value == "mprotect")
    out.trap = TrapChoice::mprotect;
  else
    return false;
  return true;
}

bool apply_watch(std::string_view value, Settings& out) {
  if (value == "auto")
    out.watch = WatchChoice::automatic;
  else if (value == "trap")
    out.watch = WatchChoice::trap;
  else if (value == "scan")
    out.watch = WatchChoice::scan;
  else
    return false;
  return true;
}

// In the order of ConsistencyChoice.
constexpr std::string_view consistency_names[] = {"scope", "release", "sequential"};

bool apply_consistency(std::string_view value, Settings& out) {
  const auto* const name =
      std::find(std::begin(consistency_names), std::end(consistency_names), value);
  if (name == std::end(consistency_names)) return false;
  out.consistency = static_cast<ConsistencyChoice>(name - std::begin(consistency_names));
  return true;
}

bool apply_cache(std::string_view value, Settings& out) {
  const auto bytes = parse_byte_count(value, 1, space_max);
  if (bytes) out.cache_bytes = *bytes;
  return bytes.has_value();
}

bool apply_read_ahead(std::string_view value, Settings& out) {
  const auto pages = parse_unsigned(value, 0, read_ahead_pages_max);
  if (pages) out.read_ahead_pages = static_cast<std::uint32_t>(*pages);
  return pages.has_value();
}

bool apply_push(std::string_view value, Settings& out) {
  const auto barriers = parse_unsigned(value, 0, push_after_max);
  if (barriers) out.push_after = static_cast<std::uint32_t>(*barriers);
  return barriers.has_value();
}

struct Omission {
  std::string_view name;
  bool Without::*what;
};
constexpr Omission omissions[] = {{"private", &Without::private_pages},
                                  {"lending", &Without::lending},
                                  {"runs", &Without::runs},
                                  {"marks", &Without::ordered_marks},
                                  {"dissemination", &Without::dissemination}};

bool apply_without(std::string_view value, Settings& out) {
  out.without = {};
  for (;;) {
    const std::size_t comma = std::min(value.find(','), value.size());
    const auto named = [name = value.substr(0, comma)](const Omission& o) {
      return o.name == name;
    };
    const auto* const omission = std::find_if(std::begin(omissions), std::end(omissions), named);
    if (omission == std::end(omissions)) return false;
    out.without.*omission->what = true;
    if (comma == value.size()) return true;
    value.remove_prefix(comma + 1);
  }
}

std::string names_of(const Without& without) {
  std::string names;
  for (const Omission& omission : omissions)
    if (without.*omission.what) names += (names.empty() ? "" : ",") + std::string(omission.name);
  return names;
}

bool apply_migrate(std::string_view value, Settings& out) {
  const auto barriers = parse_unsigned(value, 0, migrate_after_max);
  if (barriers) out.migrate_after = static_cast<std::uint32_t>(*barriers);
  return barriers.has_value();
}

bool apply_space(std::string_view value, Settings& out) {
  const auto bytes = parse_byte_count(value, space_step, space_max);
  if (!bytes || *bytes % space_step != 0) return false;
  out.space_bytes = *bytes;
  return true;
}

bool apply_base(std::string_view value, Settings& out) {
  out.base.reset();
  if (value == "auto") return true;
  if (value.substr(0, 2) != "0x") return false;
  const auto address = parse_unsigned(value.substr(2), base_step, 2 * space_max - base_step, 16);
  if (!address || *address % base_step != 0) return false;
  out.base = address;
  return true;
}

bool apply_log(std::string_view value, Settings& out) {
  out.log_debug = value == "debug";
  return value == "off" || value == "debug";
}

bool apply_debug(std::string_view value, Settings& out) {
  out.debug = value == "1";
  return value == "0" || value == "1";
}

bool apply_spin(std::string_view value, Settings& out) {
  out.spin.reset();
  if (value == "auto") return true;
  const auto us = parse_unsigned(value, 0, spin_us_max);
  if (us) out.spin = std::chrono::microseconds(*us);
  return us.has_value();
}

bool apply_faulty(std::string_view value, Settings& out) {
  return apply_text(value, out.faulty);
}

bool apply_lossy(std::string_view value, Settings& out) {
  return apply_text(value, out.lossy);
}

bool apply_linger(std::string_view value, Settings& out) {
  const auto ms = parse_unsigned(value, 0, linger_ms_max);
  if (ms) out.datagram_linger = std::chrono::milliseconds(*ms);
  return ms.has_value();
}

bool apply_ipoib_interface(std::string_view value, Settings& out) {
  return apply_text(value, out.ipoib_interface);
}

bool apply_ipoib_any(std::string_view value, Settings& out) {
  out.ipoib_any = value == "1";
  return value == "0" || value == "1";
}

bool apply_verbs(std::string_view value, Settings& out) {
  return apply_text(value, out.verbs);
}
bool apply_join_timeout(std::string_view value, Settings& out) {
  return apply_seconds(value, out.join_timeout);
}

bool apply_interface(std::string_view value, Settings& out) {
  out.interface = value == "auto" ? std::string_view() : value;
  return value.size() <= text_max;
}

// Rows of dsmrun, which reads them itself.
bool apply_nothing(std::string_view value, Settings&) {
  return value.size() <= text_max;
}

bool apply_rank(std::string_view value, Settings& out) {
  const auto rank = parse_unsigned(value, 0, nodes_max - 1);
  if (rank) out.launch.rank = static_cast<std::uint32_t>(*rank);
  return rank.has_value();
}

bool apply_size(std::string_view value, Settings& out) {
  const auto size = parse_unsigned(value, 1, nodes_max);
  if (size) out.launch.size = static_cast<std::uint32_t>(*size);
  return size.has_value();
}

bool apply_rendezvous(std::string_view value, Settings& out) {
  auto endpoint = parse_endpoint(value);
  if (endpoint) out.launch.rendezvous = *endpoint;
  return endpoint.ok();
}

bool apply_launched(std::string_view value, Settings& out) {
  out.launch.launched = value == "1";
  return value == "0" || value == "1";
}

bool apply_key_file(std::string_view value, Settings& out) {
  return apply_text(value, out.launch.key_file);
}

bool apply_key_fd(std::string_view value, Settings& out) {
  const auto fd = parse_unsigned(value, 0, descriptor_max);
  if (fd) out.launch.key_fd = static_cast<int>(*fd);
  return fd.has_value();
}

bool apply_key_hex(std::string_view value, Settings& out) {
  return apply_text(value, out.launch.key_hex);
}

static_assert(read_ahead_pages_max == 4096, "the text of DSM_READ_AHEAD names the limit");
static_assert(push_after_max == 100, "the text of DSM_PUSH names the limit");
static_assert(migrate_after_max == 100, "the text of DSM_MIGRATE names the limit");
static_assert(nodes_max == 4096, "the texts of DSM_RANK and DSM_SIZE below name the limit");

constexpr Setting table[] = {
    {"DSM_TRANSPORT", "name", "best",
     "best, or a name that dsmrun --doctor lists, with +faulty or +traced behind it",
     "the wire between nodes", apply_transport},
    {"DSM_TRAP", "choice", "auto", "auto, uffd or mprotect",
     "how an access to an absent page is noticed", apply_trap},
    {"DSM_WATCH", "choice", "auto", "auto, trap or scan",
     "how it is noticed that a node writes its own pages that others have copies of: by a trap "
     "each, or "
     "by asking the kernel for all of them (Linux 6.7)",
     apply_watch},
    {"DSM_CONSISTENCY", "choice", "scope", "scope, release or sequential",
     "the policy of regions that name none; equal on all nodes", apply_consistency},
    {"DSM_CACHE", "bytes", "1G", "bytes with K, M, G or T, as in 512M",
     "memory for copies of pages whose home is elsewhere", apply_cache},
    {"DSM_READ_AHEAD", "pages", "256", "0 to 4096 pages",
     "how far ahead pages are fetched for who goes through memory in order; 0: not at all",
     apply_read_ahead},
    {"DSM_PUSH", "barriers", "2", "0 to 100 barriers",
     "a page that is read again behind so many barriers on end is brought by the next ones; 0: "
     "never",
     apply_push},
    {"DSM_MIGRATE", "barriers", "0", "0 to 100 barriers",
     "a page that one other node than its home writes, at so many barriers on end, gets its home "
     "there; 0: never; equal on all nodes",
     apply_migrate},
    {"DSM_WITHOUT", "names", "", "a list of private, lending, runs, marks and dissemination",
     "does without these, to see what they are worth (src/README.md); equal on all nodes",
     apply_without},
    {"DSM_SPACE", "bytes", "64G", "a multiple of 1M up to 64T, as in 64G",
     "size of the shared address range; equal on all nodes", apply_space},
    {"DSM_BASE", "address", "auto",
     "auto, or a multiple of 2M in hexadecimal, as in 0x550000000000",
     "where the shared address range starts; equal on all nodes", apply_base},
    {"DSM_LOG", "choice", "off", "off or debug", "lines about what the library does", apply_log},
    {"DSM_DEBUG", "choice", "0", "0 or 1",
     "looks for misuse of locks and of freed memory, and for data races", apply_debug},
    {"DSM_SPIN", "microseconds", "auto", "auto, or 0 to 1000000 microseconds",
     "how long a wait spins before it sleeps", apply_spin},
    {"DSM_FAULTY", "faults", "", "a list as in seed=7,delay=0.2,cut=2@1000",
     "the faults that a transport named ...+faulty makes", apply_faulty},
    {"DSM_LOSSY", "losses", "",
     "a list as in seed=7,loss=0.1,duplicate=0.05,reorder=0.1,corrupt=0.01",
     "what happens to datagrams on purpose (ipoib)", apply_lossy},
    {"DSM_DATAGRAM_LINGER", "milliseconds", "1000", "0 to 60000 milliseconds",
     "how long a node that ends waits for its last messages to be acknowledged (ipoib)",
     apply_linger},
    {"DSM_IPOIB_INTERFACE", "name", "", "the name of a network interface, as in ib0",
     "the interface of ipoib; else the first of that kind", apply_ipoib_interface},
    {"DSM_IPOIB_ANY", "choice", "0", "0 or 1", "1: ipoib runs on any interface, for tests",
     apply_ipoib_any},
    {"DSM_VERBS", "choices", "", "a list as in device=mlx5_0,port=1,gid=3,mtu=4096,sl=2",
     "device, port and route of the transports verbs and verbs-ud", apply_verbs},
    {"DSM_JOIN_TIMEOUT", "seconds", "30", "1 to 86400 seconds",
     "how long nodes wait for each other at the start", apply_join_timeout},
    {"DSM_INTERFACE", "name", "auto",
     "auto, an interface as eth1, or an address or network of this host as 10.0.0.0/8",
     "where other nodes reach this one; auto: as this one reached the rendezvous", apply_interface},
    {"DSM_HOSTFILE", "path", "", "a file with a host a line, and the nodes for it behind a blank",
     "where dsmrun starts nodes (--hostfile)", apply_nothing},
    {"DSM_LAUNCHER", "command", "", "a command that takes a host and a command for it",
     "how dsmrun starts nodes elsewhere (--launcher)", apply_nothing},
    {"DSM_RANK", "number", "", "0 to 4095", "this node's number in the job (set by dsmrun)",
     apply_rank},
    {"DSM_SIZE", "number", "", "1 to 4096", "nodes of the job (set by dsmrun)", apply_size},
    {"DSM_RENDEZVOUS", "host:port", "", "HOST:PORT or [IPV6]:PORT, as in 10.0.0.1:7000",
     "where the nodes meet: dsmrun, or else node 0, listens there", apply_rendezvous},
    {"DSM_LAUNCHED", "choice", "0", "0 or 1",
     "set by dsmrun, which then serves the rendezvous itself", apply_launched},
    {"DSM_JOB_KEY_FILE", "path", "", "a file of 64 hexadecimal digits that only its owner can read",
     "the key that admits a node to the job", apply_key_file},
    {"DSM_JOB_KEY_FD", "descriptor", "",
     "the number of an open descriptor with 64 hexadecimal digits",
     "the same, from a descriptor (dsmrun's way)", apply_key_fd},
    {"DSM_JOB_KEY", "hex", "", "64 hexadecimal digits",
     "the same, in the environment, where programs started later see it", apply_key_hex},
};

// Edits (insert, delete, replace) that turn one name into the other.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

const char* nearest(std::string_view name) {
  const auto closer = [name](const Setting& a, const Setting& b) {
    return distance(name, a.name) < distance(name, b.name);
  };
  return std::min_element(std::begin(table), std::end(table), closer)->name;
}

// Keys stay out of messages, also malformed ones.
std::string shown(const Setting& setting, const std::string& value) {
  return setting.apply == apply_key_hex ? "..." : value.substr(0, 80);
}

Status malformed(const Setting& setting, const std::string& value) {
  return Status(Code::invalid, std::string(setting.name) + "=\"" + shown(setting, value) +
                                   "\" is not legal: give " + setting.legal);
}

}  // namespace

Environment process_environment() {
  Environment found;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::size_t equals = text.find('=');
    if (text.substr(0, prefix.size()) != prefix || equals == std::string_view::npos) continue;
    found.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return found;
}

std::span<const Setting> settings_table() {
  return table;
}

Result<Settings> read_settings(const Environment& environment) {
  Settings out;
  for (const Setting& setting : table) {
    const auto given = environment.find(std::string_view(setting.name));
    const std::string value =
        given == environment.end() || given->second.empty() ? setting.fallback : given->second;
    if (!value.empty() && !setting.apply(value, out)) return malformed(setting, value);
  }
  for (const auto& entry : environment) {
    const std::string& name = entry.first;
    const auto is_named = [&name](const Setting& setting) { return name == setting.name; };
    if (std::none_of(std::begin(table), std::end(table), is_named))
      out.warnings.push_back(
          name + " is not a variable of libdsm and has no effect; the nearest is " + nearest(name));
  }
  return out;
}

Agreement settings_agreement(const Settings& settings) {
  char base[24] = "auto";
  if (settings.base)
    std::snprintf(base, sizeof base, "%#llx", static_cast<unsigned long long>(*settings.base));
  return {{"build", build_id()},
          {"DSM_SPACE", std::to_string(settings.space_bytes)},
          {"DSM_BASE", base},
          {"DSM_CONSISTENCY",
           std::string(consistency_names[static_cast<std::size_t>(settings.consistency)])},
          {"DSM_DEBUG", settings.debug ? "1" : "0"},
          {"DSM_WITHOUT", names_of(settings.without)},
          {"DSM_MIGRATE", std::to_string(settings.migrate_after)},
          {"page size", std::to_string(::sysconf(_SC_PAGESIZE))}};
}

std::uint64_t settings_fingerprint(const Settings& settings) {
  Bytes text;
  Writer writer(text);
  for (const Agreed& agreed : settings_agreement(settings)) {
    writer.put_string(agreed.name);
    writer.put_string(agreed.value);
  }
  return Reader(hash(text)).get<std::uint64_t>();
}

}  // namespace dsm::launch
