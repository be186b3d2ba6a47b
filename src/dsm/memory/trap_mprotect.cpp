// Guarding by page protections: mprotect, and SIGSEGV on what they forbid. Works everywhere; every
// change of protection inside a mapping splits it, and the kernel limits how many mappings a
// process may have (vm.max_map_count).
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/check.hpp"
#include "base/log.hpp"
#include "dsm/memory/page_guard.hpp"

namespace dsm::memory {
namespace {

int protection(Access access) {
  switch (access) {
    case Access::none:
      return PROT_NONE;
    case Access::read:
      return PROT_READ;
    case Access::write:
      return PROT_READ | PROT_WRITE;
  }
  return PROT_NONE;
}

class MprotectGuard final : public PageGuard {
 public:
  MprotectGuard(std::byte* view, std::size_t bytes) : view_(view), bytes_(bytes) {}

  void open(std::byte* begin, std::size_t bytes, Access access) override {
    protect(begin, bytes, access);
  }
  void close(std::byte* begin, std::size_t bytes) override { protect(begin, bytes, Access::none); }
  void change(std::byte* begin, std::size_t bytes, Access to) override {
    protect(begin, bytes, to);
  }

 private:
  void protect(std::byte* begin, std::size_t bytes, Access access) {
    if (::mprotect(begin, bytes, protection(access)) == 0) return;
    DSM_CHECK_WITH(errno == ENOMEM, "mprotect changes pages of the view",
                   {"errno", static_cast<std::uint64_t>(errno)});
    // The view has split into more mappings than the process may have. Closing all of it makes it
    // one again; open pages trap once more and come back, which is slow and right. Widening what is
    // allowed would be neither traced nor right.
    if (!collapsed_before_.exchange(true, std::memory_order_relaxed))
      log_line(
          "the limit on mappings of a process was met (vm.max_map_count): shared pages are "
          "unmapped "
          "to make room, which costs speed; raise it: sysctl -w vm.max_map_count=1048576");
    if (::mprotect(view_, bytes_, PROT_NONE) == 0 &&
        ::mprotect(begin, bytes, protection(access)) == 0)
      return;
    log_line(
        "no mapping is left for the shared space (mprotect: error %d): raise the limit with "
        "\"sysctl -w vm.max_map_count=1048576\" and start again",
        errno);
    ::_exit(EXIT_FAILURE);
  }

  std::byte* const view_;
  const std::size_t bytes_;
  std::atomic<bool> collapsed_before_{false};
};

}  // namespace

Result<std::unique_ptr<PageGuard>> guard_by_mprotect(std::byte* view, std::size_t bytes) {
  return std::unique_ptr<PageGuard>(std::make_unique<MprotectGuard>(view, bytes));
}

Status probe_mprotect() {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  void* scratch = ::mmap(nullptr, page, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  const bool works =
      scratch != MAP_FAILED && ::mprotect(scratch, page, PROT_READ | PROT_WRITE) == 0;
  const int error = errno;
  if (scratch != MAP_FAILED) ::munmap(scratch, page);
  if (works) return {};
  return Status(Code::unavailable, std::string("mprotect does not work on shared memory here: ") +
                                       std::strerror(error));
}

}  // namespace dsm::memory
