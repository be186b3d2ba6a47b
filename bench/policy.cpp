// What a policy costs: the same stencil on one row of pages a node, in regions of each policy. In
// every iteration a node computes its row from its own and its neighbours' borders, and all meet
// once. And what homes cost that are at the wrong nodes at first.
#include <array>
#include <utility>

#include "nodes.hpp"

namespace {

// A row is two arrays, read and written by turns. Its first and last word are the borders.
void add_stencil(bench::Nodes& nodes, const char* name, dsm::Policy policy) {
  constexpr int operations = 50;
  constexpr std::size_t pages = 8;
  const std::size_t words = pages * dsm::page_size() / sizeof(double);
  const auto ranks = static_cast<std::size_t>(dsm::size());
  const auto rank = static_cast<std::size_t>(dsm::rank());
  std::array<std::span<double>, 2> grid;
  for (auto& one : grid)
    one = dsm::allocate<double>(words * ranks, dsm::Placement::block(), policy);
  nodes.add(std::string("stencil/") + name, operations, [=](int times) {
    const std::size_t first = rank * words, end = first + words;
    dsm::barrier();
    return bench::timed([=] {
      for (int i = 0; i < times; ++i) {
        const std::span<double> from = grid[static_cast<std::size_t>(i % 2)];
        const std::span<double> to = grid[static_cast<std::size_t>((i + 1) % 2)];
        const double before = from[(first + from.size() - 1) % from.size()];
        const double behind = from[end % from.size()];
        to[first] = (before + from[first] + from[first + 1]) / 3 + 1;
        for (std::size_t j = first + 1; j + 1 < end; ++j)
          to[j] = (from[j - 1] + from[j] + from[j + 1]) / 3 + 1;
        to[end - 1] = (from[end - 2] + from[end - 1] + behind) / 3 + 1;
        dsm::barrier();
      }
    });
  });
}

// Each node writes all of its row, whose home is the node `step` further: what it costs to go on
// writing memory that was placed wrongly. The rows are written until nothing moves any more, and
// then measured.
void add_homes(bench::Nodes& nodes, const char* name, std::size_t step) {
  constexpr int operations = 50, settling = 60;
  constexpr std::size_t pages = 64;
  const std::size_t words = pages * dsm::page_size() / sizeof(double);
  const auto ranks = static_cast<std::size_t>(dsm::size());
  const auto rank = static_cast<std::size_t>(dsm::rank());
  const std::span<double> rows =
      dsm::allocate<double>(words * ranks, dsm::Placement::by([=](std::size_t page) {
                              return static_cast<int>((page / pages + step) % ranks);
                            }));
  const auto write = [=](int times) {
    for (int i = 0; i < times; ++i) {
      for (double& word : rows.subspan(rank * words, words)) word += 1;
      dsm::barrier();
    }
  };
  bool settled = false;
  nodes.add(std::string("homes/") + name, operations, [=](int times) mutable {
    dsm::barrier();
    if (!std::exchange(settled, true)) write(settling);
    return bench::timed([=] { write(times); });
  });
}

void add_all(bench::Nodes& nodes) {
  add_stencil(nodes, "scope", dsm::Policy::scope);
  add_stencil(nodes, "release", dsm::Policy::release);
  add_stencil(nodes, "bound", dsm::Policy::bound);
  add_stencil(nodes, "sequential", dsm::Policy::sequential);
  add_homes(nodes, "own", 0);
  add_homes(nodes, "next", 1);
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run_nodes(argc, argv, add_all);
}
