// Benchmarks of nodes that share memory (rounds.hpp). Start the program by dsmrun.
//
//   void add_all(bench::Nodes& nodes) {
//     nodes.add("barrier", 100, [](int times) {
//       return bench::timed([&] { for (...) dsm::barrier(); });
//     });
//   }
//   int main(int argc, char** argv) { return bench::run_nodes(argc, argv, add_all); }
#pragma once

#include <cstdio>
#include <dsm/dsm.hpp>

#include "rounds.hpp"

namespace bench {

struct SharedMemory {
  static int rank() { return dsm::rank(); }
  static void broadcast(int& value) { dsm::broadcast(value); }
  static Counts counts() {
    const dsm::Statistics now = dsm::statistics();
    return {{"read_faults", now.read_faults},
            {"write_faults", now.write_faults},
            {"pages_fetched", now.pages_fetched},
            {"pages_ahead", now.pages_fetched_ahead},
            {"pages_unread", now.pages_fetched_ahead_unread},
            {"messages", now.messages_sent}};
  }
};
using Nodes = Rounds<SharedMemory>;

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
