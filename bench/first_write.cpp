// What memory costs until it has been written once: fourteen arrays of the size of Himeno S, of
// which every node writes its share. Shared, each share at home with its writer; and private, in
// pages of 4 KiB, where each process has just its share.
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <new>

#include "nodes.hpp"

namespace {

constexpr std::size_t arrays = 14;
constexpr std::size_t array_bytes = std::size_t{65} * 65 * 129 * sizeof(float);

// Of one array, in whole pages: as Placement::block() divides it.
std::size_t share_bytes() {
  const std::size_t page = dsm::page_size();
  const auto ranks = static_cast<std::size_t>(dsm::size());
  return (array_bytes + ranks * page - 1) / (ranks * page) * page;
}

void write(std::span<std::byte> memory) {
  std::fill(memory.begin(), memory.end(), std::byte{1});
  benchmark::ClobberMemory();
}

double write_shared() {
  const std::size_t share = share_bytes();
  std::array<std::span<std::byte>, arrays> shared;
  dsm::barrier();
  const double seconds = bench::timed([&] {
    for (auto& one : shared) {
      one = dsm::allocate<std::byte>(share * static_cast<std::size_t>(dsm::size()));
      write(one.subspan(share * static_cast<std::size_t>(dsm::rank()), share));
    }
  });
  dsm::barrier();
  for (const auto& one : shared) dsm::free(one);
  return seconds;
}

double write_private() {
  const std::size_t share = share_bytes();
  std::array<void*, arrays> own{};
  dsm::barrier();
  const double seconds = bench::timed([&] {
    for (void*& one : own) {
      one = mmap(nullptr, share, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (one == MAP_FAILED) throw std::bad_alloc();
      madvise(one, share, MADV_NOHUGEPAGE);  // fails where there are none, and then is not needed
      write({static_cast<std::byte*>(one), share});
    }
  });
  dsm::barrier();
  for (void* one : own) munmap(one, share);
  return seconds;
}

void add_all(bench::Nodes& nodes) {
  nodes.add("first_write/shared", 1, [](int) { return write_shared(); });
  nodes.add("first_write/private", 1, [](int) { return write_private(); });
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run_nodes(argc, argv, add_all);
}
