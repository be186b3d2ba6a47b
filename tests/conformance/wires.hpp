// Every backend that the conformance suite runs over.
#pragma once

#include "job.hpp"

namespace dsm::transport {

#ifdef DSM_WIRES_OF_VERBS
// Those that need a verbs device: a program of its own (tests/verbs).
inline constexpr Wire wires[] = {
    // clang-format off
    {"verbs", ""},    {"verbs", "traced"},    {"verbs", "faulty"},    {"verbs", "", "", "seed=5,loss=0.01"},
    {"verbs-ud", ""}, {"verbs-ud", "traced"}, {"verbs-ud", "faulty"}, {"verbs-ud", "", "", "seed=5,loss=0.01"},
    // clang-format on
};
#else
inline constexpr Wire wires[] = {
    // clang-format off
    {"loopback", ""}, {"loopback", "traced"}, {"loopback", "faulty"}, {"loopback", "faulty+traced"},
    {"shm", ""},      {"shm", "traced"},      {"shm", "faulty"},      {"shm", "faulty+traced"},
    {"tcp", ""},      {"tcp", "traced"},      {"tcp", "faulty"},      {"tcp", "faulty+traced"},
    {"tcp", "", "::1"},
    {"ipoib", ""},    {"ipoib", "traced"},    {"ipoib", "faulty"},    {"ipoib", "", "::1"},
    // clang-format on
    {"ipoib", "", "", "seed=5,loss=0.01,duplicate=0.01,reorder=0.02,corrupt=0.002"},
    {"ipoib", "", "", "seed=6,loss=0.1"},
};
#endif

inline std::string wire_name(const testing::TestParamInfo<Wire>& info) {
  return info.param.name();
}

// Those whose nodes may be processes.
inline std::vector<Wire> process_wires() {
  std::vector<Wire> chosen;
  for (const Wire& wire : wires)
    if (std::string_view(wire.backend) != "loopback") chosen.push_back(wire);
  return chosen;
}

// Those that lose nothing on purpose: what a node sent before it ended arrives although it is not
// there to send it again, and queues have one length.
inline std::vector<Wire> lossless_wires() {
  std::vector<Wire> chosen;
  for (const Wire& wire : wires)
    if (*wire.lossy == '\0') chosen.push_back(wire);
  return chosen;
}

#define DSM_OVER_ALL_WIRES(suite) \
  INSTANTIATE_TEST_SUITE_P(Wires, suite, testing::ValuesIn(wires), wire_name)

}  // namespace dsm::transport
