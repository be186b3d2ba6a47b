#include "dsm/memory/available_memory.hpp"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>

namespace dsm::memory {
namespace {

// One generation of control groups: where it is mounted and what its files are called.
struct Hierarchy {
  const char* mount;
  const char* limit;
  const char* usage;
  // Lines of memory.stat that usage counts although the kernel would give them up.
  const char* reclaimable[2];
};

constexpr Hierarchy v1 = {"/sys/fs/cgroup/memory",
                          "memory.limit_in_bytes",
                          "memory.usage_in_bytes",
                          {"total_inactive_file", "total_active_file"}};
constexpr Hierarchy v2 = {
    "/sys/fs/cgroup", "memory.max", "memory.current", {"inactive_file", "active_file"}};
constexpr Hierarchy v2_beside_v1 = {
    "/sys/fs/cgroup/unified", v2.limit, v2.usage, {v2.reclaimable[0], v2.reclaimable[1]}};

std::optional<std::uint64_t> read_number(const std::string& path) {
  std::uint64_t value = 0;
  if (std::ifstream file(path); file >> value) return value;
  return std::nullopt;  // no such file, or the word "max"
}

// The number behind a word at the start of a line.
std::uint64_t read_field(const std::string& path, const std::string& field) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string word;
    std::uint64_t value = 0;
    if (words >> word >> value && word == field) return value;
  }
  return 0;
}

void take_least(AvailableMemory& least, std::uint64_t bytes, const std::string& limit) {
  if (bytes < least.bytes) least = {bytes, limit};
}

// Every group from this process' own up to the mount point.
void take_groups(AvailableMemory& least, const std::string& root, const Hierarchy& hierarchy,
                 std::string group) {
  const std::string mount = root + hierarchy.mount;
  for (;;) {
    const std::string folder = mount + group;
    const auto limit = read_number(folder + "/" + hierarchy.limit);
    const auto usage = read_number(folder + "/" + hierarchy.usage);
    if (limit && usage) {
      std::uint64_t used = *usage;
      for (const char* field : hierarchy.reclaimable)
        used -= std::min(used, read_field(folder + "/memory.stat", field));
      take_least(least, *limit - std::min(*limit, used), folder + "/" + hierarchy.limit);
    }
    if (group.empty()) return;
    group.resize(group.rfind('/'));
  }
}

}  // namespace

AvailableMemory available_memory(const std::string& root) {
  AvailableMemory least{std::numeric_limits<std::uint64_t>::max(), "nothing"};
  if (const std::uint64_t kib = read_field(root + "/proc/meminfo", "MemAvailable:"); kib != 0)
    take_least(least, kib * 1024, "MemAvailable in /proc/meminfo");

  // Lines of "hierarchy:controllers:/group".
  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    std::string group = line.substr(second + 1);
    if (group.empty() || group.front() != '/') continue;
    if (group == "/") group.clear();
    if (controllers == ",,") {
      take_groups(least, root, v2, group);
      take_groups(least, root, v2_beside_v1, group);
    } else if (controllers.find(",memory,") != std::string::npos) {
      take_groups(least, root, v1, group);
    }
  }
  return least;
}

}  // namespace dsm::memory
