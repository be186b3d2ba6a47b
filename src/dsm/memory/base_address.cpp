#include "dsm/memory/base_address.hpp"

#include <sys/mman.h>

#include <cstdio>
#include <fstream>
#include <string>

// Present only in a program built with -fsanitize=thread.
extern "C" void __tsan_init() __attribute__((weak));  // NOLINT: the sanitizer's name

namespace dsm::memory {
namespace {

// The first is below every position-independent program and its heap; the second below the stack
// and the libraries; both were free in plain, ASan, UBSan and TSan builds. The rest lie within the
// 512 GiB of addresses of a User-Mode Linux node or a processor with 39 bits, except for the one
// with room for tens of TiB.
constexpr std::uintptr_t candidates[] = {
    0x5500'0000'0000, 0x7e80'0000'0000, 0x10'0000'0000,
    0x40'0000'0000,   0x20'0000'0000,   0x1000'0000'0000,
};

// ThreadSanitizer ends a process that asks for addresses outside of its own areas, in which only
// these lie.
constexpr std::size_t candidates_with_tsan = 2;

std::string hex(std::uintptr_t value) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

// The first line of /proc/self/maps that meets [base, base + bytes); empty when there is none.
std::string line_in_maps(std::uintptr_t base, std::uint64_t bytes) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    unsigned long long begin = 0;
    unsigned long long end = 0;
    if (std::sscanf(line.c_str(), "%llx-%llx", &begin, &end) != 2) continue;
    if (begin < base + bytes && base < end) return line;
  }
  return {};
}

}  // namespace

std::span<const std::uintptr_t> candidate_bases() {
  return candidates;
}

std::uint32_t first_free_bases(std::uint64_t bytes) {
  const std::size_t usable = &__tsan_init != nullptr ? candidates_with_tsan : std::size(candidates);
  std::uint32_t free = 0;
  for (std::size_t i = 0; i < usable; ++i)
    if (base_is_free(candidates[i], bytes)) free |= std::uint32_t{1} << i;
  return free;
}

bool base_is_free(std::uintptr_t base, std::uint64_t bytes) {
  void* const wanted = reinterpret_cast<void*>(base);
  void* const got =
      ::mmap(wanted, bytes, PROT_NONE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
  if (got == MAP_FAILED) return false;
  ::munmap(got, bytes);
  return got == wanted;  // An old kernel, or a sanitizer, takes the address for a hint.
}

Status base_taken(std::uintptr_t base, std::uint64_t bytes) {
  const std::string range = hex(base) + "-" + hex(base + bytes);
  const std::string taker = line_in_maps(base, bytes);
  if (taker.empty())
    return Status(
        Code::unavailable,
        "the shared space cannot be mapped at " + range +
            ": the kernel refuses these addresses; ask for a smaller space or another base");
  return Status(Code::unavailable,
                "the shared space cannot be mapped at " + range + ": taken by \"" + taker +
                    "\" (/proc/self/maps); create the space earlier, or choose another base");
}

}  // namespace dsm::memory
