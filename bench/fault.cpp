// What an access to a page costs that is not here, or may not be written yet: the last node writes
// pages of its own, and after a barrier node 0 reads them, or writes them. From the second round
// on, node 0's frames for these pages are warm.
//
//   trap      the page is here, and the kernel only lost the mapping: a trap that needs nothing else
//   upgrade   the page is here to be read, and is written: a trap and a twin
//   read_miss, write_miss   the page is fetched
//
// A miss also fetches the pages behind it that this node had before. So "single" uses every second
// page only, and a miss is one page; "random" and "sequential" use all, and a miss brings several:
// their time a page is not that of a miss. The counters tell: faults and pages fetched by
// operation.
//
// While node 0 touches the pages their home waits at a barrier; under ".../computing" it computes,
// and calls nothing, for longer than that takes. That makes rounds long, and caches cold:
// ".../waiting" has rounds as long, in which the home waits, to compare with.
#include <sys/mman.h>
#include <cstdlib>

#include <algorithm>
#include <memory>
#include <random>

#include "exchange.hpp"
#include "nodes.hpp"

namespace {

constexpr int touches = 512;  // by node 0 in a round
constexpr std::size_t pages = 2 * touches;

using Order = std::vector<std::size_t>;  // of pages
using Touch = void (*)(std::uint64_t& word);

void read(std::uint64_t& word) {
  static_cast<void>(*static_cast<const volatile std::uint64_t*>(&word));
}
void write(std::uint64_t& word) {
  *static_cast<volatile std::uint64_t*>(&word) = 1;
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

void compute_for(double seconds) {
  const auto start = std::chrono::steady_clock::now();
  const std::chrono::duration<double> planned(seconds);
  for (double x = 1; std::chrono::steady_clock::now() - start < planned;) {
    for (int i = 0; i < 1000; ++i) benchmark::DoNotOptimize(x = x * 0.999 + 1);
  }
}

struct Case {
  const char* name;
  Order order;
  void (*prepare)(std::span<std::uint64_t> memory, const Order&);  // by node 0, untimed
  Touch touch;
  enum class Home { at_barrier, waiting, computing } home = Home::at_barrier;
};

bool is_home() {
  return dsm::rank() == dsm::size() - 1;
}

std::size_t words_of_page() {
  return dsm::page_size() / sizeof(std::uint64_t);
}

struct Took {
  double touches;  // seconds
  double all;      // their preparation included
};

// The last node dirties the pages, so that node 0's copies are invalid after the barrier; node 0
// then touches a word of each.
Took touch_once(std::span<std::uint64_t> memory, const Case& of, double round_for) {
  const std::size_t words = words_of_page();
  dsm::barrier();
  if (is_home()) {
    for (const std::size_t page : of.order) ++memory[page * words];
  }
  dsm::barrier();
  Took took{};
  if (dsm::rank() == 0) {
    took.all = bench::timed([&] {
      // No barrier behind it: that would take the copies away again.
      if (of.prepare != nullptr) of.prepare(memory, of.order);
      took.touches = bench::timed([&] {
        for (const std::size_t page : of.order) of.touch(memory[page * words + 1]);
      });
    });
    compute_for(round_for - took.all);
  } else if (of.home == Case::Home::computing && is_home()) {
    compute_for(round_for);
  }
  dsm::barrier();
  return took;
}

// A round lasts four times as long as the last one's touches took; should they take longer than
// that the home was done before, so the round does not count, and is had again.
double touch_in_long_rounds(std::span<std::uint64_t> memory, const Case& of, double& round_for) {
  for (;;) {
    const double planned = round_for;
    Took took = touch_once(memory, of, planned);
    dsm::broadcast(took);
    round_for = 4 * took.all;
    if (took.all < planned) return took.touches;
  }
}

void add(bench::Nodes& nodes, const Case& of) {
  // A region each: what one benchmark had before would be fetched along in another.
  const auto memory =
      dsm::allocate<std::uint64_t>(pages * words_of_page(), dsm::Placement::on(dsm::size() - 1));
  const auto round_for = std::make_shared<double>(0.005);
  nodes.add(of.name, touches, [=](int) {
    return of.home == Case::Home::at_barrier ? touch_once(memory, of, 0).touches
                                             : touch_in_long_rounds(memory, of, *round_for);
  });
}

void read_all(std::span<std::uint64_t> memory, const Order& order) {
  for (const std::size_t page : order) read(memory[page * words_of_page()]);
}

// As a kernel does that runs short of memory.
void read_and_unmap(std::span<std::uint64_t> memory, const Order& order) {
  read_all(memory, order);
  madvise(memory.data(), memory.size_bytes(), MADV_DONTNEED);
}

void add_all(bench::Nodes& nodes) {
  bench::add_exchange(nodes, 100);
  if (dsm::size() < 2) throw dsm::Error("needs at least 2 nodes: start it by dsmrun -n 2");
  const Order single = shuffled(every(2));
  add(nodes, {"trap/single", single, read_and_unmap, read});
  add(nodes, {"upgrade/single", single, read_all, write});
  add(nodes, {"read_miss/single", single, nullptr, read});
  add(nodes, {"read_miss/random", shuffled(every(1)), nullptr, read});
  add(nodes, {"read_miss/sequential", every(1), nullptr, read});
  add(nodes, {"write_miss/single", single, nullptr, write});
  using Home = Case::Home;
  add(nodes, {"upgrade/waiting", single, read_all, write, Home::waiting});
  add(nodes, {"upgrade/computing", single, read_all, write, Home::computing});
  add(nodes, {"read_miss/waiting", single, nullptr, read, Home::waiting});
  add(nodes, {"read_miss/computing", single, nullptr, read, Home::computing});
  add(nodes, {"write_miss/waiting", single, nullptr, write, Home::waiting});
  add(nodes, {"write_miss/computing", single, nullptr, write, Home::computing});
}

}  // namespace

int main(int argc, char** argv) {
  ::setenv("DSM_PUSH", "0", 1);  // measured is what is asked for: nothing is to come unasked
  return bench::run_nodes(argc, argv, add_all);
}
