// Checked work for so many seconds, for tests in which something happens meanwhile:
//   steady pages SECONDS     every node writes its pages and reads those of all others
//   steady messages SECONDS  every node broadcasts 1 MiB in turn
//   steady atomics SECONDS   every node counts in words of all homes
//   steady recalls SECONDS   all read a sequential page, and write it in turn; with DSM_VERBS=multicast=tree by a tree
// Node 0 says "going" when the first round is done, and at the end "PASS NAME".
#include <chrono>
#include <cstdlib>
#include <string_view>

#include "../system/programs/scenario.hpp"

using namespace scenario;  // NOLINT: a test program

namespace {

std::chrono::seconds duration{5};

// Rounds until node 0 finds that it is time.
template <typename Round>
void rounds_of(Round round) {
  const auto end = std::chrono::steady_clock::now() + duration;
  for (std::uint64_t number = 1;; ++number) {
    round(number);
    bool more = std::chrono::steady_clock::now() < end;
    dsm::broadcast(more, 0);
    if (number == 1 && me() == 0) {
      std::printf("going\n");
      std::fflush(stdout);
    }
    if (!more) return;
  }
}

void pages() {
  const std::size_t each = 64 * dsm::page_size() / sizeof(std::uint64_t);
  auto words = dsm::allocate<std::uint64_t>(each * static_cast<std::size_t>(nodes()));
  // Half of what a node writes is at home elsewhere.
  const std::size_t first = each * static_cast<std::size_t>(me()) + each / 2;
  rounds_of([&](std::uint64_t round) {
    for (std::size_t i = 0; i < each; ++i) {
      const std::size_t at = (first + i) % words.size();
      words[at] = mix(round, at);
    }
    dsm::barrier();
    for (std::size_t i = 0; i < words.size(); ++i) same_at(words[i], mix(round, i), "word", i);
    dsm::barrier();
  });
}

void messages() {
  std::vector<std::uint64_t> words(std::size_t{1} << 17);
  rounds_of([&](std::uint64_t round) {
    const int root = static_cast<int>(round % static_cast<std::uint64_t>(nodes()));
    for (std::size_t i = 0; i < words.size(); ++i) words[i] = me() == root ? mix(round, i) : 0;
    dsm::broadcast_bytes(words.data(), words.size() * sizeof words[0], root);
    for (std::size_t i = 0; i < words.size(); ++i) same_at(words[i], mix(round, i), "word", i);
  });
}

void atomics() {
  auto words = dsm::allocate<std::uint64_t>(512 * static_cast<std::size_t>(nodes()),
                                            dsm::Placement::cyclic());
  constexpr int times = 50;
  rounds_of([&](std::uint64_t round) {
    for (int i = 0; i < times; ++i)
      for (int n = 0; n < nodes(); ++n)
        dsm::Atomic(words[512 * static_cast<std::size_t>(n)]).fetch_add(1);
    dsm::barrier();
    for (int n = 0; n < nodes(); ++n)
      same(words[512 * static_cast<std::size_t>(n)],
           round * times * static_cast<std::uint64_t>(nodes()), "the count");
    dsm::barrier();
  });
}

void recalls() {
  const auto words =
      dsm::allocate<std::uint64_t>(1, dsm::Placement::on(0), dsm::Policy::sequential);
  rounds_of([&](std::uint64_t round) {
    same(words[0], round - 1, "the word before");
    dsm::barrier();
    if (round % static_cast<std::uint64_t>(nodes()) == static_cast<std::uint64_t>(me()))
      words[0] = round;
    dsm::barrier();
    same(words[0], round, "the word");
    dsm::barrier();
  });
  const char* const options = std::getenv("DSM_VERBS");
  const bool asked = options && std::string_view(options).find("multicast=tree") == 0;
  const std::uint64_t relayed = dsm::all_reduce(dsm::statistics().datagrams_relayed);
  check((relayed != 0) == asked, std::to_string(relayed) + " datagrams were relayed");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 2) duration = std::chrono::seconds(std::atoi(argv[2]));
  return run(
      std::min(argc, 2), argv,
      {{"pages", pages}, {"messages", messages}, {"atomics", atomics}, {"recalls", recalls}});
}
