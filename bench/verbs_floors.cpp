// What a verbs device charges for registering memory, one chunk of libdsm's at a time: Google
// Benchmark, where there is a device. The rest of the floors are perftest's programs (bench/verbs).
#include <benchmark/benchmark.h>
#include <infiniband/verbs.h>
#include <sys/mman.h>

#include <cstring>

namespace {

constexpr std::size_t chunk_bytes = std::size_t{2} << 20;

// The frames exist: what filling them costs is no part of it.
void register_chunk(benchmark::State& state) {
  ibv_device** devices = ibv_get_device_list(nullptr);
  ibv_context* context = devices && *devices ? ibv_open_device(*devices) : nullptr;
  ibv_pd* domain = context ? ibv_alloc_pd(context) : nullptr;
  if (!domain) return state.SkipWithError("no verbs device: run it in tools/vcluster");
  void* memory =
      mmap(nullptr, chunk_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return state.SkipWithError("no memory");
  std::memset(memory, 1, chunk_bytes);
  for (auto _ : state) {
    ibv_mr* region =
        ibv_reg_mr(domain, memory, chunk_bytes,
                   IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE);
    if (!region) return state.SkipWithError("the device refuses to register 2 MiB");
    state.PauseTiming();
    ibv_dereg_mr(region);
    state.ResumeTiming();
  }
  munmap(memory, chunk_bytes);
  ibv_dealloc_pd(domain);
  ibv_close_device(context);
  ibv_free_device_list(devices);
}

BENCHMARK(register_chunk)->Unit(benchmark::kMicrosecond);

}  // namespace

BENCHMARK_MAIN();
