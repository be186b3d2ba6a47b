// StableTable: a table that only grows and whose entries never move. append() from one thread at a
// time; reading an index that append() returned is safe from any thread at any time, and takes no
// lock.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/check.hpp"

namespace dsm::transport {

template <typename T>
class StableTable {
 public:
  StableTable() = default;
  StableTable(const StableTable&) = delete;
  StableTable& operator=(const StableTable&) = delete;
  ~StableTable() {
    for (auto& chunk : chunks_) delete[] chunk.load(std::memory_order_relaxed);
  }

  std::uint32_t append(T value) {
    const std::uint32_t index = size_.load(std::memory_order_relaxed);
    const Place place = locate(index);
    DSM_CHECK(place.chunk < chunks_max, "a table of at most 2^29 entries");
    T* chunk = chunks_[place.chunk].load(std::memory_order_relaxed);
    if (!chunk) {
      chunk = new T[std::size_t{first_chunk} << place.chunk];
      chunks_[place.chunk].store(chunk, std::memory_order_release);
    }
    chunk[place.offset] = std::move(value);
    size_.store(index + 1, std::memory_order_release);
    return index;
  }

  std::uint32_t size() const { return size_.load(std::memory_order_acquire); }

  // REQUIRES: index < size().
  T& operator[](std::uint32_t index) {
    const Place place = locate(index);
    return chunks_[place.chunk].load(std::memory_order_acquire)[place.offset];
  }

  // The entry, or nullptr when there is none: for an index that came from a peer.
  T* find(std::uint32_t index) { return index < size() ? &(*this)[index] : nullptr; }

 private:
  // Chunk c holds first_chunk << c entries, from (first_chunk << c) - first_chunk on.
  static constexpr std::uint32_t first_chunk = 64;
  static constexpr std::size_t chunks_max = 24;

  struct Place {
    std::size_t chunk;
    std::size_t offset;
  };
  static Place locate(std::uint32_t index) {
    const std::size_t shifted = std::size_t{index} + first_chunk;
    const auto chunk = static_cast<std::size_t>(std::bit_width(shifted) -
                                                std::bit_width(std::size_t{first_chunk}));
    return {chunk, shifted - (std::size_t{first_chunk} << chunk)};
  }

  std::array<std::atomic<T*>, chunks_max> chunks_{};
  std::atomic<std::uint32_t> size_{0};
};

}  // namespace dsm::transport
