#include "dsm/twins.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "base/check.hpp"

namespace dsm {

Result<std::unique_ptr<Twins>> Twins::create(std::uint64_t space_pages, std::uint32_t twins,
                                             std::size_t page_bytes) {
  Result<memory::TwinPool> pool = memory::TwinPool::create(twins, page_bytes);
  if (!pool) return pool.status();
  std::unique_ptr<Twins> made(new Twins(std::move(pool).value(), page_bytes));
  made->mapped_ = space_pages * sizeof(std::uint32_t);
  void* at = ::mmap(nullptr, made->mapped_, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED)
    return Status(Code::exhausted,
                  std::string("no addresses for the twins' directory: ") + std::strerror(errno));
  made->directory_ = static_cast<std::uint32_t*>(at);
  return made;
}

Twins::~Twins() {
  if (directory_ != nullptr) ::munmap(directory_, mapped_);
}

void Twins::take(PageId page, const std::byte* bytes) {
  std::byte* twin = nullptr;
  {
    MutexLock hold(mutex_);
    const std::optional<memory::TwinId> id = pool_.take();
    DSM_CHECK_WITH(id.has_value() && directory_[page.value] == 0,
                   "every cached page may have one twin", {"page", page.value});
    directory_[page.value] = id->value + 1;
    twin = pool_.bytes(*id);
  }
  std::memcpy(twin, bytes, page_bytes_);
}

std::span<std::byte> Twins::of(PageId page) const {
  MutexLock hold(mutex_);
  DSM_CHECK_WITH(directory_[page.value] != 0, "a dirty page has a twin", {"page", page.value});
  return {pool_.bytes(memory::TwinId(directory_[page.value] - 1)), page_bytes_};
}

bool Twins::has(PageId page) const {
  MutexLock hold(mutex_);
  return directory_[page.value] != 0;
}

bool Twins::any_of(PageRun run) const {
  MutexLock hold(mutex_);
  const std::uint32_t* const first = directory_ + run.first.value;
  return std::any_of(first, first + run.count, [](std::uint32_t twin) { return twin != 0; });
}

void Twins::give(PageId page) {
  MutexLock hold(mutex_);
  pool_.give(memory::TwinId(directory_[page.value] - 1));
  directory_[page.value] = 0;
}

}  // namespace dsm
