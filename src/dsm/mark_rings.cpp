#include "dsm/mark_rings.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>

namespace dsm {

Result<std::unique_ptr<MarkRings>> MarkRings::create(std::uint32_t nodes, std::uint32_t slots) {
  std::unique_ptr<MarkRings> rings(new MarkRings(nodes, slots));
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  rings->bytes_ = (std::size_t{nodes} * slots * sizeof(std::uint64_t) + page - 1) / page * page;
  rings->fd_ = ::memfd_create("dsm-marks", MFD_CLOEXEC);
  void* at = MAP_FAILED;
  if (rings->fd_ >= 0 && ::ftruncate(rings->fd_, static_cast<off_t>(rings->bytes_)) == 0)
    at = ::mmap(nullptr, rings->bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
                rings->fd_, 0);
  if (at == MAP_FAILED)
    return Status(Code::exhausted,
                  std::string("no memory for the mark rings: ") + std::strerror(errno));
  ::madvise(at, rings->bytes_, MADV_DONTFORK);
  rings->words_ = static_cast<std::uint64_t*>(at);
  return rings;
}

MarkRings::~MarkRings() {
  if (words_ != nullptr) ::munmap(words_, bytes_);
  if (fd_ >= 0) ::close(fd_);
}

std::optional<core::MarkEntry> MarkRings::next(NodeId reader, Epoch now) {
  const std::uint64_t number = read_[reader.value];
  std::uint64_t& word = words_[offset_of(reader, number, slots_) / sizeof(std::uint64_t)];
  const std::uint64_t value = std::atomic_ref(word).load(std::memory_order_acquire);
  const std::optional<core::MarkEntry> entry = core::decode_mark(value, number, slots_, now);
  if (entry) ++read_[reader.value];
  return entry;
}

}  // namespace dsm
