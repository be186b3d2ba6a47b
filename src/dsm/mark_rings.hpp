// The memory in which other nodes leave their marks: one ring of entries a reader, written by that
// reader alone, one-sided.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/status.hpp"
#include "base/types.hpp"
#include "dsm/core/mark.hpp"

namespace dsm {

// Thread-compatible: the drain lock of the driver guards next().
class MarkRings {
 public:
  static Result<std::unique_ptr<MarkRings>> create(std::uint32_t nodes, std::uint32_t slots);
  ~MarkRings();
  MarkRings(const MarkRings&) = delete;
  MarkRings& operator=(const MarkRings&) = delete;

  // The reader's next entry, if it has been written.
  std::optional<core::MarkEntry> next(NodeId reader, Epoch now);

  // For the transport: the whole memory, and where a reader's slot lies in it.
  std::span<std::byte> memory() const { return {reinterpret_cast<std::byte*>(words_), bytes_}; }
  int descriptor() const { return fd_; }
  static std::uint64_t offset_of(NodeId reader, std::uint64_t number, std::uint32_t slots) {
    return (std::uint64_t{reader.value} * slots + number % slots) * sizeof(std::uint64_t);
  }

 private:
  MarkRings(std::uint32_t nodes, std::uint32_t slots) : slots_(slots), read_(nodes) {}

  std::uint32_t slots_;
  std::vector<std::uint64_t> read_;  // entries read of each ring
  int fd_ = -1;
  std::uint64_t* words_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace dsm
