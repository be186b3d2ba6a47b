// AddressSpace: one memfd seen through two views, and what the program may do with each page.
//
//   program view   at the base that all nodes agreed on; the program dereferences it;
//                  every page starts trapped
//   runtime view   anywhere, always readable and writable; frames are filled here;
//                  never handed to the program
//
// A page's *frame* is its memory in the memfd; it exists from the first touch through the runtime
// view (or populate()) until punch(). The program view shows the frame only while the page is open.
// Knows no protocol and no transport.
//
// Threads: everything but create() and destruction may be called by any thread at any time, also
// inside a trap handler (nothing but populate() and create() allocates). Calls on the same page
// must not overlap in time: the engine keeps a page whose protection changes busy until the call
// returned. When a call that takes access away returns, no thread of this process still has that
// access.
//
// A page may at any time allow LESS than it was opened for (the kernel reclaimed it, or a limit on
// mappings was met): a trap on a page that should be open is normal, and open() mends it.
//
// A process forked from this one has neither view. A core file holds the program view as far as it
// is open.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/status.hpp"
#include "base/types.hpp"
#include "dsm/memory/trap.hpp"

namespace dsm::memory {

class PageGuard;

class AddressSpace {
 public:
  // REQUIRES: base and bytes are multiples of page_size(). A base that is taken is an error that
  // shows what took it.
  // `most`: whether pages may be scanned. REQUIRES: what kind and most ask for was probed.
  static Result<std::unique_ptr<AddressSpace>> create(std::uintptr_t base, std::uint64_t bytes,
                                                      TrapKind kind,
                                                      Watching most = Watching::traps);

  // REQUIRES: no thread accesses either view any more, and the Trap on this space is gone.
  ~AddressSpace();
  AddressSpace(const AddressSpace&) = delete;
  AddressSpace& operator=(const AddressSpace&) = delete;

  // Lets the program use the run as `access` says, whatever was allowed before. read, write:
  // REQUIRES frames, filled completely; afterwards the program sees them. none: the same as
  // close().
  void open(PageRun run, Access access);
  // Every access to the run traps. Frames keep their contents.
  void close(PageRun run);
  // The same as open(run, to), cheaper, for pages that were last opened as `from`.
  void change(PageRun run, Access from, Access to);

  // From now on writes to pages of the run never trap where they are open for reading; they are
  // noted. Afterwards the whole run, which was open, is open for writing; what was written
  // meanwhile nobody noted. False: it traps as before (but is open for writing): this space does
  // not scan, or the kernel has no mapping left for it.
  bool watch_by_scans(PageRun run);
  // Ends that, for as much of the run as is scanned; the pages may be any of it. Those are open for
  // writing afterwards, as far as they were open.
  void watch_by_traps(PageRun run);
  // Appends the pages of a scanned run that were written since they were opened for reading, or
  // taken here, last; at the same time they are so again. What is written meanwhile is found here
  // or by the next call. Earlier stores to what is found are visible to everyone when this returns.
  void take_written(PageRun run, std::vector<PageRun>& into);

  // Makes zeroed frames where there are none. `exhausted`, with what limits it, when memory is
  // short; asked before it fills, so that neither a SIGBUS nor the kernel's out-of-memory killer is
  // the answer. For set-up: it allocates and reads /proc.
  Status populate(std::span<const PageRun> runs);
  Status populate(PageRun run) { return populate(std::span(&run, 1)); }
  // A hint: the run will be filled. Makes its frames at once, if there is memory, rather than by a
  // fault each. Any thread, also in a trap.
  void make_frames(PageRun run);
  // Gives the frames back to the kernel; their contents are gone. REQUIRES: the run is closed.
  void punch(PageRun run);
  // Memory held by frames.
  std::uint64_t resident_bytes() const;

  std::byte* program(PageId page) const { return program_ + page.value * page_size_; }
  std::byte* runtime(PageId page) const { return runtime_ + page.value * page_size_; }
  // Within the program view.
  bool contains(std::uintptr_t address) const { return address - base() < bytes_; }
  // REQUIRES: contains(address).
  PageId page_of(std::uintptr_t address) const { return PageId((address - base()) / page_size_); }
  // The same byte through the other view. REQUIRES: contains(address).
  std::byte* runtime_at(std::uintptr_t address) const { return runtime_ + (address - base()); }

  std::uintptr_t base() const { return reinterpret_cast<std::uintptr_t>(program_); }
  std::uint64_t bytes() const { return bytes_; }
  std::uint64_t pages() const { return bytes_ / page_size_; }
  TrapKind trap_kind() const { return kind_; }
  // The memfd behind both views; offset 0 is page 0. For a transport that exposes the runtime view.
  int descriptor() const { return fd_; }

  // The unit of coherence: the system's page, from sysconf.
  static std::size_t page_size();

 private:
  AddressSpace(TrapKind kind, std::uint64_t bytes);
  Status map(std::uintptr_t base);
  std::byte* begin(PageRun run) const;
  bool allocate(PageRun run);  // its frames, in the file; false: errno says why
  std::size_t length(PageRun run) const { return run.count * page_size_; }

  const TrapKind kind_;
  const std::size_t page_size_;
  const std::uint64_t bytes_;
  int fd_ = -1;
  std::byte* program_ = nullptr;
  std::byte* runtime_ = nullptr;
  std::unique_ptr<PageGuard> guard_;
};

}  // namespace dsm::memory
