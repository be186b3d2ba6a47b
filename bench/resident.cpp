// How much shared memory a node really holds, after every node has touched the whole of a region:
// its home pages and its cache, and little else. Prints one JSON object.
//
// The pages of the memfd behind the shared memory are counted by the kernel (st_blocks), not by the
// library.
#include <dirent.h>
#include <sys/stat.h>

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <dsm/dsm.hpp>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace {

constexpr std::size_t bytes_per_node = std::size_t{64} << 20;

// The inode that backs `address`, from /proc/self/maps; 0 when it cannot be told.
std::uint64_t inode_behind(const void* address) {
  std::ifstream maps("/proc/self/maps");
  const auto wanted = reinterpret_cast<std::uintptr_t>(address);
  for (std::string line; std::getline(maps, line);) {
    std::istringstream words(line);
    std::string range, access, offset, device;
    std::uint64_t inode = 0;
    words >> range >> access >> offset >> device >> inode;
    const std::size_t dash = range.find('-');
    if (dash == std::string::npos) continue;
    if (std::stoull(range.substr(0, dash), nullptr, 16) <= wanted &&
        wanted < std::stoull(range.substr(dash + 1), nullptr, 16)) {
      return inode;
    }
  }
  return 0;
}

// Bytes of pages that the kernel holds for the file of that inode, found among this process's
// descriptors; 0 when it is not.
std::uint64_t resident_bytes(std::uint64_t inode) {
  constexpr std::uint64_t block = 512;  // the unit of st_blocks
  DIR* descriptors = opendir("/proc/self/fd");
  if (descriptors == nullptr) return 0;
  std::uint64_t resident = 0;
  while (const dirent* entry = readdir(descriptors)) {
    struct stat status {};
    if (fstat(std::atoi(entry->d_name), &status) == 0 && status.st_ino == inode) {
      resident = static_cast<std::uint64_t>(status.st_blocks) * block;
    }
  }
  closedir(descriptors);
  return resident;
}

struct Line {
  std::uint64_t resident;
  std::uint64_t home;
  std::uint64_t cache;
  std::uint64_t cache_limit;
};

int measure() {
  const auto nodes = static_cast<std::size_t>(dsm::size());
  const auto region = dsm::allocate<unsigned char>(bytes_per_node * nodes);
  // Home pages are written, then every page is read by every node.
  const std::size_t mine = bytes_per_node * static_cast<std::size_t>(dsm::rank());
  for (std::size_t i = mine; i < mine + bytes_per_node; i += dsm::page_size()) region[i] = 1;
  dsm::barrier();
  std::size_t sum = 0;
  for (std::size_t i = 0; i < region.size(); i += dsm::page_size()) sum += region[i];
  if (sum != region.size() / dsm::page_size())
    throw dsm::Error("what was written before a barrier was not read after it");

  const dsm::Statistics statistics = dsm::statistics();
  const Line line{resident_bytes(inode_behind(region.data())), statistics.home_bytes,
                  statistics.cache_bytes, statistics.cache_limit_bytes};
  std::vector<Line> lines(nodes);
  dsm::all_gather_bytes(&line, sizeof line, lines.data());
  if (dsm::rank() != 0) return 0;

  bool known = true;
  std::printf("{\"transport\": \"%s\", \"nodes\": [", dsm::transport_name());
  for (std::size_t node = 0; node < nodes; ++node) {
    const Line& of = lines[node];
    known = known && of.resident != 0;
    std::printf("%s\n  {\"resident\": %" PRIu64 ", \"home\": %" PRIu64 ", \"cache\": %" PRIu64
                ", \"cache_limit\": %" PRIu64 "}",
                node == 0 ? "" : ",", of.resident, of.home, of.cache, of.cache_limit);
  }
  std::printf("]}\n");
  if (!known)
    std::fprintf(stderr,
                 "resident: the file behind the shared memory was not found in /proc/self\n");
  return known ? 0 : 1;
}

}  // namespace

int main() {
  try {
    dsm::Session session;
    return measure();
  } catch (const dsm::Error& error) {
    std::fprintf(stderr, "resident: %s\n", error.what());
    return 1;
  }
}
