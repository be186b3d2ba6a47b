// Tests that need a verbs device: they run inside a virtual node. Where there is no device they say
// so, and count as skipped (77), not as passed.
#include <gtest/gtest.h>

#include <cstdio>

#include "transport/verbs_device.hpp"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const auto device = dsm::transport::VerbsDevice::open();
  if (!device.ok()) {
    std::fprintf(stderr, "skipped: %s\n", device.status().message().c_str());
    return 77;
  }
  return RUN_ALL_TESTS();
}
