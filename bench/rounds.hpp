// Google Benchmark on several processes: every one takes part in what is measured, the first keeps
// the time and reports. It tells the others by a broadcast what to run and how often, so that they
// need no flags.
#pragma once

#include <benchmark/benchmark.h>
#include <time.h>

#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace bench {

// Runs on every process with the same argument, the number of operations; the first one's answer,
// in seconds, counts.
using Round = std::function<double(int operations)>;

template <typename Work>
double timed(const Work& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// What was counted, by name; the difference of two is reported by operation.
using Counts = std::vector<std::pair<const char*, std::uint64_t>>;

// Of all threads of this process.
inline std::uint64_t processor_us() {
  timespec used{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return static_cast<std::uint64_t>(used.tv_sec) * 1000000 +
         static_cast<std::uint64_t>(used.tv_nsec) / 1000;
}

// World: int rank(), void broadcast(int& from_the_first), Counts counts(); all static.
template <typename World>
class Rounds {
 public:
  Rounds(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    usable_ = World::rank() != 0 || !benchmark::ReportUnrecognizedArguments(argc, argv);
  }

  // Rounds of `operations` each. The first round, which meets cold caches, is not measured.
  void add(const std::string& name, int operations, Round round) {
    rounds_.push_back({name, operations, std::move(round), false});
  }

  // Returns the status to exit with.
  int run() {
    if (World::rank() != 0) return serve();
    for (std::size_t i = 0; i < rounds_.size(); ++i) {
      benchmark::RegisterBenchmark(
          rounds_[i].name.c_str(),
          [this, i](benchmark::State& state) { measure(state, static_cast<int>(i)); })
          ->UseManualTime()
          ->Unit(benchmark::kMicrosecond);
    }
    if (usable_) benchmark::RunSpecifiedBenchmarks();
    int stop = -1;
    World::broadcast(stop);
    return usable_ ? 0 : 1;
  }

 private:
  struct Entry {
    std::string name;
    int operations;
    Round round;
    bool met_cold_caches;
  };

  static double run_everywhere(const Entry& entry, int index) {
    World::broadcast(index);
    return entry.round(entry.operations);
  }

  static Counts counts() {
    Counts counts = World::counts();
    counts.emplace_back("processor_us", processor_us());
    return counts;
  }

  void measure(benchmark::State& state, int index) {
    Entry& entry = rounds_[static_cast<std::size_t>(index)];
    if (!entry.met_cold_caches) run_everywhere(entry, index);
    entry.met_cold_caches = true;
    const Counts before = counts();
    while (state.KeepRunningBatch(entry.operations))
      state.SetIterationTime(run_everywhere(entry, index));
    // What an operation cost the first process, its share of the round's own preparation included.
    const Counts after = counts();
    for (std::size_t i = 0; i < after.size(); ++i)
      state.counters[after[i].first] =
          double(after[i].second - before[i].second) / double(state.iterations());
  }

  int serve() {
    for (;;) {
      int command = 0;
      World::broadcast(command);
      if (command < 0) return 0;
      const Entry& entry = rounds_[static_cast<std::size_t>(command)];
      entry.round(entry.operations);
    }
  }

  std::vector<Entry> rounds_;
  bool usable_ = true;
};

}  // namespace bench
