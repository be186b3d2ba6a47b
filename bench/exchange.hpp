// One page each at home; everybody writes his, and after a barrier reads the next node's. What
// barriers bring is not asked for: in bench/barrier there is no trap in it after a while, in
// bench/fault there is.
#pragma once

#include "nodes.hpp"

namespace bench {

inline void add_exchange(Nodes& nodes, int operations) {
  const std::size_t words = dsm::page_size() / sizeof(std::uint64_t);
  const auto memory = dsm::allocate<std::uint64_t>(words * static_cast<std::size_t>(dsm::size()),
                                                   dsm::Placement::block());
  const std::size_t mine = words * static_cast<std::size_t>(dsm::rank());
  const std::size_t next = words * static_cast<std::size_t>((dsm::rank() + 1) % dsm::size());
  nodes.add("exchange", operations, [=](int times) {
    return timed([=] {
      for (int i = 0; i < times; ++i) {
        *static_cast<volatile std::uint64_t*>(&memory[mine]) = static_cast<std::uint64_t>(i) + 1;
        dsm::barrier();
        static_cast<void>(*static_cast<const volatile std::uint64_t*>(&memory[next]));
        dsm::barrier();
      }
    });
  });
}

}  // namespace bench
