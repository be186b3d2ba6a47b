// Pages that are written and read barrier after barrier, by the same nodes: barriers bring them.
#include <cstdlib>
#include <mutex>

#include "scenario.hpp"

using namespace scenario;  // NOLINT: a test program

namespace {

constexpr std::size_t row = 1300;  // words: no row begins where a page does
constexpr std::uint64_t rounds = 60, warm = 20;

std::size_t rank() {
  return static_cast<std::size_t>(me());
}

// A row for each node; between two barriers each writes all of its own, or reads those beside it.
class Rows {
 public:
  std::uint64_t& word(std::size_t node, std::size_t i) { return memory_[node * row + i]; }
  void write(std::uint64_t round) {
    for (std::size_t i = 0; i < row; ++i) word(rank(), i) = mix(round, rank(), i);
  }
  void check_neighbours(std::uint64_t round) {
    const std::size_t n = static_cast<std::size_t>(nodes());
    for (const std::size_t node : {(rank() + 1) % n, (rank() + n - 1) % n})
      for (std::size_t i = 0; i < row; ++i) same_at(word(node, i), mix(round, node, i), "word", i);
  }

 private:
  std::span<std::uint64_t> memory_ = dsm::allocate<std::uint64_t>(
      row * static_cast<std::size_t>(nodes()), dsm::Placement::block());
};

std::string_view set(const char* variable) {
  const char* const value = std::getenv(variable);
  return value == nullptr ? "" : value;
}

// The pages at the borders of rows have two writers; with more nodes than two the rows meet in
// pages that a third node is home of, and these are fetched as ever.
void exchange() {
  Rows rows;
  std::uint64_t faults = 0;
  for (std::uint64_t round = 1; round <= rounds; ++round) {
    rows.write(round);
    dsm::barrier();
    rows.check_neighbours(round);
    dsm::barrier();
    const dsm::Statistics s = dsm::statistics();
    if (round == warm) faults = s.read_faults + s.write_faults;
  }
  const dsm::Statistics s = dsm::statistics();
  if (set("DSM_PUSH") == "0" || set("DSM_WITHOUT") == "private" || set("DSM_WITHOUT") == "marks")
    return same(s.pages_pushed + s.pages_kept_up, 0u,
                "pages pushed, or kept up, where that is off");
  if (nodes() != 2) return;
  same(s.read_faults + s.write_faults, faults, "the number of faults after a while");
  check(s.pages_pushed > 0 && s.pages_kept_up > 0, "pages are pushed and kept up");
}

// What a lock's scope carries on between the barriers is not undone by them.
void locks_between() {
  Rows rows;
  auto shared = dsm::allocate<std::uint64_t>(16, dsm::Placement::on(0));
  dsm::Lock lock(3);
  for (std::uint64_t round = 1; round <= rounds; ++round) {
    rows.write(round);
    if (me() == 0) shared[1] = round;
    if (round % 4 == 0) {
      const std::scoped_lock hold(lock);
      ++shared[0];
    }
    dsm::barrier();
    rows.check_neighbours(round);
    same(shared[1], round, "the round that node 0 wrote beside");
    dsm::barrier();
  }
  same(shared[0], rounds / 4 * static_cast<std::uint64_t>(nodes()), "the sum under the lock");
}

// Nobody reads what was read for long: pushes end, and what is read again later is right.
void forgotten() {
  Rows rows;
  for (std::uint64_t round = 1; round <= 4 * rounds; ++round) {
    rows.write(round);
    dsm::barrier();
    if (round < warm || round % 40 == 0) rows.check_neighbours(round);
    dsm::barrier();
  }
}

}  // namespace

int main(int argc, char** argv) {
  return run(argc, argv,
             {{"exchange", exchange}, {"locks_between", locks_between}, {"forgotten", forgotten}});
}
