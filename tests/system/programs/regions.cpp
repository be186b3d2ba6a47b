// Regions: every placement, sizes from one byte to hundreds of MiB, zero-filled, freed and used
// again.
#include "scenario.hpp"

using namespace scenario;  // NOLINT: a test program

namespace {

std::uint64_t home_bytes_of_all() {
  return dsm::all_reduce(dsm::statistics().home_bytes);
}

// Each node writes every n-th word; then each node reads all of them.
void write_and_read(std::span<std::uint64_t> words, std::uint64_t seed) {
  const std::size_t n = static_cast<std::size_t>(nodes());
  for (std::size_t i = 0; i < words.size(); ++i) same_at(words[i], 0u, "fresh word", i);
  dsm::barrier();
  for (std::size_t i = static_cast<std::size_t>(me()); i < words.size(); i += n)
    words[i] = mix(seed, i);
  dsm::barrier();
  for (std::size_t i = 0; i < words.size(); ++i) same_at(words[i], mix(seed, i), "word", i);
}

void placements() {
  const std::size_t page = dsm::page_size();
  const std::size_t pages = 41;
  const int n = nodes();
  std::vector<std::size_t> shares(static_cast<std::size_t>(n), 3 * page + 100);
  shares.back() = pages * page;
  const dsm::Placement all[] = {dsm::Placement::block(),
                                dsm::Placement::cyclic(),
                                dsm::Placement::cyclic(3),
                                dsm::Placement::on(n - 1),
                                dsm::Placement::by([n](std::size_t p) {
                                  return static_cast<int>(mix(p) % static_cast<unsigned>(n));
                                }),
                                dsm::Placement::shares(shares)};
  std::uint64_t seed = 0;
  for (const dsm::Placement& placement : all) {
    const std::uint64_t before = home_bytes_of_all();
    auto words = dsm::allocate<std::uint64_t>(pages * page / sizeof(std::uint64_t) - 5, placement);
    same(home_bytes_of_all() - before, pages * page, "the nodes' home bytes");
    same(reinterpret_cast<std::uintptr_t>(words.data()) % page, 0u, "the region's alignment");
    const auto address = reinterpret_cast<std::uintptr_t>(words.data());
    same(dsm::all_reduce(address, [](auto a, auto b) { return a == b ? a : 0; }), address,
         "the address on all nodes");
    write_and_read(words, ++seed);
    dsm::free(words);
    same(home_bytes_of_all(), before, "the home bytes after free()");
  }
}

void sizes() {
  const std::size_t page = dsm::page_size();
  for (const std::size_t bytes : {std::size_t{1}, page - 1, page, page + 1,
                                  (std::size_t{1} << 20) + 1, std::size_t{4} << 20}) {
    auto memory = dsm::allocate<unsigned char>(bytes);
    const auto writer = [&](std::size_t i) {
      return static_cast<int>(i / 7 % static_cast<std::size_t>(nodes()));
    };
    for (std::size_t i = 0; i < bytes; ++i) same_at(memory[i], 0, "fresh byte", i);
    dsm::barrier();
    for (std::size_t i = 0; i < bytes; ++i)
      if (writer(i) == me()) memory[i] = static_cast<unsigned char>(mix(i, bytes));
    dsm::barrier();
    for (std::size_t i = 0; i < bytes; ++i)
      same_at(memory[i], static_cast<unsigned char>(mix(i, bytes)), "byte", i);
    dsm::barrier();
  }
}

// More than fits any cache line of the design: several chunks at every node, sparse use.
void large() {
  const std::size_t words = (std::size_t{300} << 20) / sizeof(std::uint64_t);
  const std::size_t step = 9973;
  auto memory = dsm::allocate<std::uint64_t>(words);
  for (std::size_t i = static_cast<std::size_t>(me()) * step; i < words;
       i += static_cast<std::size_t>(nodes()) * step)
    memory[i] = mix(i);
  dsm::barrier();
  for (std::size_t i = 0; i < words; i += step) same_at(memory[i], mix(i), "word", i);
  dsm::barrier();
  dsm::free(memory);
}

// What was freed is given out again, and nobody sees what was there before.
void reuse() {
  const std::size_t page = dsm::page_size();
  const std::size_t sizes_in_pages[] = {1, 700, 3, 513, 64};
  void* first[std::size(sizes_in_pages)] = {};
  for (std::uint64_t round = 0; round < 30; ++round) {
    const std::size_t which = round % std::size(sizes_in_pages);
    auto words = dsm::allocate<std::uint64_t>(
        sizes_in_pages[which] * page / sizeof(std::uint64_t),
        round % 2 == 0 ? dsm::Placement::cyclic() : dsm::Placement::block());
    if (first[which] == nullptr) first[which] = words.data();
    check(words.data() == first[which], "a region that was freed is used again");
    const std::size_t step = page / sizeof(std::uint64_t) / 2;
    for (std::size_t i = 0; i < words.size(); i += step) same_at(words[i], 0u, "fresh word", i);
    dsm::barrier();
    for (std::size_t i = 0; i < words.size(); i += step)
      if (mix(i, round) % static_cast<unsigned>(nodes()) == static_cast<unsigned>(me()))
        words[i] = mix(round, i);
    dsm::barrier();
    for (std::size_t i = 0; i < words.size(); i += step)
      same_at(words[i], mix(round, i), "word", i);
    dsm::free(words);
  }
}

void many() {
  constexpr std::size_t count = 300;
  std::vector<std::span<std::uint64_t>> regions;
  for (std::size_t i = 0; i < count; ++i)
    regions.push_back(dsm::allocate<std::uint64_t>(
        1 + mix(i) % 2000,
        dsm::Placement::on(static_cast<int>(i % static_cast<std::size_t>(nodes())))));
  for (std::size_t i = 0; i < count; ++i)
    if (mix(i, 1) % static_cast<unsigned>(nodes()) == static_cast<unsigned>(me()))
      regions[i].back() = mix(i, 2);
  dsm::barrier();
  for (std::size_t i = 0; i < count; ++i) same_at(regions[i].back(), mix(i, 2), "region", i);
  dsm::barrier();
  for (std::size_t i = 0; i < count; i += 2) dsm::free(regions[i]);
  for (std::size_t i = 1; i < count; i += 2)
    same_at(regions[i].back(), mix(i, 2), "region that stayed", i);
}

// Every page has another home than its neighbours.
void cyclic() {
  const std::size_t page = dsm::page_size();
  const std::size_t pages = 8192;
  auto words =
      dsm::allocate<std::uint64_t>(pages * page / sizeof(std::uint64_t), dsm::Placement::cyclic(1));
  const std::size_t step = page / sizeof(std::uint64_t);
  const std::size_t n = static_cast<std::size_t>(nodes());
  for (std::size_t p = 0; p < pages; ++p)
    if ((p / 3 + static_cast<std::size_t>(me())) % n == 0) words[p * step + 1] = mix(p);
  dsm::barrier();
  for (std::size_t p = static_cast<std::size_t>(me()); p < pages; p += n + 1) {
    same_at(words[p * step + 1], mix(p), "word of page", p);
    same_at(words[p * step], 0u, "untouched word of page", p);
  }
}

}  // namespace

int main(int argc, char** argv) {
  return run(argc, argv,
             {{"placements", placements},
              {"sizes", sizes},
              {"large", large},
              {"reuse", reuse},
              {"many", many},
              {"cyclic", cyclic}});
}
