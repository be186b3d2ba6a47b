// Pages whose homes are at the wrong nodes: they move to those that write them, and everything
// stays as it was written. DSM_CACHE=32M DSM_MIGRATE=4.
#include <cstdlib>
#include <mutex>

#include "scenario.hpp"

using namespace scenario;  // NOLINT: a test program

namespace {

std::size_t rank() {
  return static_cast<std::size_t>(me());
}
std::size_t size() {
  return static_cast<std::size_t>(nodes());
}

bool is_off() {
  const char* const migrate = std::getenv("DSM_MIGRATE");
  const bool debug = std::getenv("DSM_DEBUG") != nullptr;
  return debug || migrate == nullptr || std::string_view(migrate) == "0";
}

// Each node has a block of pages, and every block is at home on the next node.
class Blocks {
 public:
  explicit Blocks(std::size_t pages) : words_(pages * dsm::page_size() / sizeof(std::uint64_t)) {
    memory_ =
        dsm::allocate<std::uint64_t>(words_ * size(), dsm::Placement::by([pages](std::size_t p) {
                                       return static_cast<int>((p / pages + 1) % size());
                                     }));
  }
  std::size_t words() const { return words_; }
  std::uint64_t& word(std::size_t block, std::size_t i) { return memory_[block * words_ + i]; }
  void write(std::size_t block, std::uint64_t round) {
    for (std::size_t i = 0; i < words_; i += 3) word(block, i) = mix(round, block, i);
  }
  void check(std::size_t block, std::uint64_t round, std::size_t step = 3) {
    for (std::size_t i = 0; i < words_; i += step)
      same_at(word(block, i), mix(round, block, i), "word", i);
  }

 private:
  std::size_t words_;
  std::span<std::uint64_t> memory_;
};

// The pages of a block arrive at its writer, whose steady state has no trap and sends nothing home.
void blocks() {
  constexpr std::size_t pages = 100;
  constexpr std::uint64_t rounds = 60, warm = 40;
  Blocks memory(pages);
  std::uint64_t faults = 0, sent_home = 0;
  for (std::uint64_t round = 1; round <= rounds; ++round) {
    memory.write(rank(), round);
    dsm::barrier();
    memory.check(rank(), round);
    const dsm::Statistics s = dsm::statistics();
    if (round == warm) faults = s.read_faults + s.write_faults, sent_home = s.pages_sent_home;
  }
  const dsm::Statistics s = dsm::statistics();
  if (is_off() || size() == 1)
    return same(s.pages_moved_here + s.pages_moved_away, 0u, "the number of pages that moved");
  same(s.pages_moved_here, pages, "the number of pages that came");
  same(s.pages_moved_away, pages, "the number of pages that went");
  same(s.home_bytes, pages * dsm::page_size(), "the bytes at home here");
  same(s.read_faults + s.write_faults, faults, "the number of faults after a while");
  same(s.pages_sent_home, sent_home, "the number of pages sent home after a while");
  dsm::barrier();
  memory.check((rank() + 1) % size(), rounds);
}

// Blocks go from hand to hand, a neighbour reads them, and some pages go back where they were.
void drifting() {
  constexpr std::uint64_t rounds = 120, stay = 15;
  Blocks memory(16);
  for (std::uint64_t round = 1; round <= rounds; ++round) {
    memory.write((rank() + round / stay) % size(), round);
    dsm::barrier();
    memory.check((rank() + round / stay + 1) % size(), round);
    dsm::barrier();
  }
}

// Threads that come to no barrier go on under a lock, and with an atomic operation, on pages that
// move.
void beside_locks() {
  constexpr std::uint64_t rounds = 60;
  Blocks memory(8);
  auto shared = dsm::allocate<std::uint64_t>(2048, dsm::Placement::on(nodes() - 1));
  dsm::Lock lock(5);
  dsm::Atomic<std::uint64_t> word(shared[1024]);
  std::thread beside([&] {
    for (std::uint64_t i = 0; i < rounds; ++i) {
      const std::scoped_lock hold(lock);
      shared[8] = shared[8] + 1;
      if (i % 20 == 0) word.fetch_add(1);
    }
  });
  for (std::uint64_t round = 1; round <= rounds; ++round) {
    if (me() == 0)
      for (std::size_t i = 16; i < 2048; i += 128)
        if (i != 1024) shared[i] = round;
    memory.write(rank(), round);
    dsm::barrier();
    memory.check((rank() + 1) % size(), round);
    if (round % 7 == 0) same(shared[16], round, "the round that node 0 wrote");
    dsm::barrier();
  }
  beside.join();
  dsm::barrier();
  same(shared[8], rounds * size(), "the sum under the lock");
  same(word.load(), 3 * size(), "the sum of the atomic operations");
}

// The cache holds less than what passes through it between the barriers.
void small_cache() {
  constexpr std::uint64_t rounds = 10;
  constexpr std::size_t pages = 3000;
  Blocks memory(pages), beside(pages * 2);
  for (std::uint64_t round = 1; round <= rounds; ++round) {
    memory.write(rank(), round);
    if (round == 1)
      for (std::size_t i = 0; i < beside.words(); i += 64)
        beside.word(rank(), i) = mix(1, rank(), i);
    dsm::barrier();
    beside.check((rank() + round) % size(), 1, 64 * 8);
    memory.check((rank() + 1) % size(), round, 3 * 64);
    dsm::barrier();
  }
}

// A region goes while its pages are on their way, and another comes where it was.
void reuse() {
  for (std::uint64_t life = 1; life <= 6; ++life) {
    const std::size_t count = 64 * dsm::page_size() / sizeof(std::uint64_t);
    auto words = dsm::allocate<std::uint64_t>(count, dsm::Placement::on(nodes() - 1));
    for (std::uint64_t round = 1; round <= 10 + life; ++round) {
      if (me() == 0)
        for (std::size_t i = 0; i < count; i += 100) {
          same_at(words[i], round == 1 ? 0 : mix(life, round - 1, i), "word", i);
          words[i] = mix(life, round, i);
        }
      dsm::barrier();
    }
    dsm::free(words);
  }
}

}  // namespace

int main(int argc, char** argv) {
  return run(argc, argv,
             {{"blocks", blocks},
              {"drifting", drifting},
              {"beside_locks", beside_locks},
              {"small_cache", small_cache},
              {"reuse", reuse}});
}
