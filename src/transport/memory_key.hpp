// MemoryKey: what expose() returns in the backends of this folder that need no device's key.
#pragma once

#include "base/status.hpp"
#include "base/wire.hpp"

namespace dsm::transport {

struct MemoryKey {
  std::uint32_t id = 0;    // counts the exposer's exposures
  std::uint64_t size = 0;  // bytes

  Bytes encode() const {
    Bytes bytes;
    Writer writer(bytes);
    writer.put(id);
    writer.put(size);
    return bytes;
  }

  static Result<MemoryKey> decode(ByteView bytes) {
    Reader reader(bytes);
    const MemoryKey key{.id = reader.get<std::uint32_t>(), .size = reader.get<std::uint64_t>()};
    if (!reader.done()) return Status(Code::invalid, "not a key of exposed memory");
    return key;
  }
};

}  // namespace dsm::transport
