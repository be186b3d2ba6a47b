// How much memory this process may still fill, so that "too little memory" is said before the
// kernel kills someone.
#pragma once

#include <cstdint>
#include <string>

namespace dsm::memory {

struct AvailableMemory {
  std::uint64_t bytes = 0;
  std::string limit;  // what sets it, for a message: a file of /proc or of a control group
};

// The least of MemAvailable and, for every control group above this process (v1 and v2), its limit
// minus what it uses, page cache of files not counted. `root` stands for "/" in tests.
AvailableMemory available_memory(const std::string& root = "");

}  // namespace dsm::memory
