// What sending written pages home costs, by how much of them was written: node 0 writes words of
// pages that are at home at the last node, evenly spread, and then meets the others at a barrier,
// which its diffs must precede. An operation is one page; the barrier itself is shared by all of a
// round.
#include <string>

#include "nodes.hpp"

namespace {

constexpr int pages = 256;

void add_diff(bench::Nodes& nodes, std::size_t words, std::span<std::uint64_t> memory) {
  const std::size_t page_words = dsm::page_size() / sizeof(std::uint64_t);
  nodes.add("diff/" + std::to_string(words), pages, [=](int) {
    if (dsm::rank() == 0) {
      for (std::size_t i = 0; i < memory.size(); i += page_words / words) ++memory[i];
    }
    return bench::timed([] { dsm::barrier(); });
  });
}

void add_all(bench::Nodes& nodes) {
  if (dsm::size() < 2) throw dsm::Error("needs at least 2 nodes: start it by dsmrun -n 2");
  const std::size_t page_words = dsm::page_size() / sizeof(std::uint64_t);
  const auto memory =
      dsm::allocate<std::uint64_t>(pages * page_words, dsm::Placement::on(dsm::size() - 1));
  for (std::size_t words = 1; words < page_words; words *= 8) add_diff(nodes, words, memory);
  add_diff(nodes, page_words / 4, memory);
  add_diff(nodes, page_words, memory);
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run_nodes(argc, argv, add_all);
}
