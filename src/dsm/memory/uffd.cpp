#include "dsm/memory/uffd.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace dsm::memory {

Status uffd_unavailable(const std::string& why) {
  return Status(Code::unavailable, why);
}

std::string uffd_error(const char* what) {
  return std::string(what) + ": " + std::strerror(errno);
}

Result<int> open_uffd(__u64 features) {
  // Traps of the program itself only, which needs no privilege; a kernel that does not know the
  // flag may still allow all.
  int fd = -1;
  for (const int flags : {O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY, O_CLOEXEC | O_NONBLOCK}) {
    fd = static_cast<int>(::syscall(SYS_userfaultfd, flags));
    if (fd >= 0) break;
  }
  if (fd < 0)
    return uffd_unavailable(uffd_error("the kernel or a container's filter refuses userfaultfd"));

  constexpr __u64 always = UFFD_FEATURE_SIGBUS | UFFD_FEATURE_MISSING_SHMEM |
                           UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_PAGEFAULT_FLAG_WP |
                           UFFD_FEATURE_WP_HUGETLBFS_SHMEM;
  const __u64 wanted = always | features;
  uffdio_api api = {};
  api.api = UFFD_API;
  api.features = wanted;
  if (::ioctl(fd, UFFDIO_API, &api) != 0 || (api.features & wanted) != wanted) {
    ::close(fd);
    return uffd_unavailable(
        (features & UFFD_FEATURE_WP_ASYNC) != 0
            ? "this kernel's userfaultfd cannot note writes without a trap (Linux 6.7 or later can)"
            : "this kernel's userfaultfd cannot write-protect shared memory (Linux 5.19 or later "
              "can)");
  }
  return fd;
}

Status uffd_register(int fd, const std::byte* begin, std::size_t bytes) {
  uffdio_register request = {};
  request.range = uffd_range(begin, bytes);
  request.mode =
      UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_MINOR | UFFDIO_REGISTER_MODE_WP;
  if (::ioctl(fd, UFFDIO_REGISTER, &request) != 0)
    return uffd_unavailable(uffd_error(
        "userfaultfd does not take shared memory in the modes MISSING, MINOR and WP together"));
  constexpr __u64 needed = __u64{1} << _UFFDIO_CONTINUE | __u64{1} << _UFFDIO_WRITEPROTECT;
  if ((request.ioctls & needed) != needed)
    return uffd_unavailable("userfaultfd offers no CONTINUE and WRITEPROTECT on shared memory");
  return {};
}

bool uffd_unregister(int fd, const std::byte* begin, std::size_t bytes) {
  uffdio_range range = uffd_range(begin, bytes);
  return ::ioctl(fd, UFFDIO_UNREGISTER, &range) == 0;
}

}  // namespace dsm::memory
