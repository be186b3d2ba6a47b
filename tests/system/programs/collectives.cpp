// Broadcast, gather, reductions that give the same bits everywhere, and barriers of threads.
#include <bit>
#include <mutex>

#include "scenario.hpp"

using namespace scenario;  // NOLINT: a test program

namespace {

void broadcasts() {
  for (int root = 0; root < nodes(); ++root) {
    std::uint64_t value = static_cast<std::uint64_t>(me() + 1) * 1000;
    dsm::broadcast(value, root);
    same(value, static_cast<std::uint64_t>(root + 1) * 1000, "the value of the root");
  }
  // A MiB, in private memory and in shared memory that is the root's, another node's, and spread.
  const std::size_t bytes = std::size_t{1} << 20;
  std::vector<std::uint64_t> own(bytes / 8);
  for (std::size_t i = 0; i < own.size(); ++i) own[i] = mix(i, static_cast<unsigned>(me()));
  dsm::broadcast_bytes(own.data(), bytes, nodes() - 1);
  for (std::size_t i = 0; i < own.size(); ++i)
    same_at(own[i], mix(i, static_cast<unsigned>(nodes() - 1)), "word", i);
  auto shared = dsm::allocate<std::uint64_t>(own.size(), dsm::Placement::cyclic());
  for (int root = 0; root < nodes(); ++root) {
    if (me() == root)
      for (std::size_t i = 0; i < own.size(); ++i)
        shared[i] = mix(i, static_cast<unsigned>(root), 5);
    dsm::broadcast_bytes(shared.data(), bytes, root);
    for (std::size_t i = 0; i < own.size(); ++i)
      same_at(shared[i], mix(i, static_cast<unsigned>(root), 5), "shared word", i);
    dsm::barrier();
  }
  dsm::broadcast_bytes(nullptr, 0, 0);
}

void reductions() {
  // Terms of very different size: the sum depends on the order.
  for (std::uint64_t round = 0; round < 30; ++round) {
    const auto term = [&](int node) {
      return std::bit_cast<double>(mix(round, static_cast<unsigned>(node)) >> 12 |
                                   0x3ff0000000000000u) *
             (node % 3 == 1 ? 1e17 : -1e3);
    };
    double expected = term(0);
    for (int n = 1; n < nodes(); ++n) expected = expected + term(n);
    const double sum = dsm::all_reduce(term(me()));
    check(std::bit_cast<std::uint64_t>(sum) == std::bit_cast<std::uint64_t>(expected),
          "the sum is that in order of rank");
  }
  const int most = dsm::all_reduce(me() * 7 % 5, [](int a, int b) { return a > b ? a : b; });
  int expected = 0;
  for (int n = 0; n < nodes(); ++n) expected = std::max(expected, n * 7 % 5);
  same(most, expected, "the maximum");
  // Subtraction is not associative: ((v0 - v1) - v2) - ...
  long difference = 100;
  for (int n = 1; n < nodes(); ++n) difference -= n * n;
  same(dsm::all_reduce(me() == 0 ? 100L : static_cast<long>(me()) * me(), std::minus<>()),
       difference, "the difference");
}

void gathers() {
  struct Item {
    int rank;
    std::uint64_t word[3];
  };
  Item mine{me(), {mix(static_cast<unsigned>(me())), 2, 3}};
  auto all = dsm::allocate<Item>(
      static_cast<std::size_t>(nodes()) * static_cast<std::size_t>(nodes()), dsm::Placement::on(0));
  auto row =
      all.subspan(static_cast<std::size_t>(me() * nodes()), static_cast<std::size_t>(nodes()));
  dsm::all_gather_bytes(&mine, sizeof mine, row.data());
  dsm::barrier();
  for (std::size_t i = 0; i < all.size(); ++i) {
    const int rank = static_cast<int>(i) % nodes();
    same_at(all[i].rank, rank, "rank in item", i);
    same_at(all[i].word[0], mix(static_cast<unsigned>(rank)), "word of item", i);
  }
}

// Composition of x -> a x + b: associative, not commutative, so the order shows.
struct Affine {
  std::uint64_t a, b;
};
Affine then(const Affine& first, const Affine& second) {
  return {second.a * first.a, second.a * first.b + second.b};
}

void roots() {
  const auto own = [](int node) {
    return Affine{mix(static_cast<unsigned>(node), 1) | 1, mix(static_cast<unsigned>(node), 2)};
  };
  for (int root = 0; root < nodes(); ++root) {
    const std::optional<Affine> all = dsm::reduce(own(me()), root, then);
    same(all.has_value(), me() == root, "having the result");
    Affine expected = own(0);
    for (int n = 1; n < nodes(); ++n) expected = then(expected, own(n));
    if (all) same(all->a, expected.a, "the product"), same(all->b, expected.b, "the rest");
  }
  same(dsm::reduce(me() + 1).value_or(0), me() == 0 ? nodes() * (nodes() + 1) / 2 : 0, "the sum");
}

void scans() {
  const auto own = [](int node) {
    return Affine{mix(static_cast<unsigned>(node), 3) | 1, mix(static_cast<unsigned>(node), 4)};
  };
  Affine before{1, 7};
  for (int n = 0; n < me(); ++n) before = then(before, own(n));
  const Affine exclusive = dsm::exclusive_scan(own(me()), Affine{1, 7}, then);
  same(exclusive.a, before.a, "the product before");
  same(exclusive.b, before.b, "the rest before");
  Affine with = own(0);
  for (int n = 1; n <= me(); ++n) with = then(with, own(n));
  const Affine inclusive = dsm::inclusive_scan(own(me()), then);
  same(inclusive.a, with.a, "the product up to here");
  same(inclusive.b, with.b, "the rest up to here");
  same(dsm::inclusive_scan(1), me() + 1, "the nodes up to here");
  same(dsm::exclusive_scan(1, 0), me(), "the nodes before");
}

void spans() {
  constexpr std::size_t each = 1000;
  const auto count = static_cast<std::size_t>(nodes());
  // Of private memory, of shared memory, and of none.
  std::vector<std::uint32_t> own(each);
  auto shared = dsm::allocate<std::uint32_t>(each * count, dsm::Placement::cyclic());
  const std::span<std::uint32_t> part = shared.subspan(each * static_cast<std::size_t>(me()), each);
  for (std::size_t i = 0; i < each; ++i)
    own[i] = part[i] = static_cast<std::uint32_t>(mix(i, static_cast<unsigned>(me()), 9));
  for (const std::vector<std::uint32_t>& all :
       {dsm::all_gather(std::span(own)), dsm::all_gather(part)}) {
    same(all.size(), each * count, "the number of values");
    for (std::size_t i = 0; i < all.size(); ++i)
      same_at(all[i], static_cast<std::uint32_t>(mix(i % each, i / each, 9)), "value", i);
  }
  const std::vector<int> ranks = dsm::all_gather(me());
  for (int n = 0; n < nodes(); ++n) same(ranks[static_cast<std::size_t>(n)], n, "the rank");
  same(dsm::all_gather(std::span<int>()).size(), std::size_t{0}, "what nobody gave");

  dsm::all_reduce(part);
  for (std::size_t i = 0; i < each; ++i) {
    std::uint32_t sum = 0;
    for (std::size_t n = 0; n < count; ++n) sum += static_cast<std::uint32_t>(mix(i, n, 9));
    same_at(part[i], sum, "sum", i);
  }
  dsm::all_reduce(std::span<int>());
  for (int root = 0; root < nodes(); ++root) {
    if (me() == root)
      for (std::size_t i = 0; i < each; ++i) own[i] = static_cast<std::uint32_t>(i) + 7;
    dsm::broadcast(std::span(own), root);
    for (std::size_t i = 0; i < each; ++i)
      same_at(own[i], static_cast<std::uint32_t>(i) + 7, "word", i);
    for (auto& word : own) word = 0;
  }
}

void threads() {
  constexpr int per_node = 5, rounds = 60;
  const std::size_t all = static_cast<std::size_t>(nodes() * per_node);
  auto slot = dsm::allocate<std::uint64_t>(all);
  dsm::Barrier together(per_node);
  in_threads(per_node, [&](int t) {
    const std::size_t self = static_cast<std::size_t>(me() * per_node + t);
    for (std::uint64_t round = 1; round <= rounds; ++round) {
      slot[self] = mix(round, self);
      together.arrive_and_wait();
      const std::size_t other = (self + round) % all;
      same_at(slot[other], mix(round, other), "slot", other);
      together.arrive_and_wait();
    }
  });
}

// Everything that is written before a barrier is seen after it, a thousand times.
void barriers() {
  auto word =
      dsm::allocate<std::uint64_t>(static_cast<std::size_t>(nodes()), dsm::Placement::on(0));
  const std::size_t self = static_cast<std::size_t>(me()),
                    next = (self + 1) % static_cast<std::size_t>(nodes());
  for (std::uint64_t round = 1; round <= 500; ++round) {
    word[self] = round;
    dsm::barrier();
    same_at(word[next], round, "word of node", next);
    dsm::barrier();
  }
}

}  // namespace

int main(int argc, char** argv) {
  return run(argc, argv,
             {{"broadcasts", broadcasts},
              {"reductions", reductions},
              {"gathers", gathers},
              {"roots", roots},
              {"scans", scans},
              {"spans", spans},
              {"threads", threads},
              {"barriers", barriers}});
}
