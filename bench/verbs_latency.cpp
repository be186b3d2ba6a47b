// What perftest measures of a wire, measured of libdsm over it, on two nodes: start it by dsmrun -n
// 2. Medians of single operations, as perftest's "typical", so that what a busy machine takes away
// now and then does not count. Node 0 prints one line of JSON:
//   trap_us        a bare trap, resolved by mprotect, before the job begins
//   miss_us        a read of one page of the other node: trap, mark, READ, mapping. Every second
//                  page in random order, so that none comes along with another
//   round_trip_us  an atomic operation on a word of the other node: a message there and one back,
//                  where the wire's own atomics are not the processor's
//   stream_mib_s   pages of the other node read one after another
//   pages_a_miss, chains_a_miss   must be one
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <dsm/dsm.hpp>
#include <random>
#include <vector>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t page = 4096;
constexpr std::size_t page_words = page / sizeof(std::uint64_t);
constexpr std::size_t touches = 256;                     // of a round
constexpr std::size_t streamed = std::size_t{16} << 20;  // windows have grown long before its end
constexpr int warm_rounds = 2;

// A clock that costs no system call, also where reading the other does.
std::uint64_t ticks() {
#if defined(__x86_64__)
  return __rdtsc();
#else
  return static_cast<std::uint64_t>(Clock::now().time_since_epoch().count());
#endif
}

// Made first and asked last: the longer it lives, the better it knows.
class Ticks {
 public:
  double us(double count) const {
    const double elapsed = std::chrono::duration<double, std::micro>(Clock::now() - clock_).count();
    return count * elapsed / static_cast<double>(ticks() - ticks_);
  }

 private:
  Clock::time_point clock_ = Clock::now();
  std::uint64_t ticks_ = ticks();
};

double median(std::vector<std::uint64_t> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return static_cast<double>(*middle);
}

template <typename Work>
std::uint64_t timed(const Work& work) {
  const std::uint64_t start = ticks();
  work();
  return ticks() - start;
}

void load(const std::uint64_t& word) {
  static_cast<void>(*static_cast<const volatile std::uint64_t*>(&word));
}

// Every second page.
std::vector<std::size_t> random_order() {
  std::vector<std::size_t> order(touches);
  for (std::size_t i = 0; i < touches; ++i) order[i] = 2 * i;
  std::shuffle(order.begin(), order.end(), std::mt19937(1));
  return order;
}

std::byte* trapped = nullptr;

void resolve(int, siginfo_t* info, void*) {
  const auto offset = static_cast<std::size_t>(static_cast<std::byte*>(info->si_addr) - trapped);
  mprotect(trapped + offset / page * page, page, PROT_READ | PROT_WRITE);
}

double trap() {
  constexpr std::size_t bytes = 2 * touches * page;
  void* const memory =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  trapped = static_cast<std::byte*>(memory);
  std::fill(trapped, trapped + bytes, std::byte{1});  // warm frames
  mprotect(trapped, bytes, PROT_NONE);
  struct sigaction action = {}, before = {};
  action.sa_sigaction = resolve;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGSEGV, &action, &before);
  std::vector<std::uint64_t> times;
  for (const std::size_t i : random_order())
    times.push_back(timed([&] { load(*reinterpret_cast<std::uint64_t*>(trapped + i * page)); }));
  sigaction(SIGSEGV, &before, nullptr);
  munmap(trapped, bytes);
  return median(times);
}

struct Misses {
  double time = 0;
  double pages = 0, chains = 0;
};

Misses misses(int rounds) {
  const auto memory = dsm::allocate<std::uint64_t>(2 * touches * page_words, dsm::Placement::on(1));
  const std::vector<std::size_t> order = random_order();
  std::vector<std::uint64_t> times;
  std::uint64_t pages = 0, chains = 0;
  for (int round = 0; round < warm_rounds + rounds; ++round) {
    if (dsm::rank() == 1)
      for (const std::size_t i : order) ++memory[i * page_words];
    dsm::barrier();
    if (dsm::rank() == 0 && round >= warm_rounds) {
      const dsm::Statistics before = dsm::statistics();
      for (const std::size_t i : order)
        times.push_back(timed([&] { load(memory[i * page_words]); }));
      const dsm::Statistics after = dsm::statistics();
      pages += after.pages_fetched - before.pages_fetched;
      chains += after.chains_posted - before.chains_posted;
    } else if (dsm::rank() == 0) {
      for (const std::size_t i : order) load(memory[i * page_words]);
    }
    dsm::barrier();
  }
  const double count = static_cast<double>(std::max<std::size_t>(times.size(), 1));
  return {median(times), static_cast<double>(pages) / count, static_cast<double>(chains) / count};
}

double round_trip(int rounds) {
  const auto word = dsm::allocate<std::uint64_t>(1, dsm::Placement::on(1));
  std::vector<std::uint64_t> times;
  if (dsm::rank() == 0) {
    const dsm::Atomic far(word[0]);
    for (std::size_t i = 0; i < static_cast<std::size_t>(rounds) * touches; ++i)
      times.push_back(timed([&] { static_cast<void>(far.fetch_add(1)); }));
  }
  dsm::barrier();
  return median(times);
}

// Of one round.
double stream(int rounds) {
  const auto memory =
      dsm::allocate<std::uint64_t>(streamed / sizeof(std::uint64_t), dsm::Placement::on(1));
  std::vector<std::uint64_t> times;
  for (int round = 0; round < warm_rounds + rounds; ++round) {
    if (dsm::rank() == 1)
      for (std::size_t i = 0; i < memory.size(); i += page_words) ++memory[i];
    dsm::barrier();
    if (dsm::rank() == 0)
      times.push_back(timed([&] {
        for (std::size_t i = 0; i < memory.size(); i += page_words) load(memory[i]);
      }));
    dsm::barrier();
  }
  if (!times.empty()) times.erase(times.begin(), times.begin() + warm_rounds);
  return median(times);
}

}  // namespace

int main(int argc, char** argv) {
  ::setenv("DSM_PUSH", "0", 1);  // measured is what is asked for: nothing is to come unasked
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 8;
  if (rounds < 1) {
    std::fprintf(stderr, "usage: dsmrun -n 2 verbs_latency [ROUNDS, from 1]\n");
    return 2;
  }
  const Ticks clock;
  const double bare = trap();
  try {
    dsm::Session session;
    if (dsm::size() != 2) throw dsm::Error("it takes two nodes: dsmrun -n 2");
    const Misses miss = misses(rounds);
    const double trip = round_trip(rounds);
    const double streaming = stream(rounds);
    if (dsm::rank() == 0)
      std::printf(
          "{\"transport\": \"%s\", \"trap_us\": %.2f, \"miss_us\": %.2f, \"pages_a_miss\": %.3f, "
          "\"chains_a_miss\": %.3f, \"round_trip_us\": %.2f, \"stream_mib_s\": %.2f}\n",
          dsm::transport_name(), clock.us(bare), clock.us(miss.time), miss.pages, miss.chains,
          clock.us(trip), static_cast<double>(streamed) / 1048576 / clock.us(streaming) * 1e6);
    return 0;
  } catch (const dsm::Error& error) {
    std::fprintf(stderr, "verbs_latency: %s\n", error.what());
    return 1;
  }
}
