// Pages that their home writes while others have copies of them. Watched by scans, such writes do
// not trap; and however they are watched, nobody misses one.
#include <cstdlib>
#include <mutex>

#include "scenario.hpp"

using namespace scenario;  // NOLINT: a test program

namespace {

// Allocated where a stretch begins that is watched in one way.
constexpr std::uint64_t pages = 512, rounds = 40, warm = 5;

std::size_t page_words() {
  return dsm::page_size() / sizeof(std::uint64_t);
}

std::string_view watch() {
  const char* const value = std::getenv("DSM_WATCH");
  return value == nullptr ? "auto" : value;
}

// Node 0's own writes trapped, or did not, in the rounds behind the first.
void check_traps(std::uint64_t warm_faults) {
  const std::uint64_t later = dsm::statistics().write_faults - warm_faults;
  if (me() != 0 || nodes() == 1) return;
  if (watch() == "scan") same(later, 0u, "write traps of a home that is watched by scans");
  if (watch() == "trap") check(later > 0, "a home that is watched by traps has none");
}

// Of each page, when it was written last. Node 0 is home to all.
class Pages {
 public:
  std::uint64_t& word(std::uint64_t page) { return memory_[page * page_words() + page % 7]; }
  // One page in `share`, others in each round.
  void write(std::uint64_t round, std::uint64_t share) {
    for (std::uint64_t page = 0; page < pages; ++page) {
      if (mix(round, page) % share != 0) continue;
      last_[page] = round;
      if (me() == 0) word(page) = mix(round, page, 1);
    }
  }
  void check_all() {
    for (std::uint64_t page = 0; page < pages; ++page)
      same_at(word(page), last_[page] == 0 ? 0 : mix(last_[page], page, 1), "page", page);
  }
  void free() { dsm::free(memory_); }

 private:
  std::span<std::uint64_t> memory_ =
      dsm::allocate<std::uint64_t>(pages * page_words(), dsm::Placement::on(0));
  std::vector<std::uint64_t> last_ = std::vector<std::uint64_t>(pages);
};

// Between reading and the next barrier node 0 tells, twice, of nothing: the first time it learns
// who has copies, and the second time it begins to watch them.
void barriers() {
  Pages shared;
  dsm::Semaphore have_read(0, 1), told(0, 2);
  std::uint64_t faults = 0;
  for (std::uint64_t round = 1; round <= rounds; ++round) {
    shared.write(round, 1 + round % 9);
    dsm::barrier();
    if (me() != 0) {
      shared.check_all();
      have_read.release();
    } else {
      for (int others = 1; others < nodes(); ++others) have_read.acquire();
      told.release();
      told.release();
    }
    dsm::barrier();
    if (round == warm) faults = dsm::statistics().write_faults;
  }
  check_traps(faults);
}

// The round that was written last is under the lock too, so whoever has it sees just that.
void locks() {
  Pages shared;
  const auto turn = dsm::allocate<std::uint64_t>(1, dsm::Placement::on(dsm::size() - 1));
  dsm::Lock lock(1);
  shared.check_all();
  dsm::barrier();
  std::uint64_t seen = 0;
  while (seen < rounds) {
    const std::scoped_lock hold(lock);
    if (me() == 0) ++turn[0];
    for (; seen < turn[0]; ++seen) shared.write(seen + 1, 3);
    shared.check_all();
  }
  dsm::barrier();
  shared.check_all();
}

// Each thread of the home has a word of each page; scopes of some are open while others' end.
void threads() {
  constexpr int count = 3;
  const auto memory = dsm::allocate<std::uint64_t>(pages * page_words(), dsm::Placement::on(0));
  const auto word = [&](std::uint64_t page, int thread) -> std::uint64_t& {
    return memory[page * page_words() + static_cast<std::size_t>(thread)];
  };
  in_threads(count, [&](int thread) {
    dsm::Lock lock(static_cast<std::uint64_t>(10 + thread));
    std::uint64_t before = 0;
    while (before < rounds) {
      const std::scoped_lock hold(lock);
      const std::uint64_t now = word(0, thread) + (me() == 0 ? 1 : 0);
      for (std::uint64_t page = 1; page < pages; page += 13)
        same_at(word(page, thread), word(0, thread), "page", page);
      if (me() == 0)
        for (std::uint64_t page = 0; page < pages; page += page == 0 ? 1 : 13)
          word(page, thread) = now;
      check(now >= before, "a lock's data went back");
      before = now;
    }
  });
  dsm::barrier();
  for (int thread = 0; thread < count; ++thread)
    for (std::uint64_t page = 1; page < pages; page += 13)
      same_at(word(page, thread), word(0, thread), "page", page);
}

// The same addresses, watched in one region, and at home elsewhere in the next.
void reuse() {
  for (std::uint64_t time = 0; time < 6; ++time) {
    Pages shared;
    for (std::uint64_t round = 1; round <= 6; ++round) {
      shared.write(round, 2);
      dsm::barrier();
      shared.check_all();
      dsm::barrier();
    }
    shared.free();
    const int home = static_cast<int>(time) % nodes();
    const auto other = dsm::allocate<std::uint64_t>(pages * page_words(), dsm::Placement::on(home));
    for (std::uint64_t page = 0; page < pages; ++page)
      same_at(other[page * page_words()], 0u, "a word of new memory in page", page);
    dsm::barrier();
    for (std::uint64_t page = 0; page < pages; ++page)
      other[page * page_words() + static_cast<std::size_t>(me())] = mix(page, time);
    dsm::barrier();
    for (std::uint64_t page = 0; page < pages; ++page)
      for (int node = 0; node < nodes(); ++node)
        same_at(other[page * page_words() + static_cast<std::size_t>(node)], mix(page, time),
                "page", page);
    dsm::barrier();
    dsm::free(other);
  }
}

}  // namespace

int main(int argc, char** argv) {
  return run(argc, argv,
             {{"barriers", barriers}, {"locks", locks}, {"threads", threads}, {"reuse", reuse}});
}
