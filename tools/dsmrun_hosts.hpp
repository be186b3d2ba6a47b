// Hosts of a job, and which ranks each gets. Pure, but for reading the file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.hpp"

namespace dsm::run {

struct Host {
  std::string name;
  std::optional<std::uint32_t> slots;  // how many nodes it has room for

  bool operator==(const Host&) const = default;
};

// "a:2,b": hosts, with their slots behind a colon ("[fe80::1]:2" for an address of IPv6).
Result<std::vector<Host>> parse_hosts(std::string_view text);

// A host a line: "a", "a 2" or "a slots=2". "#" begins a comment.
Result<std::vector<Host>> parse_hostfile(std::string_view text, const std::string& path);
Result<std::vector<Host>> read_hostfile(const std::string& path);

// Consecutive ranks of one host.
struct Share {
  std::string host;
  std::uint32_t first = 0;
  std::uint32_t count = 0;

  bool operator==(const Share&) const = default;
};

// Ranks in blocks. Where any host says how many slots it has, hosts are filled in their order, and
// those that say nothing have one; where none does, the ranks are shared out evenly. Hosts that get
// none are left out.
Result<std::vector<Share>> place(const std::vector<Host>& hosts, std::uint32_t nodes);

}  // namespace dsm::run
