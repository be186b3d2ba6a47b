// Which page has which twin, or base. The directory is one sparse array over the space, so that
// neither looking up nor taking allocates.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/mutex.hpp"
#include "base/status.hpp"
#include "base/types.hpp"
#include "dsm/memory/twin_pool.hpp"

namespace dsm {

class Twins {
 public:
  // At most `twins` pages may have one at a time.
  static Result<std::unique_ptr<Twins>> create(std::uint64_t space_pages, std::uint32_t twins,
                                               std::size_t page_bytes);
  ~Twins();
  Twins(const Twins&) = delete;
  Twins& operator=(const Twins&) = delete;

  // Any thread. A page's own calls do not overlap (the engine keeps it busy).
  void take(PageId page, const std::byte* bytes);  // REQUIRES: it has none
  std::span<std::byte> of(PageId page) const;      // REQUIRES: it has one
  bool has(PageId page) const;
  bool any_of(PageRun run) const;
  void give(PageId page);

 private:
  Twins(memory::TwinPool pool, std::size_t page_bytes)
      : pool_(std::move(pool)), page_bytes_(page_bytes) {}

  mutable Mutex mutex_;
  memory::TwinPool pool_ DSM_GUARDED_BY(mutex_);
  const std::size_t page_bytes_;
  std::uint32_t* directory_ = nullptr;  // twin + 1, by page; 0: none
  std::size_t mapped_ = 0;
};

}  // namespace dsm
