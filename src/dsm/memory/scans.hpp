// Scans: which pages of a view are watched without traps. Their writes are noted by the kernel (a
// second userfaultfd, with WP_ASYNC, to which they are registered), and asked for (PAGEMAP_SCAN):
// Linux 6.7 and later. Internal to this folder.
//
// Threads: as PageGuard. Which pages are scanned is read without a lock, also in signal context.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/status.hpp"
#include "base/types.hpp"

namespace dsm::memory {

class Scans {
 public:
  // Of none of the view's pages yet. A Status that is not ok says what this machine lacks.
  static Result<std::unique_ptr<Scans>> create(const std::byte* view, std::size_t bytes);
  ~Scans();
  Scans(const Scans&) = delete;
  Scans& operator=(const Scans&) = delete;

  int fd() const { return fd_; }
  // How many bytes from `begin` on, at most `bytes`, are alike, and whether they are scanned.
  struct Part {
    std::size_t bytes = 0;
    bool scanned = false;
  };
  Part part(const std::byte* begin, std::size_t bytes) const;

  // From the userfaultfd `traps` to this one, and back. While that lasts every write goes unseen.
  // False: it stayed with `traps`.
  bool begin(int traps, const std::byte* begin, std::size_t bytes);
  void end(int traps, const std::byte* begin, std::size_t bytes);

  // See AddressSpace::take_written().
  void take_written(const std::byte* begin, std::size_t bytes, std::vector<PageRun>& into) const;

 private:
  Scans(const std::byte* view, std::size_t bytes);
  std::atomic<std::uint64_t>& word(std::size_t page) const { return scanned_[page / bits_of_word]; }
  std::size_t page_of(const std::byte* at) const {
    return static_cast<std::size_t>(at - view_) / page_;
  }
  void mark(const std::byte* begin, std::size_t bytes, bool scanned);

  static constexpr std::size_t bits_of_word = 64;

  const std::byte* const view_;
  const std::size_t page_;
  std::size_t map_bytes_ = 0;
  int fd_ = -1;
  int pagemap_ = -1;
  std::atomic<std::uint64_t> pages_{0};            // that are scanned
  std::atomic<std::uint64_t>* scanned_ = nullptr;  // a bit a page; sparse
};

}  // namespace dsm::memory
