// Guarding by userfaultfd on shared memory, in SIGBUS mode: a page that is not mapped in the
// program view, or is write-protected there, raises SIGBUS in the thread that touches it. Nothing
// splits, so nothing is limited.
//
// The whole view is registered once, MISSING | MINOR | WP: with MINOR | WP alone a hole would read
// as zeros without a trap. A page opens by UFFDIO_CONTINUE, which maps the frame that the memfd
// already has, write-protected or not in one step; it closes by MADV_DONTNEED of the view, which
// leaves the frame alone. Scanned pages (scans.hpp) are registered with another userfaultfd, in the
// same modes.
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
#include <vector>

#include "base/check.hpp"
#include "base/log.hpp"
#include "dsm/memory/page_guard.hpp"
#include "dsm/memory/scans.hpp"
#include "dsm/memory/uffd.hpp"

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
  UffdGuard(int fd, std::size_t page, std::unique_ptr<Scans> scans)
      : fd_(fd), page_(page), scans_(std::move(scans)) {}
  ~UffdGuard() override { ::close(fd_); }
  UffdGuard(const UffdGuard&) = delete;
  UffdGuard& operator=(const UffdGuard&) = delete;

  void open(std::byte* begin, std::size_t bytes, Access access) override {
    each_part(begin, bytes, [&](int fd, std::byte* at, std::size_t length) {
      open_part(fd, at, length, access);
    });
  }

  void close(std::byte* begin, std::size_t bytes) override {
    // The LOCKED form is the same for memory that mlockall() locked, where the plain one fails.
    if (::madvise(begin, bytes, MADV_DONTNEED_LOCKED) != 0) stop("unmapping", begin, bytes, errno);
  }

  void change(std::byte* begin, std::size_t bytes, Access to) override {
    each_part(begin, bytes,
              [&](int fd, std::byte* at, std::size_t length) { change_part(fd, at, length, to); });
  }

  bool watch_by_scans(std::byte* begin, std::size_t bytes) override {
    return scans_ != nullptr && scans_->begin(fd_, begin, bytes);
  }
  void watch_by_traps(std::byte* begin, std::size_t bytes) override {
    if (scans_ != nullptr) scans_->end(fd_, begin, bytes);
  }
  void take_written(std::byte* begin, std::size_t bytes, std::vector<PageRun>& into) override {
    if (scans_ != nullptr) scans_->take_written(begin, bytes, into);
  }

  // Maps frames from `begin` on until it meets a page that is mapped; returns how many bytes it
  // did, or -errno for none.
  static std::ptrdiff_t map_absent(int fd, const std::byte* begin, std::size_t bytes,
                                   Access access) {
    for (;;) {
      uffdio_continue request = {};
      request.range = uffd_range(begin, bytes);
      request.mode =
          UFFDIO_CONTINUE_MODE_DONTWAKE | (access == Access::read ? UFFDIO_CONTINUE_MODE_WP : 0);
      if (::ioctl(fd, UFFDIO_CONTINUE, &request) == 0) return static_cast<std::ptrdiff_t>(bytes);
      if (request.mapped > 0) return static_cast<std::ptrdiff_t>(request.mapped);
      if (errno != EAGAIN) return -errno;
    }
  }
  int fd() const { return fd_; }

 private:
  template <typename Do>
  void each_part(std::byte* begin, std::size_t bytes, Do act) {
    if (scans_ == nullptr) return act(fd_, begin, bytes);
    for (std::size_t done = 0; done < bytes;) {
      const Scans::Part part = scans_->part(begin + done, bytes - done);
      act(part.scanned ? scans_->fd() : fd_, begin + done, part.bytes);
      done += part.bytes;
    }
  }

  void open_part(int fd, std::byte* begin, std::size_t bytes, Access access) {
    std::byte* const end = begin + bytes;
    for (std::byte* at = begin; at < end;) {
      const auto left = static_cast<std::size_t>(end - at);
      const std::ptrdiff_t mapped = map_absent(fd, at, left, access);
      if (mapped == -EEXIST) {  // this page is mapped already: only what it allows may differ
        change_part(fd, at, page_, access);
        at += page_;
      } else if (mapped < 0) {
        stop("mapping", at, left, static_cast<int>(-mapped));
      } else {
        at += mapped;
      }
    }
  }

  static void change_part(int fd, std::byte* begin, std::size_t bytes, Access to) {
    uffdio_writeprotect request = {};
    request.range = uffd_range(begin, bytes);
    request.mode =
        to == Access::read ? UFFDIO_WRITEPROTECT_MODE_WP : UFFDIO_WRITEPROTECT_MODE_DONTWAKE;
    while (::ioctl(fd, UFFDIO_WRITEPROTECT, &request) != 0)
      if (errno != EAGAIN) stop("protecting", begin, bytes, errno);
  }

  const int fd_;
  const std::size_t page_;
  const std::unique_ptr<Scans> scans_;  // null: every page traps
};

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

Result<std::unique_ptr<UffdGuard>> make_guard(std::byte* view, std::size_t bytes, Watching most) {
  const Result<int> fd = open_uffd();
  if (!fd) return fd.status();
  std::unique_ptr<Scans> scans;
  if (most == Watching::scans) {
    auto made = Scans::create(view, bytes);
    if (!made) {
      ::close(fd.value());
      return made.status();
    }
    scans = std::move(*made);
  }
  auto guard = std::make_unique<UffdGuard>(fd.value(), page_bytes(), std::move(scans));
  if (Status s = uffd_register(fd.value(), view, bytes); !s.ok()) return s;
  // Until here the view was closed by its protection; from here on the registration closes it.
  if (::mprotect(view, bytes, PROT_READ | PROT_WRITE) != 0)
    return uffd_unavailable(uffd_error("mprotect of a registered view"));
  return guard;
}

}  // namespace

Result<std::unique_ptr<PageGuard>> guard_by_uffd(std::byte* view, std::size_t bytes,
                                                 Watching most) {
  auto guard = make_guard(view, bytes, most);
  if (!guard) return guard.status();
  return std::unique_ptr<PageGuard>(std::move(*guard));
}

Status probe_uffd() {
  const std::size_t page = page_bytes();
  Scratch scratch(2 * page);
  if (!scratch.ok()) return uffd_unavailable(uffd_error("no scratch mapping"));
  auto made = make_guard(scratch.program(), 2 * page, Watching::traps);
  if (!made) return made.status();
  UffdGuard& guard = **made;

  std::byte* const at = scratch.program();
  std::byte* const hole = at + page;
  *scratch.runtime() = std::byte{1};
  if (!read_traps(hole) || !write_traps(hole))
    return uffd_unavailable("userfaultfd does not trap a hole in shared memory");
  if (!read_traps(at) || !write_traps(at))
    return uffd_unavailable("userfaultfd does not trap a page of shared memory that is not mapped");

  if (guard.map_absent(guard.fd(), at, page, Access::read) != static_cast<std::ptrdiff_t>(page))
    return uffd_unavailable(
        "userfaultfd cannot map a page write-protected in one step (Linux 6.4 or later can)");
  if (read_traps(at)) return uffd_unavailable("userfaultfd does not open a page for reading");
  if (!write_traps(at))
    return uffd_unavailable("userfaultfd loses the write protection of a page that is mapped");
  guard.change(at, page, Access::write);
  if (write_traps(at)) return uffd_unavailable("userfaultfd does not open a page for writing");
  guard.change(at, page, Access::read);
  if (!write_traps(at))
    return uffd_unavailable("userfaultfd does not write-protect a page that was written");
  guard.close(at, page);
  if (!read_traps(at))
    return uffd_unavailable("userfaultfd does not trap a page that was unmapped again");
  return {};
}

Status probe_scans() {
  const std::size_t page = page_bytes();
  Scratch scratch(2 * page);
  if (!scratch.ok()) return uffd_unavailable(uffd_error("no scratch mapping"));
  auto made = make_guard(scratch.program(), 2 * page, Watching::scans);
  if (!made) return made.status();
  UffdGuard& guard = **made;
  std::byte* const at = scratch.program();
  *scratch.runtime() = std::byte{1};
  guard.open(at, page, Access::write);
  if (!guard.watch_by_scans(at, 2 * page))
    return uffd_unavailable("userfaultfd does not change the way in which pages are watched");
  std::vector<PageRun> written;
  const auto one_is_written = [&] {
    written.clear();
    guard.take_written(at, page, written);
    return written == std::vector<PageRun>{{PageId(0), 1}};
  };
  guard.change(at, page, Access::read);
  if (one_is_written()) return uffd_unavailable("the kernel takes a page for written that is not");
  if (write_traps(at)) return uffd_unavailable("a page that is scanned traps");
  if (!one_is_written()) return uffd_unavailable("the kernel does not see that a page is written");
  if (one_is_written()) return uffd_unavailable("the kernel does not protect a page once more");
  if (!read_traps(at + page)) return uffd_unavailable("a hole that is scanned does not trap");
  guard.watch_by_traps(at, 2 * page);
  guard.change(at, page, Access::read);
  if (!write_traps(at))
    return uffd_unavailable("userfaultfd does not trap a page that was scanned before");
  return {};
}

}  // namespace dsm::memory
