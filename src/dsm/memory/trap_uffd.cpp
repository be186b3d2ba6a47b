// Guarding by userfaultfd on shared memory, in SIGBUS mode: a page that is not mapped in the
// program view, or is write-protected there, raises SIGBUS in the thread that touches it. Nothing
// splits, so nothing is limited.
//
// The whole view is registered once, MISSING | MINOR | WP: with MINOR | WP alone a hole would read
// as zeros without a trap. A page opens by UFFDIO_CONTINUE, which maps the frame that the memfd
// already has, write-protected or not in one step; it closes by MADV_DONTNEED of the view, which
// leaves the frame alone.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <utility>

#include "base/check.hpp"
#include "base/log.hpp"
#include "dsm/memory/page_guard.hpp"
#include "dsm/memory/uffd_constants.hpp"

namespace dsm::memory {
namespace {

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

std::size_t page_bytes() {
  static const auto bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return bytes;
}

[[noreturn]] void stop(const char* operation, const std::byte* at, std::size_t bytes, int error) {
  DSM_CHECK_WITH(error != EFAULT, "a page that is opened has a frame",
                 {"address", reinterpret_cast<std::uintptr_t>(at)}, {"bytes", bytes});
  log_line(
      "%s %zu bytes of the shared space at %p failed (error %d): this machine is out of memory; "
      "use more nodes, or a smaller cache",
      operation, bytes, static_cast<const void*>(at), error);
  ::_exit(EXIT_FAILURE);
}

class UffdGuard final : public PageGuard {
 public:
  UffdGuard(int fd, std::size_t page) : fd_(fd), page_(page) {}
  ~UffdGuard() override { ::close(fd_); }
  UffdGuard(const UffdGuard&) = delete;
  UffdGuard& operator=(const UffdGuard&) = delete;

  void open(std::byte* begin, std::size_t bytes, Access access) override {
    std::byte* const end = begin + bytes;
    for (std::byte* at = begin; at < end;) {
      const auto left = static_cast<std::size_t>(end - at);
      const std::ptrdiff_t mapped = map_absent(at, left, access);
      if (mapped == -EEXIST) {  // this page is mapped already: only what it allows may differ
        change(at, page_, access);
        at += page_;
      } else if (mapped < 0) {
        stop("mapping", at, left, static_cast<int>(-mapped));
      } else {
        at += mapped;
      }
    }
  }

  void close(std::byte* begin, std::size_t bytes) override {
    // The LOCKED form is the same for memory that mlockall() locked, where the plain one fails.
    if (::madvise(begin, bytes, MADV_DONTNEED_LOCKED) != 0) stop("unmapping", begin, bytes, errno);
  }

  void change(std::byte* begin, std::size_t bytes, Access to) override {
    uffdio_writeprotect request = {};
    request.range = range(begin, bytes);
    request.mode =
        to == Access::read ? UFFDIO_WRITEPROTECT_MODE_WP : UFFDIO_WRITEPROTECT_MODE_DONTWAKE;
    while (::ioctl(fd_, UFFDIO_WRITEPROTECT, &request) != 0)
      if (errno != EAGAIN) stop("protecting", begin, bytes, errno);
  }

  // Maps frames from `begin` on until it meets a page that is mapped; returns how many bytes it
  // did, or -errno for none.
  std::ptrdiff_t map_absent(const std::byte* begin, std::size_t bytes, Access access) {
    for (;;) {
      uffdio_continue request = {};
      request.range = range(begin, bytes);
      request.mode =
          UFFDIO_CONTINUE_MODE_DONTWAKE | (access == Access::read ? UFFDIO_CONTINUE_MODE_WP : 0);
      if (::ioctl(fd_, UFFDIO_CONTINUE, &request) == 0) return static_cast<std::ptrdiff_t>(bytes);
      if (request.mapped > 0) return static_cast<std::ptrdiff_t>(request.mapped);
      if (errno != EAGAIN) return -errno;
    }
  }

 private:
  static uffdio_range range(const std::byte* begin, std::size_t bytes) {
    return {.start = reinterpret_cast<std::uintptr_t>(begin), .len = bytes};
  }

  const int fd_;
  const std::size_t page_;
};

Status unavailable(const std::string& why) {
  return Status(Code::unavailable, why);
}

std::string error_text(const char* what) {
  return std::string(what) + ": " + std::strerror(errno);
}

Result<int> open_uffd() {
  // Traps of the program itself only, which needs no privilege; a kernel that does not know the
  // flag may still allow all.
  int fd = -1;
  for (const int flags : {O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY, O_CLOEXEC | O_NONBLOCK}) {
    fd = static_cast<int>(::syscall(SYS_userfaultfd, flags));
    if (fd >= 0) break;
  }
  if (fd < 0)
    return unavailable(error_text("the kernel or a container's filter refuses userfaultfd"));

  constexpr __u64 features = UFFD_FEATURE_SIGBUS | UFFD_FEATURE_MISSING_SHMEM |
                             UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_PAGEFAULT_FLAG_WP |
                             UFFD_FEATURE_WP_HUGETLBFS_SHMEM;
  uffdio_api api = {};
  api.api = UFFD_API;
  api.features = features;
  if (::ioctl(fd, UFFDIO_API, &api) != 0 || (api.features & features) != features) {
    ::close(fd);
    return unavailable(
        "this kernel's userfaultfd cannot write-protect shared memory (Linux 5.19 or later can)");
  }
  return fd;
}

// A scratch memfd of a few pages with two views, as AddressSpace has them.
class Scratch {
 public:
  explicit Scratch(std::size_t bytes) : bytes_(bytes) {
    const int fd = ::memfd_create("dsm-probe", MFD_CLOEXEC);
    if (fd >= 0 && ::ftruncate(fd, static_cast<off_t>(bytes)) == 0) {
      program_ = ::mmap(nullptr, bytes, PROT_NONE, MAP_SHARED, fd, 0);
      runtime_ = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    if (fd >= 0) ::close(fd);
  }
  ~Scratch() {
    if (program_ != MAP_FAILED) ::munmap(program_, bytes_);
    if (runtime_ != MAP_FAILED) ::munmap(runtime_, bytes_);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  bool ok() const { return program_ != MAP_FAILED && runtime_ != MAP_FAILED; }
  std::byte* program() const { return static_cast<std::byte*>(program_); }
  std::byte* runtime() const { return static_cast<std::byte*>(runtime_); }

 private:
  std::size_t bytes_;
  void* program_ = MAP_FAILED;
  void* runtime_ = MAP_FAILED;
};

// A system call that meets a trap fails with EFAULT instead of raising the signal: a probe that
// needs no handler.
bool write_traps(std::byte* at) {
  return ::syscall(SYS_clock_gettime, CLOCK_MONOTONIC, at) != 0 && errno == EFAULT;
}
bool read_traps(const std::byte* at) {
  return ::syscall(SYS_faccessat, AT_FDCWD, at, F_OK) != 0 && errno == EFAULT;
}

Result<std::unique_ptr<UffdGuard>> make_guard(std::byte* view, std::size_t bytes) {
  const Result<int> fd = open_uffd();
  if (!fd) return fd.status();
  auto guard = std::make_unique<UffdGuard>(fd.value(), page_bytes());

  uffdio_register request = {};
  request.range = {.start = reinterpret_cast<std::uintptr_t>(view), .len = bytes};
  request.mode =
      UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_MINOR | UFFDIO_REGISTER_MODE_WP;
  if (::ioctl(fd.value(), UFFDIO_REGISTER, &request) != 0)
    return unavailable(error_text(
        "userfaultfd does not take shared memory in the modes MISSING, MINOR and WP together"));
  constexpr __u64 needed = __u64{1} << _UFFDIO_CONTINUE | __u64{1} << _UFFDIO_WRITEPROTECT;
  if ((request.ioctls & needed) != needed)
    return unavailable("userfaultfd offers no CONTINUE and WRITEPROTECT on shared memory");
  // Until here the view was closed by its protection; from here on the registration closes it.
  if (::mprotect(view, bytes, PROT_READ | PROT_WRITE) != 0)
    return unavailable(error_text("mprotect of a registered view"));
  return guard;
}

}  // namespace

Result<std::unique_ptr<PageGuard>> guard_by_uffd(std::byte* view, std::size_t bytes) {
  auto guard = make_guard(view, bytes);
  if (!guard) return guard.status();
  return std::unique_ptr<PageGuard>(std::move(*guard));
}

Status probe_uffd() {
  const std::size_t page = page_bytes();
  Scratch scratch(2 * page);
  if (!scratch.ok()) return unavailable(error_text("no scratch mapping"));
  auto made = make_guard(scratch.program(), 2 * page);
  if (!made) return made.status();
  UffdGuard& guard = **made;

  std::byte* const at = scratch.program();
  std::byte* const hole = at + page;
  *scratch.runtime() = std::byte{1};
  if (!read_traps(hole) || !write_traps(hole))
    return unavailable("userfaultfd does not trap a hole in shared memory");
  if (!read_traps(at) || !write_traps(at))
    return unavailable("userfaultfd does not trap a page of shared memory that is not mapped");

  if (guard.map_absent(at, page, Access::read) != static_cast<std::ptrdiff_t>(page))
    return unavailable(
        "userfaultfd cannot map a page write-protected in one step (Linux 6.4 or later can)");
  if (read_traps(at)) return unavailable("userfaultfd does not open a page for reading");
  if (!write_traps(at))
    return unavailable("userfaultfd loses the write protection of a page that is mapped");
  guard.change(at, page, Access::write);
  if (write_traps(at)) return unavailable("userfaultfd does not open a page for writing");
  guard.change(at, page, Access::read);
  if (!write_traps(at))
    return unavailable("userfaultfd does not write-protect a page that was written");
  guard.close(at, page);
  if (!read_traps(at))
    return unavailable("userfaultfd does not trap a page that was unmapped again");
  return {};
}

}  // namespace dsm::memory
