// The monotonic clock, for paths on which a look at the kernel's counts: each is a system call
// where the kernel offers none in user space (User-Mode Linux, some sandboxes), and dearer than a
// poll elsewhere.
//
// Between two looks at the kernel's clock, at most anchor_max apart, a thread reads the processor's
// counter, as eRPC and UCX do, where that counts evenly and never stops; elsewhere every look is at
// the kernel's. The speed of the counter is measured again and again, so that nothing drifts, also
// where a virtual machine moves. Two threads may differ by a few microseconds; one thread never
// sees time go backwards.
//
// Threads: any. Async-signal-safe, but for a handler that interrupts now() itself.
#pragma once

#include <chrono>

namespace dsm {

using MonotonicTime = std::chrono::steady_clock::time_point;

inline constexpr std::chrono::milliseconds anchor_max{1};

MonotonicTime quick_now();

}  // namespace dsm
