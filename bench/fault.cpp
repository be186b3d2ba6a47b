// What an access to a page costs that is not here: node 1 writes pages of its own, and after a
// barrier node 0 reads them (or writes them). From the second round on, node 0's frames for these
// pages are warm.
#include <algorithm>
#include <numeric>
#include <random>

#include "nodes.hpp"

namespace {

constexpr int pages = 512;

// Node 1 dirties every page, so that node 0's copies are invalid after the barrier; node 0 then
// touches one word of each.
template <typename Touch>
double touch_pages(std::span<std::uint64_t> memory, const std::vector<std::size_t>& order,
                   const Touch& touch) {
  const std::size_t words = dsm::page_size() / sizeof(std::uint64_t);
  dsm::barrier();
  if (dsm::rank() == dsm::size() - 1) {
    for (std::size_t page = 0; page < pages; ++page) ++memory[page * words];
  }
  dsm::barrier();
  double seconds = 0;
  if (dsm::rank() == 0) {
    seconds = bench::timed([&] {
      for (const std::size_t page : order) touch(memory[page * words + 1]);
    });
  }
  dsm::barrier();
  return seconds;
}

void add_all(bench::Nodes& nodes) {
  if (dsm::size() < 2) throw dsm::Error("needs at least 2 nodes: start it by dsmrun -n 2");
  const std::size_t words = dsm::page_size() / sizeof(std::uint64_t);
  const auto memory =
      dsm::allocate<std::uint64_t>(pages * words, dsm::Placement::on(dsm::size() - 1));

  std::vector<std::size_t> in_order(pages);
  std::iota(in_order.begin(), in_order.end(), std::size_t{0});
  std::vector<std::size_t> shuffled = in_order;
  std::shuffle(shuffled.begin(), shuffled.end(), std::mt19937(1));  // so that no read ahead helps

  const auto read = [](std::uint64_t& word) {
    static_cast<void>(*static_cast<const volatile std::uint64_t*>(&word));
  };
  const auto write = [](std::uint64_t& word) { *static_cast<volatile std::uint64_t*>(&word) = 1; };
  nodes.add("read_miss/random", pages, [=](int) { return touch_pages(memory, shuffled, read); });
  nodes.add("read_miss/sequential", pages,
            [=](int) { return touch_pages(memory, in_order, read); });
  nodes.add("write_miss/random", pages, [=](int) { return touch_pages(memory, shuffled, write); });
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run_nodes(argc, argv, add_all);
}
