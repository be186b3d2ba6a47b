// What an atomic operation on a shared word costs: at another node, and fought over by all.
#include "nodes.hpp"

namespace {

constexpr int operations = 1000;

void add_all(bench::Nodes& nodes) {
  const auto far = dsm::allocate<std::uint64_t>(1, dsm::Placement::on(dsm::size() - 1));
  nodes.add("atomic/far", operations, [=](int times) {
    double seconds = 0;
    if (dsm::rank() == 0) {
      const dsm::Atomic word(far[0]);
      seconds = bench::timed([&] {
        for (int i = 0; i < times; ++i) benchmark::DoNotOptimize(word.fetch_add(1));
      });
    }
    dsm::barrier();
    return seconds;
  });

  // Every node adds times / size() times; an operation is one addition by anybody.
  nodes.add("atomic/contended", operations * dsm::size(), [=](int times) {
    const dsm::Atomic word(far[0]);
    dsm::barrier();
    return bench::timed([&] {
      for (int i = 0; i < times / dsm::size(); ++i) benchmark::DoNotOptimize(word.fetch_add(1));
      dsm::barrier();
    });
  });
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run_nodes(argc, argv, add_all);
}
