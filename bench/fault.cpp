// What an access to a page costs that is not here: the last node writes pages of its own, and after
// a barrier node 0 reads them (or writes them). From the second round on, node 0's frames for these
// pages are warm.
//
// A miss also fetches the pages behind it that this node had before. So "single" uses every second
// page only, and a miss is one page; "random" and "sequential" use all, and a miss brings several:
// their time a page is not that of a miss. The counters tell: faults and pages fetched by
// operation.
#include <algorithm>
#include <random>

#include "nodes.hpp"

namespace {

constexpr int touches = 512;  // by node 0 in a round
constexpr std::size_t pages = 2 * touches;

using Order = std::vector<std::size_t>;  // of pages

// The last node dirties the pages, so that node 0's copies are invalid after the barrier; node 0
// then touches a word of each.
template <typename Touch>
double touch_pages(std::span<std::uint64_t> memory, const Order& order, const Touch& touch) {
  const std::size_t words = dsm::page_size() / sizeof(std::uint64_t);
  dsm::barrier();
  if (dsm::rank() == dsm::size() - 1) {
    for (const std::size_t page : order) ++memory[page * words];
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

// 0, step, 2 * step and so on.
Order every(std::size_t step) {
  Order order(touches);
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i * step;
  return order;
}

Order shuffled(Order order) {
  std::shuffle(order.begin(), order.end(), std::mt19937(1));
  return order;
}

void add_all(bench::Nodes& nodes) {
  if (dsm::size() < 2) throw dsm::Error("needs at least 2 nodes: start it by dsmrun -n 2");
  const auto read = [](std::uint64_t& word) {
    static_cast<void>(*static_cast<const volatile std::uint64_t*>(&word));
  };
  const auto write = [](std::uint64_t& word) { *static_cast<volatile std::uint64_t*>(&word) = 1; };
  const auto add = [&](const char* name, const Order& order, const auto& touch) {
    // A region each: what one benchmark had before would be fetched along in another.
    const std::size_t words = dsm::page_size() / sizeof(std::uint64_t);
    const auto memory =
        dsm::allocate<std::uint64_t>(pages * words, dsm::Placement::on(dsm::size() - 1));
    nodes.add(name, touches, [=](int) { return touch_pages(memory, order, touch); });
  };
  add("read_miss/single", shuffled(every(2)), read);
  add("read_miss/random", shuffled(every(1)), read);
  add("read_miss/sequential", every(1), read);
  add("write_miss/single", shuffled(every(2)), write);
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run_nodes(argc, argv, add_all);
}
