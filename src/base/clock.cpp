#include "base/clock.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>

#if defined(__x86_64__)
#include <cpuid.h>
#include <x86intrin.h>
#endif

namespace dsm {
namespace {

using std::chrono::nanoseconds;
using std::chrono::steady_clock;

constexpr nanoseconds measured_min = std::chrono::milliseconds(10);  // for the counter's speed
// More ticks between two looks at the counter, with one at the kernel's clock between: the thread
// was interrupted.
constexpr std::uint64_t look_ticks_max = 60'000;
constexpr int fraction_bits = 32;
// So that nothing that is multiplied overflows.
constexpr std::uint64_t ticks_anchored_max = std::uint64_t{1} << 31;

#if defined(__x86_64__)
bool counts_evenly() {
  constexpr unsigned invariant_leaf = 0x80000007, invariant_bit = 1u << 8;
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(invariant_leaf, &a, &b, &c, &d) != 0 && (d & invariant_bit) != 0;
}
std::uint64_t counter() {
  return __rdtsc();
}
#else
bool counts_evenly() {
  return false;
}
std::uint64_t counter() {
  return 0;
}
#endif

const bool counts = counts_evenly();

// A thread's own.
struct Clock {
  std::uint64_t ticks = 0;  // the counter's, when the kernel said `time`
  nanoseconds time{0};
  std::uint64_t ticks_max = 0;  // so far behind the anchor it is trusted
  std::uint64_t speed = 0;  // of the counter, nanoseconds a tick, with fraction_bits; 0: not known
  std::uint64_t measured_ticks = 0;
  nanoseconds measured_time{0};  // since when the speed is being measured; 0: it is not
  nanoseconds last{0};           // what was said

  void look();
  void measure();
};

constinit thread_local Clock own __attribute__((tls_model("initial-exec")));

nanoseconds kernels() {
  return steady_clock::now().time_since_epoch();
}

void Clock::look() {
  const std::uint64_t before = counter();
  time = kernels();
  ticks = counter();
  // Neither trusted nor measured by: the next look is better.
  if (ticks - before > look_ticks_max)
    ticks_max = 0;
  else
    measure();
}

void Clock::measure() {
  if (measured_time == nanoseconds(0) || ticks <= measured_ticks) {
    measured_time = time;
    measured_ticks = ticks;
    return;
  }
  const nanoseconds passed = time - measured_time;
  if (passed >= measured_min) {
    const double exact =
        static_cast<double>(passed.count()) / static_cast<double>(ticks - measured_ticks);
    speed = static_cast<std::uint64_t>(std::ldexp(exact, fraction_bits));
    measured_time = time;
    measured_ticks = ticks;
  }
  if (speed != 0)
    ticks_max = std::min(
        ticks_anchored_max,
        (static_cast<std::uint64_t>(nanoseconds(anchor_max).count()) << fraction_bits) / speed);
}

}  // namespace

MonotonicTime quick_now() {
  Clock& c = own;
  const std::uint64_t since = counts ? counter() - c.ticks : 0;
  if (!counts || since >= c.ticks_max) {
    c.look();
    c.last = std::max(c.last, c.time);
  } else {
    c.last = std::max(c.last, c.time + nanoseconds((since * c.speed) >> fraction_bits));
  }
  return MonotonicTime(c.last);
}

}  // namespace dsm
