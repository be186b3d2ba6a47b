// A region four times the cache, used at random by all nodes. Run with the smallest cache:
// DSM_CACHE=32M.
#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>

#include "scenario.hpp"

using namespace scenario;  // NOLINT: a test program

namespace {

constexpr std::size_t region_bytes = std::size_t{128} << 20;
constexpr std::size_t word_step = 64;  // of the words in use: several writers meet in one page
constexpr std::size_t words_used = region_bytes / sizeof(std::uint64_t) / word_step;

std::size_t number(int i) {
  return static_cast<std::size_t>(i);
}

void check_limits() {
  const dsm::Statistics s = dsm::statistics();
  check(s.cache_bytes <= s.cache_limit_bytes, "the cache holds " + std::to_string(s.cache_bytes) +
                                                  " bytes, its limit is " +
                                                  std::to_string(s.cache_limit_bytes));
}

// Bytes of this process' frames, as the kernel counts them.
std::uint64_t resident_bytes() {
  std::uint64_t bytes = 0;
  DIR* open_files = ::opendir("/proc/self/fd");
  check(open_files != nullptr, "/proc/self/fd can be read");
  while (const dirent* entry = ::readdir(open_files)) {
    char target[256] = {};
    const std::string path = std::string("/proc/self/fd/") + entry->d_name;
    if (::readlink(path.c_str(), target, sizeof target - 1) <= 0 ||
        std::string_view(target) != "/memfd:dsm (deleted)")
      continue;
    struct stat info = {};
    // Other nodes' frames may be open here too; this node's own is the one whose pages it is
    // charged for: all are looked at.
    if (::stat(path.c_str(), &info) == 0)
      bytes = std::max(bytes, static_cast<std::uint64_t>(info.st_blocks) * 512);
  }
  ::closedir(open_files);
  return bytes;
}

void check_resident() {
  const dsm::Statistics s = dsm::statistics();
  const std::uint64_t own = resident_bytes();
  const std::uint64_t most =
      dsm::all_reduce(s.home_bytes, [](auto a, auto b) { return std::max(a, b); });
  const std::uint64_t bound = (most + s.cache_limit_bytes) / 20 * 21;
  check(own > 0, "the frames are found in /proc/self/fd");
  check(own <= bound,
        std::to_string(own) +
            " bytes are resident, more than home pages, cache and 5 %: " + std::to_string(bound));
}

// Round after round, half of the words are written, each by one node, while all nodes read the
// other half.
void barriers() {
  auto memory =
      dsm::allocate<std::uint64_t>(region_bytes / sizeof(std::uint64_t), dsm::Placement::cyclic(5));
  std::vector<std::uint64_t> oracle(words_used);
  const std::uint64_t n = number(nodes());
  constexpr std::uint64_t rounds = 4, writes = 1000, reads = 1000;
  for (std::uint64_t round = 1; round <= rounds; ++round) {
    const auto written_word = [&](std::uint64_t node, std::uint64_t i) {
      const std::uint64_t pair = mix(round, node, i) % (words_used / (2 * n));
      return (pair * n + node) * 2 + round % 2;
    };
    for (std::uint64_t i = 0; i < writes; ++i) {
      memory[written_word(number(me()), i) * word_step] = mix(round, i, number(me()));
      const std::uint64_t word =
          mix(round, i, 99 + number(me())) % (words_used / 2) * 2 + (round + 1) % 2;
      if (i < reads) same_at(memory[word * word_step], oracle[word], "word", word);
      if (i % 64 == 0) check_limits();
    }
    for (std::uint64_t node = 0; node < n; ++node)
      for (std::uint64_t i = 0; i < writes; ++i)
        oracle[written_word(node, i)] = mix(round, i, node);
    dsm::barrier();
  }
  for (std::uint64_t i = 0; i < reads; ++i) {
    const std::uint64_t word = mix(i, number(me())) % words_used;
    same_at(memory[word * word_step], oracle[word], "word at the end", word);
  }
  check_limits();
  check_resident();
  if (n > 1)
    check(dsm::statistics().chunks_evicted > 0,
          "a region four times the cache makes chunks leave it");
}

// A group of words under each lock: a sum, and a second word elsewhere that must always fit the
// first.
void locks() {
  auto memory =
      dsm::allocate<std::uint64_t>(region_bytes / sizeof(std::uint64_t), dsm::Placement::block());
  constexpr std::uint64_t groups = 64, rounds = 400;
  const auto first_of = [](std::uint64_t group) {
    return mix(group, 1) % (words_used / groups / 2) * groups * 2 + group * 2;
  };
  const auto second_of = [](std::uint64_t group) {
    return mix(group, 2) % (words_used / groups / 2) * groups * 2 + group * 2 + 1;
  };
  const auto step_of = [](std::uint64_t node, std::uint64_t i) { return mix(node, i, 3) % 1000; };
  const auto group_of = [](std::uint64_t node, std::uint64_t i) {
    return mix(node, i, 4) % groups;
  };
  std::uint64_t sink = 0;
  for (std::uint64_t i = 0; i < rounds; ++i) {
    const std::uint64_t group = group_of(number(me()), i);
    dsm::Lock lock(group);
    {
      std::scoped_lock hold(lock);
      std::uint64_t& first = memory[first_of(group) * word_step];
      std::uint64_t& second = memory[second_of(group) * word_step];
      same_at(second, first == 0 ? 0 : mix(first), "second word of group", group);
      first += step_of(number(me()), i);
      second = first == 0 ? 0 : mix(first);
    }
    // Reading words that nobody writes drives the others out.
    for (int r = 0; r < 8; ++r)
      sink += memory[mix(i, number(me()), number(r)) % words_used * word_step + 7];
    check_limits();
  }
  same(sink, 0u, "the sum of words that nobody wrote");
  dsm::barrier();
  std::vector<std::uint64_t> sums(groups);
  for (std::uint64_t node = 0; node < number(nodes()); ++node)
    for (std::uint64_t i = 0; i < rounds; ++i) sums[group_of(node, i)] += step_of(node, i);
  for (std::uint64_t group = 0; group < groups; ++group)
    same_at(memory[first_of(group) * word_step], sums[group], "sum of group", group);
  check_resident();
}

// Several threads of each node, each through the whole region: more chunks are wanted at once than
// there are.
void crowd() {
  auto memory =
      dsm::allocate<std::uint64_t>(region_bytes / sizeof(std::uint64_t), dsm::Placement::block());
  constexpr int threads = 8;
  constexpr std::uint64_t steps = 1500;
  const std::uint64_t all = number(nodes()) * threads;
  in_threads(threads, [&](int t) {
    const std::uint64_t self = number(me()) * threads + number(t);
    for (std::uint64_t i = 0; i < steps; ++i)
      memory[(mix(self, i) % (words_used / all) * all + self) * word_step] += i;
  });
  dsm::barrier();
  check_limits();
  std::vector<std::uint64_t> sums(words_used);
  for (std::uint64_t self = 0; self < all; ++self)
    for (std::uint64_t i = 0; i < steps; ++i)
      sums[mix(self, i) % (words_used / all) * all + self] += i;
  for (std::uint64_t word = number(me()); word < words_used; word += 37)
    same_at(memory[word * word_step], sums[word], "word", word);
}

// Each node writes its pages, and then all go through all pages in order, two threads of each at
// once: more than the cache holds, and what was fetched ahead in one round is old in the next.
void in_order() {
  constexpr std::size_t page_words = 4096 / sizeof(std::uint64_t);
  constexpr std::size_t pages = (std::size_t{48} << 20) / 4096;
  constexpr int threads = 2;
  auto memory = dsm::allocate<std::uint64_t>(pages * page_words, dsm::Placement::block());
  for (std::uint64_t round = 1; round <= 3; ++round) {
    for (std::size_t page = 0; page < pages; ++page)
      if (page * number(nodes()) / pages == number(me()))
        memory[page * page_words + round] = mix(round, page);
    dsm::barrier();
    in_threads(threads, [&](int t) {
      const std::size_t first = number(t) * pages / threads, last = first + pages / threads;
      // The second round ends too early for what is fetched ahead.
      for (std::size_t page = first; page < (round == 2 ? last - pages / 4 : last); ++page)
        same_at(memory[page * page_words + round], mix(round, page), "page", page);
    });
    dsm::barrier();
    check_limits();
  }
  const dsm::Statistics s = dsm::statistics();
  check(s.pages_fetched_ahead <= s.pages_fetched, "what is fetched ahead is fetched");
  check(s.pages_fetched_ahead_unread <= s.pages_fetched_ahead,
        "what goes unread was fetched ahead");
  const char* const ahead = std::getenv("DSM_READ_AHEAD");
  if (ahead != nullptr && std::string_view(ahead) == "0") {
    same(s.pages_fetched_ahead, 0u, "pages fetched ahead where that is off");
  } else if (nodes() > 1) {
    check(
        s.pages_fetched_ahead > s.pages_fetched / 2,
        "most of what is read in order is fetched ahead: " + std::to_string(s.pages_fetched_ahead) +
            " pages of " + std::to_string(s.pages_fetched));
  }
  check_resident();
}

}  // namespace

int main(int argc, char** argv) {
  return run(argc, argv,
             {{"barriers", barriers}, {"locks", locks}, {"crowd", crowd}, {"in_order", in_order}});
}
