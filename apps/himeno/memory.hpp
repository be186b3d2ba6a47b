// Private memory for arrays. A new array is not touched: its pages are placed by whoever
// initialises them.
#pragma once

#include <sys/mman.h>

#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include "kernel.hpp"

namespace himeno {

// Arrays that start at the same place in a page fall into the same few cache sets; thirteen streams
// need them apart. 17 lines of 64 bytes between one array and the next keep any two at least four
// lines apart.
inline std::size_t stagger_bytes(int array) {
  return static_cast<std::size_t>(array) * 17 * 64 % 4096;
}

// Owns the private arrays of one process. Thread-compatible; throws std::bad_alloc.
class PrivateArrays {
 public:
  // Room for `planes` of one array, from huge pages where the machine has them.
  Field add(const Size& size, int array, Planes planes) {
    constexpr std::size_t huge_page = std::size_t{2} << 20;
    const std::size_t bytes =
        static_cast<std::size_t>(planes.count()) * size.plane() * sizeof(float);
    const std::size_t room = (bytes + stagger_bytes(array) + huge_page - 1) / huge_page * huge_page;
    auto* memory = static_cast<std::byte*>(std::aligned_alloc(huge_page, room));
    if (memory == nullptr) throw std::bad_alloc();
    blocks_.emplace_back(memory, &std::free);
    madvise(memory, room, MADV_HUGEPAGE);  // advice: nothing is lost where it fails
    return {reinterpret_cast<float*>(memory + stagger_bytes(array)), planes.first};
  }

  // All fourteen.
  Fields add_all(const Size& size, Planes planes) {
    Fields fields;
    for (int array = 0; array < arrays; ++array) fields[array] = add(size, array, planes);
    return fields;
  }

 private:
  std::vector<std::unique_ptr<std::byte, decltype(&std::free)>> blocks_;
};

inline void initialise_all(const Size& size, const Fields& fields, Planes planes) {
  for (int array = 0; array < arrays; ++array)
    initialise(size, Array(array), fields[array], planes);
}

}  // namespace himeno
