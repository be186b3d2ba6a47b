// What the collective calls cost, of small values and of larger ones. mpi.cpp has the same names.
#include <vector>

#include "nodes.hpp"

namespace {

constexpr int operations = 100;
constexpr std::size_t large_words = 8192;  // 64 KiB
constexpr std::size_t sum_words = 1024;

template <typename Call>
void add(bench::Nodes& nodes, const char* name, Call call) {
  nodes.add(name, operations, [=](int times) mutable {
    return bench::timed([&] {
      for (int i = 0; i < times; ++i) call();
    });
  });
}

void add_all(bench::Nodes& nodes) {
  add(nodes, "all_reduce", [] { benchmark::DoNotOptimize(dsm::all_reduce(1.0)); });
  add(nodes, "all_reduce_1024", [values = std::vector<double>(sum_words, 1e-9)]() mutable {
    dsm::Team::all().all_reduce(std::span(values));
  });
  add(nodes, "broadcast", [] {
    std::uint64_t value = 1;
    dsm::broadcast(value);
    benchmark::DoNotOptimize(value);
  });
  add(nodes, "broadcast_64k", [values = std::vector<std::uint64_t>(large_words)]() mutable {
    dsm::broadcast(std::span(values));
  });
  add(nodes, "all_gather", [] { benchmark::DoNotOptimize(dsm::all_gather(1.0)); });
  add(nodes, "inclusive_scan", [] { benchmark::DoNotOptimize(dsm::inclusive_scan(1.0)); });
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run_nodes(argc, argv, add_all);
}
