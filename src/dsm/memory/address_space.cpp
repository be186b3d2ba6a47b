#include "dsm/memory/address_space.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "base/check.hpp"
#include "dsm/memory/available_memory.hpp"
#include "dsm/memory/base_address.hpp"
#include "dsm/memory/page_guard.hpp"

namespace dsm::memory {
namespace {

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

// Left to everybody else when frames are populated: one part in so many of what is available.
constexpr std::uint64_t reserve_divisor = 32;

std::string mebibytes(std::uint64_t bytes) {
  return std::to_string((bytes + (1 << 20) - 1) >> 20) + " MiB";
}

Status exhausted(const std::string& what, int error) {
  return Status(Code::exhausted,
                what + " (" + std::strerror(error) +
                    "); ask for a smaller space, or raise the limit (ulimit -v, ulimit -f)");
}

// Mapped closed and unlocked first: after mlockall(MCL_FUTURE) an open mapping of a sparse file
// would be filled at once.
Status prepare(void* view, std::size_t bytes, bool dump) {
  ::munlock(view, bytes);
  if (::madvise(view, bytes, MADV_DONTFORK) != 0)
    return exhausted("the views cannot be kept from forked children", errno);
  if (!dump) ::madvise(view, bytes, MADV_DONTDUMP);
  ::madvise(view, bytes, MADV_NOHUGEPAGE);  // fails where there are no huge pages, which is as good
  return {};
}

}  // namespace

std::size_t AddressSpace::page_size() {
  static const auto size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return size;
}

AddressSpace::AddressSpace(TrapKind kind, std::uint64_t bytes)
    : kind_(kind), page_size_(page_size()), bytes_(bytes) {}

Result<std::unique_ptr<AddressSpace>> AddressSpace::create(std::uintptr_t base, std::uint64_t bytes,
                                                           TrapKind kind, Watching most) {
  DSM_CHECK_WITH(bytes > 0 && base % page_size() == 0 && bytes % page_size() == 0,
                 "a space is made of whole pages", {"base", base}, {"bytes", bytes});
  std::unique_ptr<AddressSpace> space(new AddressSpace(kind, bytes));
  if (Status mapped = space->map(base); !mapped) return mapped;
  auto guard = kind == TrapKind::uffd ? guard_by_uffd(space->program_, bytes, most)
                                      : guard_by_mprotect(space->program_, bytes);
  if (!guard) return guard.status();
  space->guard_ = std::move(*guard);
  return space;
}

Status AddressSpace::map(std::uintptr_t base) {
  // Asked first, since exceeding it raises SIGXFSZ, whose default ends the process without a word.
  struct rlimit file_size = {};
  if (::getrlimit(RLIMIT_FSIZE, &file_size) == 0 && file_size.rlim_cur < bytes_)
    return exhausted("a space of " + mebibytes(bytes_) + " exceeds the limit on the size of files",
                     EFBIG);
  fd_ = ::memfd_create("dsm", MFD_CLOEXEC);
  if (fd_ < 0) return exhausted("no memory file for the shared space", errno);
  if (::ftruncate(fd_, static_cast<off_t>(bytes_)) != 0)
    return exhausted("a memory file of " + mebibytes(bytes_) + " cannot be made", errno);

  void* const wanted = reinterpret_cast<void*>(base);
  void* const program =
      ::mmap(wanted, bytes_, PROT_NONE, MAP_SHARED | MAP_NORESERVE | MAP_FIXED_NOREPLACE, fd_, 0);
  if (program == MAP_FAILED) return base_taken(base, bytes_);
  if (program != wanted) {  // a kernel before 4.17, or a sanitizer, takes the address for a hint
    ::munmap(program, bytes_);
    return base_taken(base, bytes_);
  }
  program_ = static_cast<std::byte*>(program);
  if (Status prepared = prepare(program_, bytes_, true); !prepared) return prepared;

  void* const runtime = ::mmap(nullptr, bytes_, PROT_NONE, MAP_SHARED | MAP_NORESERVE, fd_, 0);
  if (runtime == MAP_FAILED)
    return exhausted("no addresses for a second view of " + mebibytes(bytes_), errno);
  runtime_ = static_cast<std::byte*>(runtime);
  if (Status prepared = prepare(runtime_, bytes_, false); !prepared) return prepared;
  if (::mprotect(runtime_, bytes_, PROT_READ | PROT_WRITE) != 0)
    return exhausted("the runtime view cannot be opened", errno);
  return {};
}

AddressSpace::~AddressSpace() {
  guard_.reset();
  if (program_ != nullptr) ::munmap(program_, bytes_);
  if (runtime_ != nullptr) ::munmap(runtime_, bytes_);
  if (fd_ >= 0) ::close(fd_);
}

std::byte* AddressSpace::begin(PageRun run) const {
  DSM_CHECK_WITH(run.count <= pages() && run.first.value <= pages() - run.count,
                 "a run lies within the space", {"first", run.first.value}, {"count", run.count});
  return program(run.first);
}

void AddressSpace::open(PageRun run, Access access) {
  if (access == Access::none) return close(run);
  if (run.count > 0) guard_->open(begin(run), length(run), access);
}

void AddressSpace::close(PageRun run) {
  if (run.count > 0) guard_->close(begin(run), length(run));
}

void AddressSpace::change(PageRun run, Access from, Access to) {
  // From a page to itself is a repair: it trapped although it was open, so whether it is mapped is
  // not known.
  if (from == Access::none || to == Access::none || from == to) return open(run, to);
  if (run.count > 0) guard_->change(begin(run), length(run), to);
}

bool AddressSpace::watch_by_scans(PageRun run) {
  return guard_->watch_by_scans(begin(run), length(run));
}

void AddressSpace::watch_by_traps(PageRun run) {
  guard_->watch_by_traps(begin(run), length(run));
}

void AddressSpace::take_written(PageRun run, std::vector<PageRun>& into) {
  guard_->take_written(begin(run), length(run), into);
}

Status AddressSpace::populate(std::span<const PageRun> runs) {
  std::uint64_t total = 0;
  for (const PageRun& run : runs) total += length(run);
  if (total == 0) return {};
  const AvailableMemory available = available_memory();
  if (total > available.bytes - available.bytes / reserve_divisor)
    return Status(Code::exhausted, "home pages of " + mebibytes(total) +
                                       " do not fit: " + mebibytes(available.bytes) +
                                       " are available to this process (" + available.limit +
                                       "); allocate less, or use more nodes");
  for (const PageRun& run : runs)
    if (!allocate(run))
      return Status(Code::exhausted, "home pages of " + mebibytes(total) +
                                         " could not be filled (" + std::strerror(errno) +
                                         "); allocate less, or use more nodes");
  return {};
}

// By the file: half of what it costs to have a view filled. A signal undoes a call, hence the
// pieces.
bool AddressSpace::allocate(PageRun run) {
  constexpr std::size_t piece_max = std::size_t{4} << 20;
  const std::size_t end = length(run);
  const off_t first = begin(run) - program_;
  for (std::size_t done = 0; done < end;) {
    const std::size_t piece = std::min(piece_max, end - done);
    if (::fallocate(fd_, FALLOC_FL_KEEP_SIZE, first + static_cast<off_t>(done),
                    static_cast<off_t>(piece)) == 0)
      done += piece;
    else if (errno != EINTR)
      return false;
  }
  return true;
}

// Where this fails there is a fault for each page, or what it fails of is met there.
void AddressSpace::make_frames(PageRun run) {
  if (run.count > 0 && allocate(run))
    ::madvise(runtime_ + (begin(run) - program_), length(run), MADV_POPULATE_WRITE);
}

void AddressSpace::punch(PageRun run) {
  if (run.count == 0) return;
  const int failed = ::fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                 begin(run) - program_, static_cast<off_t>(length(run)));
  DSM_CHECK_WITH(failed == 0, "frames can be given back", {"first", run.first.value},
                 {"count", run.count}, {"errno", static_cast<std::uint64_t>(errno)});
}

std::uint64_t AddressSpace::resident_bytes() const {
  constexpr std::uint64_t stat_block = 512;  // st_blocks counts these, whatever the page size
  struct stat info = {};
  DSM_CHECK(::fstat(fd_, &info) == 0, "the memory file can be asked for its size");
  return static_cast<std::uint64_t>(info.st_blocks) * stat_block;
}

}  // namespace dsm::memory
