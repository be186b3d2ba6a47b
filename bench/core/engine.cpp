// What deciding costs: the engine of a node alone, without a wire, memory or a clock. The only
// benchmark that sees dsm/core, and it sees nothing else.
#include <benchmark/benchmark.h>
#include <malloc.h>
#include <time.h>

#include "dsm/core/engine.hpp"

namespace {

using namespace dsm;
using namespace dsm::core;

constexpr std::uint64_t misses = 256;  // of one engine; fewer than a ring has marks

// Of this thread: whoever else wants the core is no matter of the engine's.
double processor_seconds() {
  timespec used{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) * 1e-9;
}

// Node 0 of two, and a region whose pages are all at home at the other one.
Engine reader_of(std::uint64_t pages) {
  Config config;
  config.nodes = 2;
  config.space_pages = pages;
  Engine engine(config);
  Effects effects;
  engine.step(AddRegion{Region(RegionId(0), PageRun{PageId(0), pages}, Homes::on(NodeId(1)),
                               Policy::scope)},
              effects);
  return engine;
}

// The trap, the page's arrival, and its being mapped: which wakes the thread.
void miss(Engine& engine, Effects& effects, PageId page) {
  const PageRun run{page, 1};
  effects.clear();
  engine.step(Fault{Ticket(1), page, Access::read}, effects);
  effects.clear();
  engine.step(Fetched{run}, effects);
  effects.clear();
  engine.step(Changed{run}, effects);
}

// All three steps, on every second page of a chunk, each for the first time, by copies of one
// engine: it is a value.
void engine_read_miss(benchmark::State& state) {
  Engine prepared = reader_of(1024);
  Effects effects;
  miss(prepared, effects, PageId(0));  // the chunk is there, and the effects have room
  while (state.KeepRunningBatch(misses - 1)) {
    Engine engine = prepared;
    const double start = processor_seconds();
    for (std::uint64_t i = 1; i < misses; ++i) miss(engine, effects, PageId(2 * i));
    state.SetIterationTime(processor_seconds() - start);
  }
}

// The counter `bytes`: what a page of another node costs that was never touched here, by the
// allocator's own account of an engine with 2^20 of them beside one with 2^10.
void engine_untouched_page(benchmark::State& state) {
  constexpr std::uint64_t few = std::uint64_t{1} << 10, many = std::uint64_t{1} << 20;
  const auto bytes_for = [](std::uint64_t pages) {
    const struct mallinfo2 before = mallinfo2();
    const Engine engine = reader_of(pages);
    const struct mallinfo2 after = mallinfo2();
    return static_cast<double>(after.uordblks + after.hblkhd) -
           static_cast<double>(before.uordblks + before.hblkhd);
  };
  for (auto _ : state) {
    const double bytes = (bytes_for(many) - bytes_for(few)) / double(many - few);
    state.counters["bytes"] = bytes;
  }
}

// What node 0 of two decides at a barrier: its arrival, its marks read, the other's message; with
// what it tells encoded and what it hears decoded, as they cross a wire.
void engine_barrier(benchmark::State& state) {
  constexpr std::uint64_t barriers = 256;
  Engine zero = reader_of(1024);
  Effects effects;
  Bytes wire;
  while (state.KeepRunningBatch(barriers)) {
    const double start = processor_seconds();
    for (std::uint64_t i = 0; i < barriers; ++i) {
      effects.clear();
      zero.step(Arrive{Ticket(1), Bytes(8), {}}, effects);
      const std::uint64_t marks = std::get<DrainMarks>(effects.list().back()).id;
      effects.clear();
      zero.step(MarksDrained{marks}, effects);
      wire.clear();
      encode(std::get<Send>(effects.list().back()).message, wire);
      std::optional<Message> heard = decode(wire);
      std::get<BarrierRound>(*heard).known.front().rank = NodeId(1);
      effects.clear();
      zero.step(Received{NodeId(1), std::move(*heard)}, effects);
    }
    state.SetIterationTime(processor_seconds() - start);
  }
}

BENCHMARK(engine_read_miss)->UseManualTime();
BENCHMARK(engine_barrier)->UseManualTime();
BENCHMARK(engine_untouched_page);

}  // namespace

BENCHMARK_MAIN();
