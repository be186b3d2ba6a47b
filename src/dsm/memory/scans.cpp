#include "dsm/memory/scans.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <iterator>

#include "base/check.hpp"
#include "base/log.hpp"
#include "dsm/memory/uffd.hpp"

namespace dsm::memory {
namespace {

[[noreturn]] void stop(const char* operation, int error) {
  log_line(
      "%s pages of the shared space failed (error %d): no mapping or no memory is left; raise the "
      "limit with \"sysctl -w vm.max_map_count=1048576\", or start with DSM_WATCH=trap",
      operation, error);
  ::_exit(EXIT_FAILURE);
}

}  // namespace

Scans::Scans(const std::byte* view, std::size_t bytes)
    : view_(view), page_(static_cast<std::size_t>(::sysconf(_SC_PAGESIZE))) {
  const std::size_t words = (bytes / page_ + bits_of_word - 1) / bits_of_word;
  map_bytes_ = words * sizeof(std::uint64_t);
}

Result<std::unique_ptr<Scans>> Scans::create(const std::byte* view, std::size_t bytes) {
  std::unique_ptr<Scans> scans(new Scans(view, bytes));
  const Result<int> fd = open_uffd(UFFD_FEATURE_WP_ASYNC);
  if (!fd) return fd.status();
  scans->fd_ = fd.value();
  scans->pagemap_ = ::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  if (scans->pagemap_ < 0) return uffd_unavailable(uffd_error("/proc/self/pagemap cannot be read"));
  // Closed and unlocked first: after mlockall(MCL_FUTURE) it would be filled at once.
  void* const map = ::mmap(nullptr, scans->map_bytes_, PROT_NONE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (map == MAP_FAILED) return uffd_unavailable(uffd_error("no room to list scanned pages"));
  scans->scanned_ = static_cast<std::atomic<std::uint64_t>*>(map);
  ::munlock(map, scans->map_bytes_);
  if (::mprotect(map, scans->map_bytes_, PROT_READ | PROT_WRITE) != 0)
    return uffd_unavailable(uffd_error("no room to list scanned pages"));
  return scans;
}

Scans::~Scans() {
  if (scanned_ != nullptr) ::munmap(scanned_, map_bytes_);
  if (pagemap_ >= 0) ::close(pagemap_);
  if (fd_ >= 0) ::close(fd_);
}

Scans::Part Scans::part(const std::byte* begin, std::size_t bytes) const {
  if (pages_.load(std::memory_order_relaxed) == 0) return {bytes, false};
  const auto is_scanned = [&](std::size_t page) {
    return (word(page).load(std::memory_order_relaxed) >> page % bits_of_word & 1) != 0;
  };
  const std::size_t first = page_of(begin), end = first + bytes / page_;
  const bool scanned = is_scanned(first);
  std::size_t page = first + 1;
  while (page < end && is_scanned(page) == scanned) ++page;
  return {(page - first) * page_, scanned};
}

void Scans::mark(const std::byte* begin, std::size_t bytes, bool scanned) {
  const std::size_t first = page_of(begin), end = first + bytes / page_;
  for (std::size_t page = first; page < end; ++page) {
    const std::uint64_t bit = std::uint64_t{1} << page % bits_of_word;
    const std::uint64_t before = scanned ? word(page).fetch_or(bit, std::memory_order_relaxed)
                                         : word(page).fetch_and(~bit, std::memory_order_relaxed);
    if (((before & bit) != 0) == scanned) continue;
    pages_.fetch_add(scanned ? 1 : ~std::uint64_t{0}, std::memory_order_relaxed);
  }
}

bool Scans::begin(int traps, const std::byte* begin, std::size_t bytes) {
  if (!uffd_unregister(traps, begin, bytes)) return false;
  if (uffd_register(fd_, begin, bytes).ok()) {
    mark(begin, bytes, true);
    return true;
  }
  if (!uffd_register(traps, begin, bytes).ok()) stop("trapping", errno);
  return false;
}

void Scans::end(int traps, const std::byte* begin, std::size_t bytes) {
  for (std::size_t done = 0; done < bytes;) {
    const Part next = part(begin + done, bytes - done);
    if (next.scanned) {
      if (!uffd_unregister(fd_, begin + done, next.bytes) ||
          !uffd_register(traps, begin + done, next.bytes).ok())
        stop("trapping", errno);
      mark(begin + done, next.bytes, false);
    }
    done += next.bytes;
  }
}

void Scans::take_written(const std::byte* begin, std::size_t bytes,
                         std::vector<PageRun>& into) const {
  const auto base = reinterpret_cast<std::uintptr_t>(view_);
  page_region found[64];
  pm_scan_arg scan = {};
  scan.size = sizeof scan;
  scan.flags = PM_SCAN_WP_MATCHING;
  scan.start = reinterpret_cast<std::uintptr_t>(begin);
  scan.end = scan.start + bytes;
  scan.vec = reinterpret_cast<std::uintptr_t>(found);
  scan.vec_len = std::size(found);
  scan.category_mask = scan.return_mask = PAGE_IS_WRITTEN;
  while (scan.start < scan.end) {
    const int count = ::ioctl(pagemap_, PAGEMAP_SCAN, &scan);
    if (count < 0) {
      if (errno == EINTR || errno == EAGAIN) continue;
      stop("scanning", errno);
    }
    for (int i = 0; i < count; ++i)
      into.push_back(
          {PageId((found[i].start - base) / page_), (found[i].end - found[i].start) / page_});
    scan.start = scan.walk_end;
  }
}

}  // namespace dsm::memory
