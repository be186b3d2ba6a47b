// Every backend that the conformance suite runs over.
#pragma once

#include "job.hpp"

namespace dsm::transport {

inline constexpr Wire wires[] = {
    // clang-format off
    {"loopback", ""}, {"loopback", "traced"}, {"loopback", "faulty"}, {"loopback", "faulty+traced"},
    {"shm", ""},      {"shm", "traced"},      {"shm", "faulty"},      {"shm", "faulty+traced"},
    {"tcp", ""},      {"tcp", "traced"},      {"tcp", "faulty"},      {"tcp", "faulty+traced"},
    {"tcp", "", "::1"},
    {"ipoib", ""},    {"ipoib", "traced"},    {"ipoib", "faulty"},    {"ipoib", "", "::1"},
    // clang-format on
};

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

#define DSM_OVER_ALL_WIRES(suite) \
  INSTANTIATE_TEST_SUITE_P(Wires, suite, testing::ValuesIn(wires), wire_name)

}  // namespace dsm::transport
