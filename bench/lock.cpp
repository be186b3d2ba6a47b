// What a lock costs: taken again by its last holder, taken from its manager or from its last holder
// at another node, alone or with what is bound to it, and fought over by all; and what a node does
// that waits for one.
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "nodes.hpp"

namespace {

constexpr int operations = 200;

void take_all(std::uint64_t first, int count) {
  for (int i = 0; i < count; ++i) {
    dsm::Lock lock(first + static_cast<std::uint64_t>(i));
    const std::scoped_lock hold(lock);
  }
}

// Taken from the last node with 64 bytes bound to each, which change hands: many locks share a
// page, whose home takes them.
void add_bound(bench::Nodes& nodes, std::uint64_t first, const char* name, dsm::Refresh refresh) {
  constexpr std::size_t words = 8;
  const auto memory =
      dsm::allocate<std::uint64_t>(operations * words, dsm::Placement::on(0), dsm::Policy::bound);
  std::vector<dsm::Lock> locks;
  for (std::size_t i = 0; i < operations; ++i) {
    locks.emplace_back(first + i);
    locks.back().bind(memory.subspan(i * words, words), refresh);
  }
  const auto take = [=](int times) {
    for (std::size_t i = 0; i < static_cast<std::size_t>(times); ++i) {
      dsm::Lock lock = locks[i];
      const std::scoped_lock hold(lock);
      for (std::size_t w = 0; w < words; ++w) ++memory[i * words + w];
    }
  };
  nodes.add(std::string("lock/bound_64_") + name, operations, [=](int times) {
    if (dsm::rank() == dsm::size() - 1) take(times);
    dsm::barrier();
    const double seconds = dsm::rank() == 0 ? bench::timed([&] { take(times); }) : 0;
    dsm::barrier();
    return seconds;
  });
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

  // Free, and never taken before; its manager is the last node. Every time another lock.
  const auto taken = std::make_shared<std::uint64_t>(0);
  nodes.add("lock/remote", operations, [=](int times) {
    const auto ranks = static_cast<std::uint64_t>(dsm::size());
    const std::uint64_t first = (numbers << 1) / ranks * ranks + ranks - 1;
    double seconds = 0;
    if (dsm::rank() == 0) {
      seconds = bench::timed([&] {
        for (int i = 0; i < times; ++i) {
          dsm::Lock lock(first + (*taken)++ * ranks);
          const std::scoped_lock hold(lock);
        }
      });
    }
    dsm::barrier();
    return seconds;
  });

  add_bound(nodes, numbers + 3000, "push", dsm::Refresh::push);
  add_bound(nodes, numbers + 4000, "pull", dsm::Refresh::pull);

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

  // The last node holds it for a second. What node 0 does meanwhile is told by processor_us.
  nodes.add("lock/waited_a_second", 1, [=](int) {
    dsm::Lock lock(numbers + 5000);
    std::unique_lock hold(lock, std::defer_lock);
    if (dsm::rank() == dsm::size() - 1) hold.lock();
    dsm::barrier();
    if (hold.owns_lock()) {
      std::this_thread::sleep_for(std::chrono::seconds(1));
      hold.unlock();
    }
    double seconds = 0;
    if (dsm::rank() == 0) {
      seconds = bench::timed([&] { hold.lock(); });
      hold.unlock();
    }
    dsm::barrier();
    return seconds;
  });
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run_nodes(argc, argv, add_all);
}
