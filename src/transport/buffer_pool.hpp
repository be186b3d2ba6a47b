// BufferPool: whole messages' buffers, by powers of two. Owns them, also those in use.
// Thread-compatible.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <memory>
#include <vector>

namespace dsm::transport {

struct Buffer {
  explicit Buffer(std::size_t size)
      : bytes(std::make_unique_for_overwrite<std::byte[]>(size)), capacity(size) {}
  std::unique_ptr<std::byte[]> bytes;
  std::size_t capacity;
};

class BufferPool {
 public:
  BufferPool() = default;
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  Buffer* take(std::size_t size) {
    const std::size_t capacity = std::bit_ceil(std::max(size, smallest));
    if (capacity <= kept_capacity) {
      std::vector<Buffer*>& free = free_[class_of(capacity)];
      if (!free.empty()) {
        Buffer* const buffer = free.back();
        free.pop_back();
        return buffer;
      }
      ++made_[class_of(capacity)];
      free.reserve(made_[class_of(capacity)]);
    }
    // A large one is only as long as it must be.
    all_.push_back(std::make_unique<Buffer>(capacity <= kept_capacity ? capacity : size));
    return all_.back().get();
  }

  void drop(Buffer* buffer) {
    if (!buffer) return;
    if (buffer->capacity <= kept_capacity) {
      free_[class_of(buffer->capacity)].push_back(buffer);
      return;
    }
    const auto it =
        std::find_if(all_.rbegin(), all_.rend(), [&](const auto& b) { return b.get() == buffer; });
    std::swap(*it, all_.back());
    all_.pop_back();
  }

 private:
  static constexpr std::size_t smallest = 512;
  static constexpr std::size_t kept_capacity = std::size_t{1} << 20;  // a larger one is given back
  static constexpr std::size_t classes =
      std::bit_width(kept_capacity) - std::bit_width(smallest) + 1;
  static std::size_t class_of(std::size_t capacity) {
    return static_cast<std::size_t>(std::bit_width(capacity) - std::bit_width(smallest));
  }

  std::vector<std::unique_ptr<Buffer>> all_;
  std::array<std::vector<Buffer*>, classes> free_;
  std::array<std::size_t, classes> made_{};
};

}  // namespace dsm::transport
