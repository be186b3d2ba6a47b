// What meeting costs: alone, and with data that changes hands.
#include "exchange.hpp"

namespace {

void add_all(bench::Nodes& nodes) {
  constexpr int operations = 100;
  nodes.add("barrier", operations, [](int times) {
    return bench::timed([=] {
      for (int i = 0; i < times; ++i) dsm::barrier();
    });
  });

  bench::add_exchange(nodes, operations);
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run_nodes(argc, argv, add_all);
}
