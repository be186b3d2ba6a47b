// Google Benchmark on several nodes: every node takes part in what is measured, node 0 keeps the
// time and reports.
//
//   int main(int argc, char** argv) {
//     bench::Nodes nodes(argc, argv);
//     nodes.add("barrier", [](int times) { return bench::timed([&] { for (...) dsm::barrier(); });
//     }); return nodes.run();
//   }
//
// Start it by dsmrun. Node 0 tells the others by a broadcast what to run and how often, so that
// they need no flags.
#pragma once

#include <benchmark/benchmark.h>

#include <chrono>
#include <dsm/dsm.hpp>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace bench {

// Runs on every node with the same argument, the number of operations; node 0's answer, in seconds,
// counts.
using Round = std::function<double(int operations)>;

template <typename Work>
double timed(const Work& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

class Nodes {
 public:
  Nodes(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    usable_ = dsm::rank() != 0 || !benchmark::ReportUnrecognizedArguments(argc, argv);
  }

  // Rounds of `operations` each. The first round, which meets cold caches, is not measured.
  void add(const std::string& name, int operations, Round round) {
    rounds_.push_back({name, operations, std::move(round)});
  }

  // Returns the status to exit with.
  int run() {
    for (const Entry& entry : rounds_) entry.round(entry.operations);
    if (dsm::rank() != 0) return serve();
    for (std::size_t i = 0; i < rounds_.size(); ++i) {
      benchmark::RegisterBenchmark(
          rounds_[i].name.c_str(),
          [this, i](benchmark::State& state) { measure(state, static_cast<int>(i)); })
          ->UseManualTime()
          ->Unit(benchmark::kMicrosecond);
    }
    if (usable_) benchmark::RunSpecifiedBenchmarks();
    int stop = -1;
    dsm::broadcast(stop);
    return usable_ ? 0 : 1;
  }

 private:
  struct Entry {
    std::string name;
    int operations;
    Round round;
  };

  void measure(benchmark::State& state, int index) {
    const Entry& entry = rounds_[static_cast<std::size_t>(index)];
    const dsm::Statistics before = dsm::statistics();
    while (state.KeepRunningBatch(entry.operations)) {
      int command = index;
      dsm::broadcast(command);
      state.SetIterationTime(entry.round(entry.operations));
    }
    // What an operation cost node 0, its share of the round's own preparation included.
    const dsm::Statistics after = dsm::statistics();
    const auto per_operation = [&](std::uint64_t count) {
      return double(count) / double(state.iterations());
    };
    state.counters["read_faults"] = per_operation(after.read_faults - before.read_faults);
    state.counters["write_faults"] = per_operation(after.write_faults - before.write_faults);
    state.counters["pages_fetched"] = per_operation(after.pages_fetched - before.pages_fetched);
    state.counters["messages"] = per_operation(after.messages_sent - before.messages_sent);
  }

  int serve() {
    for (;;) {
      int command = 0;
      dsm::broadcast(command);
      if (command < 0) return 0;
      const Entry& entry = rounds_[static_cast<std::size_t>(command)];
      entry.round(entry.operations);
    }
  }

  std::vector<Entry> rounds_;
  bool usable_ = true;
};

// The main() of a program whose benchmarks `add_all` adds.
inline int run_nodes(int argc, char** argv, void (*add_all)(Nodes&)) {
  try {
    dsm::Session session;
    Nodes nodes(argc, argv);
    benchmark::AddCustomContext("nodes", std::to_string(dsm::size()));
    benchmark::AddCustomContext("transport", dsm::transport_name());
    benchmark::AddCustomContext("traps", dsm::trap_name());
    add_all(nodes);
    return nodes.run();
  } catch (const dsm::Error& error) {
    std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
    return 1;
  }
}

}  // namespace bench
