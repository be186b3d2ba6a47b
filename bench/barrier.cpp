// What meeting costs: alone, and with data that changes hands.
#include "nodes.hpp"

namespace {

void add_all(bench::Nodes& nodes) {
  constexpr int operations = 100;
  nodes.add("barrier", operations, [](int times) {
    return bench::timed([=] {
      for (int i = 0; i < times; ++i) dsm::barrier();
    });
  });

  // One page each at home; everybody writes his, and after a barrier reads the next node's. With
  // pushed pages there is no trap in it: the counters tell.
  const std::size_t words = dsm::page_size() / sizeof(std::uint64_t);
  const auto memory = dsm::allocate<std::uint64_t>(words * static_cast<std::size_t>(dsm::size()),
                                                   dsm::Placement::block());
  const std::size_t mine = words * static_cast<std::size_t>(dsm::rank());
  const std::size_t next = words * static_cast<std::size_t>((dsm::rank() + 1) % dsm::size());
  nodes.add("exchange", operations, [=](int times) {
    return bench::timed([=] {
      for (int i = 0; i < times; ++i) {
        *static_cast<volatile std::uint64_t*>(&memory[mine]) = static_cast<std::uint64_t>(i) + 1;
        dsm::barrier();
        static_cast<void>(*static_cast<const volatile std::uint64_t*>(&memory[next]));
        dsm::barrier();
      }
    });
  });
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run_nodes(argc, argv, add_all);
}
