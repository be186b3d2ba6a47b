// What a lock costs: taken again by its last holder, taken from another node, and fought over by
// all.
#include <mutex>

#include "nodes.hpp"

namespace {

constexpr int operations = 200;

void take_all(std::uint64_t first, int count) {
  for (int i = 0; i < count; ++i) {
    dsm::Lock lock(first + static_cast<std::uint64_t>(i));
    const std::scoped_lock hold(lock);
  }
}

void add_all(bench::Nodes& nodes) {
  // Far from the numbers that the default constructor hands out.
  constexpr std::uint64_t numbers = std::uint64_t{1} << 40;

  nodes.add("lock/last_here", operations, [=](int times) {
    double seconds = 0;
    if (dsm::rank() == 0) {
      dsm::Lock lock(numbers);
      seconds = bench::timed([&] {
        for (int i = 0; i < times; ++i) const std::scoped_lock hold(lock);
      });
    }
    dsm::barrier();
    return seconds;
  });

  nodes.add("lock/last_elsewhere", operations, [=](int times) {
    constexpr std::uint64_t first = numbers + 1000;
    if (dsm::rank() == dsm::size() - 1) take_all(first, times);
    dsm::barrier();
    const double seconds = dsm::rank() == 0 ? bench::timed([&] { take_all(first, times); }) : 0;
    dsm::barrier();
    return seconds;
  });

  // Every node takes it times / size() times; an operation is one increment by anybody.
  const auto counter = dsm::allocate<std::uint64_t>(1, dsm::Placement::on(0));
  nodes.add("lock/contended_counter", operations * dsm::size(), [=](int times) {
    dsm::Lock lock(numbers + 2000);
    dsm::barrier();
    return bench::timed([&] {
      for (int i = 0; i < times / dsm::size(); ++i) {
        const std::scoped_lock hold(lock);
        ++counter[0];
      }
      dsm::barrier();
    });
  });
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run_nodes(argc, argv, add_all);
}
