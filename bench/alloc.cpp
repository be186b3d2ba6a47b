// What a region costs that nobody touches: allocated and freed, collectively.
#include <string>

#include "nodes.hpp"

namespace {

constexpr int operations = 20;

void add_all(bench::Nodes& nodes) {
  for (const std::size_t kib : {4u, 1024u, 65536u}) {
    nodes.add("alloc/" + std::to_string(kib) + "_kib", operations, [=](int times) {
      return bench::timed([&] {
        for (int i = 0; i < times; ++i) dsm::free(dsm::allocate<std::byte>(kib << 10));
      });
    });
  }
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run_nodes(argc, argv, add_all);
}
