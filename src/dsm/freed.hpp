// Where regions were, for the line that an access to one of them leaves (DSM_DEBUG=1).
//
// Threads: add() by one at a time, find() by any, also in a trap handler. Fixed in size; what comes
// when it is full is forgotten.
#pragma once

#include <array>
#include <atomic>
#include <optional>

#include "base/types.hpp"

namespace dsm {

class Freed {
 public:
  void add(PageRun run) {
    const std::size_t n = count_.load(std::memory_order_relaxed);
    if (n == most) return;
    runs_[n] = run;
    count_.store(n + 1, std::memory_order_release);
  }
  // The region freed last that had this page.
  std::optional<PageRun> find(PageId page) const {
    for (std::size_t n = count_.load(std::memory_order_acquire); n > 0; --n)
      if (runs_[n - 1].contains(page)) return runs_[n - 1];
    return std::nullopt;
  }

 private:
  static constexpr std::size_t most = 1024;
  std::array<PageRun, most> runs_{};
  std::atomic<std::size_t> count_{0};
};

}  // namespace dsm
