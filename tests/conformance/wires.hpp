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
    // clang-format on
};

inline std::string wire_name(const testing::TestParamInfo<Wire>& info) {
  return info.param.name();
}

#define DSM_OVER_ALL_WIRES(suite) \
  INSTANTIATE_TEST_SUITE_P(Wires, suite, testing::ValuesIn(wires), wire_name)

}  // namespace dsm::transport
