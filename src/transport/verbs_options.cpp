#include "transport/verbs_options.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>

namespace dsm::transport {
namespace {

constexpr std::array<std::uint32_t, 5> mtus = {256, 512, 1024, 2048, 4096};

std::optional<std::uint32_t> number(std::string_view text, std::uint32_t least,
                                    std::uint32_t most) {
  int base = 10;
  if (text.substr(0, 2) == "0x") {
    base = 16;
    text.remove_prefix(2);
  }
  std::uint32_t value = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value, base);
  if (parsed.ec != std::errc() || parsed.ptr != end || value < least || value > most)
    return std::nullopt;
  return value;
}

struct Part {
  const char* name;
  const char* legal;
  bool (*apply)(std::string_view value, VerbsOptions& out);
};

bool apply_device(std::string_view value, VerbsOptions& out) {
  out.device = value;
  return !value.empty();
}
bool apply_port(std::string_view value, VerbsOptions& out) {
  out.port = number(value, 1, 255);
  return out.port.has_value();
}
bool apply_gid(std::string_view value, VerbsOptions& out) {
  out.gid = number(value, 0, 65535);
  return out.gid.has_value();
}
bool apply_mtu(std::string_view value, VerbsOptions& out) {
  out.mtu = number(value, mtus.front(), mtus.back()).value_or(0);
  return std::find(mtus.begin(), mtus.end(), out.mtu) != mtus.end();
}
bool apply_pkey(std::string_view value, VerbsOptions& out) {
  const auto key = number(value, 1, 0xffff);
  if (key) out.pkey = static_cast<std::uint16_t>(*key);
  return key.has_value();
}
bool apply_byte(std::string_view value, std::uint32_t least, std::uint32_t most,
                std::uint8_t& out) {
  const auto byte = number(value, least, most);
  if (byte) out = static_cast<std::uint8_t>(*byte);
  return byte.has_value();
}
bool apply_sl(std::string_view value, VerbsOptions& out) {
  return apply_byte(value, 0, 15, out.service_level);
}
bool apply_tclass(std::string_view value, VerbsOptions& out) {
  return apply_byte(value, 0, 255, out.traffic_class);
}
bool apply_hops(std::string_view value, VerbsOptions& out) {
  return apply_byte(value, 1, 255, out.hop_limit);
}
bool apply_pairs(std::string_view value, VerbsOptions& out) {
  const auto nodes = number(value, 0, 65535);
  out.pairs_at_start = nodes.value_or(0);
  return nodes.has_value();
}
bool apply_depth(std::string_view value, VerbsOptions& out) {
  out.queue_depth = number(value, 4, 1u << 20);
  return out.queue_depth.has_value();
}
bool apply_inline(std::string_view value, VerbsOptions& out) {
  out.inline_bytes = number(value, 0, 1u << 16);
  return out.inline_bytes.has_value();
}
bool apply_rd_atomic(std::string_view value, VerbsOptions& out) {
  out.rd_atomic = number(value, 1, 255);
  return out.rd_atomic.has_value();
}
bool apply_atomics(std::string_view value, VerbsOptions& out) {
  out.atomics = value == "on";
  return value == "on" || value == "off";
}
bool apply_break(std::string_view value, VerbsOptions& out) {
  out.break_after = number(value, 1, 1u << 30).value_or(0);
  return out.break_after != 0;
}

bool apply_odp(std::string_view value, VerbsOptions& out) {
  if (value == "on" || value == "off") out.on_demand = value == "on";
  return out.on_demand.has_value();
}
bool apply_multicast(std::string_view value, VerbsOptions& out) {
  if (value == "on") return out.multicast = Multicast::on, true;
  if (value == "tree") return out.multicast = Multicast::tree, true;
  out.multicast = Multicast::off;
  return value == "off";
}
bool apply_fan_out(std::string_view value, VerbsOptions& out) {
  out.fan_out = number(value, 1, fan_out_max).value_or(0);
  return out.fan_out != 0;
}
bool apply_groups(std::string_view value, VerbsOptions& out) {
  out.groups = number(value, 0, 1u << 30);
  return out.groups.has_value();
}
bool apply_cached(std::string_view value, VerbsOptions& out) {
  out.lent_mb_max = number(value, 2, 1u << 20);
  return out.lent_mb_max.has_value();
}

static_assert(fan_out_max == 64, "as its part says");
constexpr Part parts[] = {
    {"device", "a device's name, as in device=mlx5_0", apply_device},
    {"port", "1 to 255", apply_port},
    {"gid", "an index into the port's table of GIDs, as in gid=1", apply_gid},
    {"mtu", "256, 512, 1024, 2048 or 4096", apply_mtu},
    {"pkey", "0x1 to 0xffff", apply_pkey},
    {"sl", "0 to 15", apply_sl},
    {"tclass", "0 to 255", apply_tclass},
    {"hops", "1 to 255", apply_hops},
    {"pairs", "0 to 65535", apply_pairs},
    {"depth", "4 to 1048576", apply_depth},
    {"inline", "0 to 65536", apply_inline},
    {"rd_atomic", "1 to 255", apply_rd_atomic},
    {"atomics", "on or off", apply_atomics},
    {"odp", "on or off", apply_odp},
    {"cached", "2 to 1048576 MiB", apply_cached},
    {"multicast", "on, tree or off", apply_multicast},
    {"fanout", "1 to 64", apply_fan_out},
    {"groups", "0 to 1073741824", apply_groups},
    {"break", "1 to 1073741824", apply_break},
};

std::string part_names() {
  std::string names;
  for (const Part& part : parts) names += std::string(names.empty() ? "" : ", ") + part.name;
  return names;
}

std::string list_of(std::span<const PortDescription> ports) {
  std::string list;
  for (const PortDescription& port : ports) list += (list.empty() ? "" : ", ") + port.text();
  return list;
}

// The smaller the better.
int rank_of(const GidDescription& gid) {
  if (gid.kind == GidKind::infiniband) return 0;
  const int version = gid.kind == GidKind::roce_v2 ? 0 : 4;
  return version + (gid.is_ipv4() ? 0 : gid.is_link_local() ? 2 : 1);
}

}  // namespace

Result<VerbsOptions> VerbsOptions::parse(std::string_view text) {
  VerbsOptions options;
  while (!text.empty()) {
    const std::string_view item = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), item.size() + 1));
    const std::size_t equals = item.find('=');
    const std::string_view name = item.substr(0, equals);
    const auto* const part = std::find_if(std::begin(parts), std::end(parts),
                                          [name](const Part& each) { return name == each.name; });
    if (part == std::end(parts))
      return Status(Code::invalid, "DSM_VERBS: nothing is called '" + std::string(name) +
                                       "'; there are: " + part_names());
    const std::string_view value =
        equals == std::string_view::npos ? std::string_view() : item.substr(equals + 1);
    if (!part->apply(value, options))
      return Status(Code::invalid, "DSM_VERBS: '" + std::string(item) + "' is not legal: give " +
                                       part->name + "=" + part->legal);
  }
  return options;
}

Result<bool> choose_paging(const OnDemandPaging& has, bool device_atomics,
                           const VerbsOptions& options, std::string_view device) {
  const bool serves = has.reads && has.writes && (has.atomics || !device_atomics);
  if (!options.on_demand.value_or(serves)) return false;
  if (serves) return true;
  return Status(Code::unavailable,
                "DSM_VERBS: odp=on, and " + std::string(device) +
                    " does not page on demand what RC queue pairs reach: leave odp out");
}

bool GidDescription::is_ipv4() const {
  return std::all_of(bytes.begin(), bytes.begin() + 10, [](std::uint8_t b) { return b == 0; }) &&
         bytes[10] == 0xff && bytes[11] == 0xff;
}

bool GidDescription::is_link_local() const {
  return bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
}

std::string GidDescription::text() const {
  static constexpr const char* kinds[] = {"InfiniBand", "RoCE v1", "RoCE v2"};
  char address[48];
  if (is_ipv4()) {
    std::snprintf(address, sizeof address, "%u.%u.%u.%u", bytes[12], bytes[13], bytes[14],
                  bytes[15]);
  } else {
    char* at = address;
    for (std::size_t i = 0; i < 16; i += 2)
      at += std::snprintf(at, 6, "%s%x", i == 0 ? "" : ":", bytes[i] << 8 | bytes[i + 1]);
  }
  return std::to_string(index) + " (" + kinds[static_cast<std::size_t>(kind)] + ", " + address +
         ")";
}

std::string PortDescription::text() const {
  return device + " port " + std::to_string(port) + " (" + (ethernet ? "RoCE" : "InfiniBand") +
         ", " + state + ")";
}

Result<std::uint32_t> choose_gid(const PortDescription& port, const VerbsOptions& options) {
  std::string list;
  for (const GidDescription& gid : port.gids) list += (list.empty() ? "" : ", ") + gid.text();
  if (options.gid) {
    for (const GidDescription& gid : port.gids)
      if (gid.index == *options.gid) return *options.gid;
    return Status(
        Code::invalid,
        "GID index " + std::to_string(*options.gid) + " is none of this port's (" + port.text() +
            "); give DSM_VERBS=gid= one of: " + (list.empty() ? "none, it has no GID" : list));
  }
  const auto best = std::min_element(
      port.gids.begin(), port.gids.end(),
      [](const GidDescription& a, const GidDescription& b) { return rank_of(a) < rank_of(b); });
  if (best != port.gids.end()) return best->index;
  if (!port.ethernet) return std::uint32_t{0};  // reached by its LID
  return Status(Code::unavailable, "no GID at " + port.text() +
                                       ": give its network interface an address (ip addr add)");
}

Result<PortChoice> choose_port(std::span<const PortDescription> ports, const VerbsOptions& options,
                               int numa) {
  if (ports.empty())
    return Status(Code::unavailable,
                  "no verbs device is here: choose tcp, or shm for the processes of one host");
  const PortDescription* best = nullptr;
  const PortDescription* named = nullptr;  // whatever its state
  const auto nearer = [numa](const PortDescription& a, const PortDescription& b) {
    return numa >= 0 && a.numa == numa && b.numa != numa;
  };
  for (const PortDescription& port : ports) {
    if (!options.device.empty() && port.device != options.device) continue;
    if (options.port && port.port != *options.port) continue;
    if (!named) named = &port;
    if (port.active && (!best || nearer(port, *best))) best = &port;
  }
  if (!named)
    return Status(Code::invalid,
                  "DSM_VERBS names a device or port that is not here; here are: " + list_of(ports));
  if (!best)
    return Status(
        Code::unavailable,
        "no port is active: " + list_of(ports) +
            (named->ethernet ? "; set its network interface up (ip link set ... up), or choose tcp"
                             : "; is its cable in, and does a subnet manager run? Or choose tcp"));
  const auto gid = choose_gid(*best, options);
  if (!gid.ok()) return gid.status();
  return PortChoice{.port = static_cast<std::size_t>(best - ports.data()), .gid = gid.value()};
}

}  // namespace dsm::transport
