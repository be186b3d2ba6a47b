// What a trapped instruction wanted, from the registers that the kernel saved. One function for
// each processor. Internal.
#pragma once

#include <ucontext.h>

#include <cstdint>
#include <cstring>

#include "base/types.hpp"

namespace dsm::memory {

// read or write; none for the fetch of an instruction, which no page of the space ever allows.
#if defined(__x86_64__)

inline Access wanted_access(const ucontext_t& context) {
  // The page-fault error code: bit 1 a write, bit 4 an instruction fetch.
  const auto error = context.uc_mcontext.gregs[REG_ERR];
  if ((error & 0x10) != 0) return Access::none;
  return (error & 0x2) != 0 ? Access::write : Access::read;
}

#elif defined(__aarch64__)

inline Access wanted_access(const ucontext_t& context) {
  // The exception syndrome is one of the records behind the registers: {magic, size}, then ESR_EL1.
  constexpr std::uint32_t esr_magic = 0x45535201;
  const auto* record = reinterpret_cast<const unsigned char*>(context.uc_mcontext.__reserved);
  const auto* end = record + sizeof context.uc_mcontext.__reserved;
  while (record + 16 <= end) {
    std::uint32_t header[2];
    std::memcpy(header, record, sizeof header);
    if (header[0] == 0 || header[1] < 8) break;
    if (header[0] == esr_magic) {
      std::uint64_t esr;
      std::memcpy(&esr, record + 8, sizeof esr);
      const std::uint64_t exception_class = esr >> 26 & 0x3f;
      if (exception_class == 0x20 || exception_class == 0x21) return Access::none;
      const bool cache_maintenance = (esr >> 8 & 1) != 0;
      const bool write = (esr >> 6 & 1) != 0;
      return write && !cache_maintenance ? Access::write : Access::read;
    }
    record += header[1];
  }
  return Access::write;  // Without a syndrome: the stronger access is slower and always right.
}

#else
#error "wanted_access: say how this processor tells a read from a write in a signal's context"
#endif

}  // namespace dsm::memory
