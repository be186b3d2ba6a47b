// Chunks: buffers that a stream is received into, and that messages stay in until they are
// recycled. The polling thread only.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <memory>
#include <vector>

namespace dsm::transport {

inline constexpr std::size_t chunk_bytes = std::size_t{128} << 10;

struct Chunk {
  explicit Chunk(std::size_t size)
      : bytes(std::make_unique_for_overwrite<std::byte[]>(size)), capacity(size) {}
  std::unique_ptr<std::byte[]> bytes;
  std::size_t capacity;
  std::size_t users = 0;  // messages, and the stream that is received into it
};

// Owns the chunks, also those in use.
class ChunkPool {
 public:
  // A chunk of at least so many bytes, with one user.
  Chunk* take(std::size_t size) {
    const auto fits = [size](const Chunk* chunk) { return chunk->capacity >= size; };
    const auto found = std::find_if(free_.rbegin(), free_.rend(), fits);
    if (found != free_.rend()) {
      std::swap(*found, free_.back());
      Chunk* const chunk = free_.back();
      free_.pop_back();
      chunk->users = 1;
      return chunk;
    }
    all_.push_back(std::make_unique<Chunk>(std::max(chunk_bytes, std::bit_ceil(size))));
    free_.reserve(all_.size());
    all_.back()->users = 1;
    return all_.back().get();
  }

  // One user less.
  void drop(Chunk* chunk) {
    if (--chunk->users != 0) return;
    if (chunk->capacity <= kept_capacity)
      free_.push_back(chunk);
    else
      std::erase_if(all_,
                    [chunk](const std::unique_ptr<Chunk>& each) { return each.get() == chunk; });
  }

 private:
  static constexpr std::size_t kept_capacity = std::size_t{1}
                                               << 20;  // a larger one goes back to the heap

  std::vector<std::unique_ptr<Chunk>> all_;
  std::vector<Chunk*> free_;
};

}  // namespace dsm::transport
