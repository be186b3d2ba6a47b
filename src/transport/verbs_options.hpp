// What may be chosen about verbs devices, and which of the ports that are there is taken. Pure:
// devices come as descriptions, so that the choice is testable where there is none.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.hpp"
#include "transport/tree.hpp"

namespace dsm::transport {

// Jobs of up to so many nodes make all RC queue pairs when they connect, so that from then on any
// node may be stopped while its pages are read; in larger ones a pair is made when it is first
// used.
inline constexpr std::uint32_t pairs_at_start_default = 16;

// How messages to all nodes leave: to each alone; as one datagram to a group, or where there is
// none by a tree (tree.hpp); by a tree in any case.
enum class Multicast : std::uint8_t { off, on, tree };

// DSM_VERBS: a list such as "device=mlx5_0,port=1,gid=3". Some are for tests: they lower a limit of
// the device, or break an RC pair after so many of its completions.
struct VerbsOptions {
  std::string device;                 // empty: any
  std::optional<std::uint32_t> port;  // counted from 1
  std::optional<std::uint32_t> gid;   // index into the port's table
  std::uint32_t mtu = 0;              // bytes at most; 0: the port's
  std::optional<std::uint16_t> pkey;  // absent: the first of the port's table
  std::uint8_t service_level = 0;
  std::uint8_t traffic_class = 0;
  std::uint8_t hop_limit = 64;
  std::uint32_t pairs_at_start = pairs_at_start_default;  // nodes; 0: never
  std::optional<std::uint32_t> queue_depth;
  std::optional<std::uint32_t> inline_bytes;
  std::optional<std::uint32_t> rd_atomic;
  bool atomics = true;                       // false: as if the device had none
  std::optional<bool> on_demand;             // paging; absent: where the device has it
  std::optional<std::uint32_t> lent_mb_max;  // MiB of cached memory that it may hold at once
  Multicast multicast = Multicast::off;
  std::uint32_t fan_out = fan_out_default;  // of a tree
  std::optional<std::uint32_t> groups;      // of multicast, that the device has
  std::uint32_t break_after = 0;            // 0: never

  // An error names the part that is wrong and its legal values.
  static Result<VerbsOptions> parse(std::string_view text);
};

// What a device can do over RC queue pairs with memory that is paged on demand.
struct OnDemandPaging {
  bool reads = false;
  bool writes = false;
  bool atomics = false;
};
// Whether memory is registered so: where the device then does all that it does with pinned memory,
// unless the options say otherwise. An error if they ask for what it cannot do; `device` names it.
Result<bool> choose_paging(const OnDemandPaging& has, bool device_atomics,
                           const VerbsOptions& options, std::string_view device);

enum class GidKind : std::uint8_t { infiniband, roce_v1, roce_v2 };

struct GidDescription {
  std::uint32_t index = 0;
  GidKind kind = GidKind::infiniband;
  std::array<std::uint8_t, 16> bytes{};

  bool is_ipv4() const;
  bool is_link_local() const;
  std::string text() const;  // "1 (RoCE v2, 10.0.0.1)"
};

struct PortDescription {
  std::string device;
  std::uint32_t port = 1;
  bool active = false;
  std::string state;      // of the port, in words
  bool ethernet = false;  // RoCE; otherwise InfiniBand
  int numa = -1;          // the memory node that the device hangs at; -1: not known
  std::vector<GidDescription> gids;

  std::string text() const;  // "mlx5_0 port 1 (InfiniBand, active)"
};

struct PortChoice {
  std::size_t port = 0;   // index into the descriptions
  std::uint32_t gid = 0;  // index into the port's table
};

// Of one port's GIDs: the one that the options name, else the most routable.
Result<std::uint32_t> choose_gid(const PortDescription& port, const VerbsOptions& options);

// The port and GID that the options name, else an active port, at best one at `numa`, and of its
// GIDs the most routable. An error lists what is there.
Result<PortChoice> choose_port(std::span<const PortDescription> ports, const VerbsOptions& options,
                               int numa);

}  // namespace dsm::transport
