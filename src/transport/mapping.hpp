// Mapping: a shared mapping that unmaps itself, and is not inherited by fork. Thread-compatible.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <span>
#include <utility>

#include "base/status.hpp"

namespace dsm::transport {

class Mapping {
 public:
  Mapping() = default;
  Mapping(Mapping&& other) noexcept
      : at_(std::exchange(other.at_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(at_, other.at_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Mapping() {
    if (at_) ::munmap(at_, size_);
  }

  // Maps [offset, offset + size) of a file readable and writable; pages that nobody touches cost
  // nothing. An error says what the kernel said. REQUIRES: offset is a multiple of the page size,
  // size > 0.
  static Result<Mapping> of(int fd, std::size_t size, off_t offset);

  // Leaves the mapping to the caller, who unmaps it.
  std::span<std::byte> release() {
    const std::span<std::byte> bytes(data(), size_);
    at_ = nullptr;
    return bytes;
  }

  std::byte* data() const { return static_cast<std::byte*>(at_); }
  std::size_t size() const { return size_; }

 private:
  void* at_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace dsm::transport
