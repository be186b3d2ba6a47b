// What it costs a node to write pages of its own that others hold, and to tell of them; start it
// with DSM_WATCH=trap and with DSM_WATCH=auto or scan to compare. Node 0 is home to all pages; the
// others read them all again behind each barrier, which is not measured.
//
//   write/P   one page in so many is written, P percent, others in each round; then a barrier
//   hold      none is, ever: what it costs to have them watched, by barrier
//   hand_over a lock changes hands, and no page is written: the same by hand-over
#include <stdlib.h>

#include <mutex>

#include "nodes.hpp"

namespace {

constexpr std::size_t pages = 4096;

std::uint64_t& word(std::span<std::uint64_t> memory, std::size_t page) {
  return memory[page * dsm::page_size() / sizeof(std::uint64_t)];
}

void read_all(std::span<std::uint64_t> memory) {
  for (std::size_t page = 0; page < pages; ++page)
    static_cast<void>(*static_cast<const volatile std::uint64_t*>(&word(memory, page)));
}

// A region each: what was written in one has no part in another.
std::span<std::uint64_t> allocate() {
  return dsm::allocate<std::uint64_t>(pages * dsm::page_size() / sizeof(std::uint64_t),
                                      dsm::Placement::on(0));
}

// Everybody reads, and nobody writes, until the pages are watched.
void settle(std::span<std::uint64_t> memory) {
  for (int i = 0; i < 4; ++i) {
    if (dsm::rank() != 0) read_all(memory);
    dsm::barrier();
  }
}

void add_write(bench::Nodes& nodes, const char* name, std::size_t share) {
  const auto memory = allocate();
  const auto written = static_cast<int>(pages / share);
  nodes.add(name, written, [=, round = std::size_t{0}](int) mutable {
    ++round;
    if (dsm::rank() != 0) read_all(memory);
    dsm::barrier();
    const double seconds = bench::timed([&] {
      if (dsm::rank() == 0)
        for (std::size_t i = 0; i < pages / share; ++i)
          ++word(memory, (i * share + round * 7 % share) % pages);
      dsm::barrier();
    });
    return seconds;
  });
}

void add_all(bench::Nodes& nodes) {
  add_write(nodes, "write/1", 100);
  add_write(nodes, "write/10", 10);
  add_write(nodes, "write/50", 2);
  add_write(nodes, "write/100", 1);
  nodes.add("hold", 100, [memory = allocate()](int times) {
    settle(memory);
    return bench::timed([=] {
      for (int i = 0; i < times; ++i) dsm::barrier();
    });
  });
  // Each waits for its turn, so that the lock changes hands every time.
  nodes.add("hand_over", 100,
            [memory = allocate(),
             turns = dsm::allocate<std::uint64_t>(1, dsm::Placement::on(1))](int times) {
              settle(memory);
              dsm::Lock lock(1);
              if (dsm::rank() == 0) turns[0] = 0;
              dsm::barrier();
              const auto mine = static_cast<std::uint64_t>(dsm::rank());
              return bench::timed([&] {
                for (int i = 0; i < times && mine < 2;) {
                  const std::scoped_lock hold(lock);
                  if (turns[0] % 2 != mine) continue;
                  ++turns[0];
                  ++i;
                }
              });
            });
}

}  // namespace

int main(int argc, char** argv) {
  ::setenv("DSM_PUSH", "0", 1);  // pushed pages are not watched
  return bench::run_nodes(argc, argv, add_all);
}
