#include "dsm/memory/twin_pool.hpp"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "base/check.hpp"

namespace dsm::memory {

Result<TwinPool> TwinPool::create(std::uint32_t slots, std::size_t slot_bytes) {
  TwinPool pool;
  const std::size_t mapped = slots * (slot_bytes + sizeof(TwinId));
  void* memory = ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED)
    return Status(Code::exhausted, "no addresses for " + std::to_string(slots) + " twins of " +
                                       std::to_string(slot_bytes) + " bytes (" +
                                       std::strerror(errno) + "); ask for a smaller cache");
  // Touched page by page in scattered order: a huge page would cost 2 MiB for each twin.
  ::madvise(memory, mapped, MADV_NOHUGEPAGE);
  pool.slots_ = static_cast<std::byte*>(memory);
  pool.stack_ = reinterpret_cast<TwinId*>(pool.slots_ + slots * slot_bytes);
  pool.slot_bytes_ = slot_bytes;
  pool.mapped_ = mapped;
  pool.count_ = slots;
  return pool;
}

TwinPool::TwinPool(TwinPool&& other) noexcept {
  *this = std::move(other);
}

TwinPool& TwinPool::operator=(TwinPool&& other) noexcept {
  std::swap(slots_, other.slots_);
  std::swap(stack_, other.stack_);
  std::swap(slot_bytes_, other.slot_bytes_);
  std::swap(mapped_, other.mapped_);
  std::swap(count_, other.count_);
  std::swap(fresh_, other.fresh_);
  std::swap(given_, other.given_);
  return *this;
}

TwinPool::~TwinPool() {
  if (slots_ != nullptr) ::munmap(slots_, mapped_);
}

std::optional<TwinId> TwinPool::take() {
  if (given_ > 0) return stack_[--given_];
  if (fresh_ == count_) return std::nullopt;
  return TwinId(fresh_++);
}

void TwinPool::give(TwinId twin) {
  DSM_CHECK_WITH(twin.value < fresh_ && given_ < fresh_, "a twin given back was taken",
                 {"twin", twin.value});
  stack_[given_++] = twin;
}

}  // namespace dsm::memory
