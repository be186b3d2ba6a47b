// The quick clock says what the kernel's says, and never goes back.
#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "base/clock.hpp"

namespace dsm {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

// Of the processor's counter, between two looks at the kernel's clock.
constexpr microseconds error_max{100};

// For so long: between two looks at the kernel's clock, however far these are apart.
void agree(milliseconds time) {
  MonotonicTime last{};
  for (const auto end = steady_clock::now() + time; steady_clock::now() < end;) {
    for (int i = 0; i < 100; ++i) {
      const MonotonicTime before = steady_clock::now();
      const MonotonicTime quick = quick_now();
      const MonotonicTime after = steady_clock::now();
      ASSERT_GE(quick, before - error_max);
      ASSERT_LE(quick, after + error_max);
      ASSERT_GE(quick, last);
      last = quick;
    }
  }
}

TEST(QuickClock, AgreesWithTheKernels) {
  agree(milliseconds(100));
}

TEST(QuickClock, AgreesBehindSleeps) {
  for (const milliseconds sleep : {milliseconds(1), milliseconds(30), milliseconds(200)}) {
    std::this_thread::sleep_for(sleep);
    agree(milliseconds(5));
  }
}

TEST(QuickClock, AgreesInEveryThread) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([] { agree(milliseconds(100)); });
  for (std::thread& each : threads) each.join();
}

}  // namespace
}  // namespace dsm
