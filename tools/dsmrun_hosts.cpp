#include "dsmrun_hosts.hpp"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "base/types.hpp"
#include "dsm/launch/numbers.hpp"

namespace dsm::run {
namespace {

constexpr std::string_view name_marks = "._-:@%";

Status wrong(std::string text) {
  return Status(Code::invalid, std::move(text));
}

Result<std::uint32_t> parse_slots(std::string_view text, const std::string& host) {
  const auto slots = launch::parse_unsigned(text, 1, nodes_max);
  if (slots) return static_cast<std::uint32_t>(*slots);
  return wrong("host " + host + ": \"" + std::string(text) +
               "\" is not a number of slots from 1 to " + std::to_string(nodes_max));
}

// A launcher gets the name as an argument: it must not look like an option, or be several words.
bool is_name(std::string_view name) {
  return !name.empty() && name.front() != '-' && std::all_of(name.begin(), name.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
           name_marks.find(c) != std::string_view::npos;
  });
}

Status add(std::vector<Host>& hosts, Host host) {
  if (!is_name(host.name)) return wrong("\"" + host.name + "\" is no name of a host");
  for (const Host& other : hosts)
    if (other.name == host.name)
      return wrong("host " + host.name + " is listed twice: give it its slots once, as in " +
                   host.name + ":2");
  hosts.push_back(std::move(host));
  return {};
}

// "a", "a:2", "[fe80::1]", "[fe80::1]:2", "fe80::1".
Result<Host> parse_host(std::string_view text) {
  Host host;
  std::string_view slots;
  const std::size_t colon = text.rfind(':');
  if (!text.empty() && text.front() == '[') {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos) return wrong(std::string(text) + ": there is no \"]\"");
    host.name = text.substr(1, end - 1);
    slots = text.substr(end + 1);
    if (!slots.empty() && slots.front() != ':')
      return wrong(std::string(text) + ": behind \"]\" comes \":\" and a number of slots");
  } else if (colon != std::string_view::npos && text.find(':') == colon) {
    host.name = text.substr(0, colon);
    slots = text.substr(colon);
  } else {
    host.name = text;
  }
  if (slots.empty()) return host;
  auto number = parse_slots(slots.substr(1), host.name);
  if (!number) return number.status();
  host.slots = *number;
  return host;
}

}  // namespace

Result<std::vector<Host>> parse_hosts(std::string_view text) {
  std::vector<Host> hosts;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    auto host = parse_host(text.substr(at, end - at));
    if (!host) return host.status();
    if (Status added = add(hosts, std::move(*host)); !added) return added;
    at = end + 1;
  }
  return hosts;
}

Result<std::vector<Host>> parse_hostfile(std::string_view text, const std::string& path) {
  std::vector<Host> hosts;
  std::istringstream lines{std::string(text)};
  std::string line;
  for (std::size_t number = 1; std::getline(lines, line); ++number) {
    const auto at = [&](const Status& status) {
      return wrong(path + ", line " + std::to_string(number) + ": " + status.message());
    };
    std::istringstream words(line.substr(0, line.find('#')));
    std::string name, slots, more;
    if (!(words >> name)) continue;
    auto host = parse_host(name);
    if (!host) return at(host.status());
    if (words >> slots) {
      constexpr std::string_view key = "slots=";
      auto given = parse_slots(slots.rfind(key, 0) == 0 ? slots.substr(key.size()) : slots, name);
      if (!given) return at(given.status());
      host->slots = *given;
    }
    if (words >> more) return at(wrong("\"" + more + "\" is too much"));
    if (Status added = add(hosts, std::move(*host)); !added) return at(added);
  }
  if (hosts.empty()) return wrong(path + " names no host");
  return hosts;
}

Result<std::vector<Host>> read_hostfile(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf()))
    return wrong(path + " cannot be read, or is empty: " + std::strerror(errno));
  return parse_hostfile(text.str(), path);
}

Result<std::vector<Share>> place(const std::vector<Host>& hosts, std::uint32_t nodes) {
  const bool slotted = std::any_of(hosts.begin(), hosts.end(),
                                   [](const Host& host) { return host.slots.has_value(); });
  std::vector<Share> shares;
  std::uint32_t placed = 0;
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    const auto evenly = static_cast<std::uint32_t>(std::uint64_t{nodes} * (i + 1) / hosts.size() -
                                                   std::uint64_t{nodes} * i / hosts.size());
    const std::uint32_t count =
        slotted ? std::min(hosts[i].slots.value_or(1), nodes - placed) : evenly;
    if (count > 0) shares.push_back({hosts[i].name, placed, count});
    placed += count;
  }
  if (placed < nodes)
    return wrong("the hosts have " + std::to_string(placed) + " slots, and -n asks for " +
                 std::to_string(nodes) + " nodes: give them more, as in " + hosts.front().name +
                 ":" + std::to_string(hosts.front().slots.value_or(1) + nodes - placed));
  return shares;
}

}  // namespace dsm::run
