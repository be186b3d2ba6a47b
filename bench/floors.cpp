// What this machine charges whatever a DSM does: a trap with the system call that resolves it,
// taking a page away, the copy of a page, a mutex. Bare system calls, no libdsm. wires.cpp has what
// talking costs.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <new>
#include <random>
#include <thread>
#include <vector>

namespace {

constexpr std::size_t page = 4096;
constexpr std::size_t touches = 512;
constexpr std::size_t bytes = 2 * touches * page;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// A view of warm pages of one memfd that traps, and the handler's means to resolve it.
struct Trapped {
  std::byte* view = nullptr;
  int uffd = -1;
} trapped;

std::byte* page_of(void* address) {
  return reinterpret_cast<std::byte*>(reinterpret_cast<std::uintptr_t>(address) & ~(page - 1));
}

void resolve_by_mprotect(int, siginfo_t* info, void*) {
  mprotect(page_of(info->si_addr), page, PROT_READ);
}

void resolve_by_uffd(int, siginfo_t* info, void*) {
  uffdio_continue resolve{};
  resolve.range = {reinterpret_cast<std::uintptr_t>(page_of(info->si_addr)), page};
  if (ioctl(trapped.uffd, UFFDIO_CONTINUE, &resolve) != 0) _exit(1);
}

void on_signal(int number, void (*handler)(int, siginfo_t*, void*)) {
  struct sigaction action {};
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigaction(number, &action, nullptr);
}

std::byte* map_warm_view() {
  const int fd = memfd_create("floors", MFD_CLOEXEC);
  if (fd < 0 || ftruncate(fd, bytes) != 0) return nullptr;
  const std::vector<std::byte> content(bytes, std::byte{1});
  if (pwrite(fd, content.data(), bytes, 0) != static_cast<ssize_t>(bytes)) return nullptr;
  void* view = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  return view == MAP_FAILED ? nullptr : static_cast<std::byte*>(view);
}

// Times one read of every second page, in random order, after `arm` made them all trap: as
// read_miss/single of fault.cpp.
template <typename Arm>
void read_all(benchmark::State& state, const Arm& arm) {
  std::vector<std::size_t> order(touches);
  for (std::size_t i = 0; i < touches; ++i) order[i] = 2 * i;
  std::shuffle(order.begin(), order.end(), std::mt19937(1));
  while (state.KeepRunningBatch(touches)) {
    arm();
    const auto start = std::chrono::steady_clock::now();
    for (const std::size_t i : order)
      static_cast<void>(*static_cast<const volatile std::byte*>(trapped.view + i * page));
    state.SetIterationTime(seconds_since(start));
  }
}

void trap_mprotect(benchmark::State& state) {
  trapped.view = map_warm_view();
  if (trapped.view == nullptr) return state.SkipWithError("no memfd");
  on_signal(SIGSEGV, resolve_by_mprotect);
  read_all(state, [] { mprotect(trapped.view, bytes, PROT_NONE); });
  on_signal(SIGSEGV, nullptr);
  munmap(trapped.view, bytes);
}

void trap_uffd(benchmark::State& state) {
  trapped.uffd = static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY));
  uffdio_api api{};
  api.api = UFFD_API;
  api.features = UFFD_FEATURE_SIGBUS | UFFD_FEATURE_MINOR_SHMEM;
  if (trapped.uffd < 0 || ioctl(trapped.uffd, UFFDIO_API, &api) != 0) {
    return state.SkipWithError("this kernel offers no userfaultfd with SIGBUS and minor faults");
  }
  trapped.view = map_warm_view();
  if (trapped.view == nullptr) return state.SkipWithError("no memfd");
  uffdio_register range{};
  range.range = {reinterpret_cast<std::uintptr_t>(trapped.view), bytes};
  range.mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_MINOR;
  if (ioctl(trapped.uffd, UFFDIO_REGISTER, &range) != 0)
    return state.SkipWithError("cannot register");
  on_signal(SIGBUS, resolve_by_uffd);
  read_all(state, [] {
    madvise(trapped.view, bytes, MADV_DONTNEED);
  });  // the frames stay: the next access is a minor fault
  on_signal(SIGBUS, nullptr);
  close(trapped.uffd);
  munmap(trapped.view, bytes);
}

// Times taking one page away from the program, page by page, after all of them were mapped.
template <typename Take>
void take_all(benchmark::State& state, const Take& take) {
  std::byte* view = map_warm_view();
  if (view == nullptr) return state.SkipWithError("no memfd");
  while (state.KeepRunningBatch(touches)) {
    mprotect(view, bytes, PROT_READ);
    for (std::size_t i = 0; i < 2 * touches; ++i)
      static_cast<void>(*static_cast<const volatile std::byte*>(view + i * page));
    const auto start = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < touches; ++i) take(view + 2 * i * page);
    state.SetIterationTime(seconds_since(start));
  }
  munmap(view, bytes);
}

void invalidate_mprotect(benchmark::State& state) {
  take_all(state, [](std::byte* at) { mprotect(at, page, PROT_NONE); });
}

void invalidate_uffd(benchmark::State& state) {
  take_all(state, [](std::byte* at) { madvise(at, page, MADV_DONTNEED); });
}

void copy_page(benchmark::State& state) {
  std::vector<std::byte> from(bytes, std::byte{1});
  std::vector<std::byte> to(bytes);
  std::size_t at = 0;
  for (auto _ : state) {
    std::memcpy(to.data() + at, from.data() + at, page);
    benchmark::ClobberMemory();
    at = (at + page) % bytes;
  }
}

// In a process with a second thread, as every node is: alone, glibc's mutex is no atomic operation.
void mutex(benchmark::State& state) {
  std::mutex mutex;
  std::atomic<bool> over{false};
  std::thread other([&] { over.wait(false); });
  for (auto _ : state) {
    mutex.lock();
    benchmark::ClobberMemory();
    mutex.unlock();
  }
  over = true;
  over.notify_one();
  other.join();
}

BENCHMARK(trap_uffd)->UseManualTime()->Unit(benchmark::kMicrosecond);
BENCHMARK(trap_mprotect)->UseManualTime()->Unit(benchmark::kMicrosecond);
BENCHMARK(invalidate_uffd)->UseManualTime()->Unit(benchmark::kMicrosecond);
BENCHMARK(invalidate_mprotect)->UseManualTime()->Unit(benchmark::kMicrosecond);
BENCHMARK(mutex)->Unit(benchmark::kMicrosecond);
BENCHMARK(copy_page)->Unit(benchmark::kMicrosecond);

}  // namespace

BENCHMARK_MAIN();
