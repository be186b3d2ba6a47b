// Which chunks of other nodes' pages this node holds. Chunks are aligned groups of pages, held and
// evicted together. Pure value.
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/types.hpp"
#include "dsm/core/page.hpp"

namespace dsm::core {

struct Chunk {
  static constexpr std::uint64_t unused = ~std::uint64_t{0};
  std::uint64_t number = unused;  // first page / chunk_pages
  std::uint64_t last_use = 0;
  std::uint32_t busy = 0;     // pages that are neither absent nor clean nor dirty
  std::uint32_t present = 0;  // pages that are not absent
  std::uint32_t punches = 0;  // on their way
  bool evicting = false;
  std::vector<Page> pages;
  bool operator==(const Chunk&) const = default;
};

class Cache {
 public:
  Cache() = default;
  Cache(std::uint32_t chunks, std::uint32_t chunk_pages);

  Chunk* find(PageId page);
  const Chunk* find(PageId page) const;
  // a free slot for the page's chunk; null: none is free. REQUIRES: not there yet
  Chunk* take(PageId page);
  void give(Chunk& chunk);  // REQUIRES: all its pages are absent
  void touch(Chunk& chunk) { chunk.last_use = ++clock_; }
  std::uint32_t used() const { return used_; }
  std::uint32_t evicting() const { return evicting_; }
  void set_evicting(Chunk& chunk);
  PageId first_page(const Chunk& chunk) const { return PageId(chunk.number * chunk_pages_); }
  bool covers(const Chunk& chunk, PageId id) const {
    return chunk.number == id.value / chunk_pages_;
  }
  Page& page(Chunk& chunk, PageId id) { return chunk.pages[id.value % chunk_pages_]; }
  const Page& page(const Chunk& chunk, PageId id) const {
    return chunk.pages[id.value % chunk_pages_];
  }
  std::vector<Chunk>& chunks() { return chunks_; }
  const std::vector<Chunk>& chunks() const { return chunks_; }
  bool operator==(const Cache&) const = default;

 private:
  std::uint32_t chunk_pages_ = 1;
  std::uint32_t used_ = 0;
  std::uint32_t evicting_ = 0;
  std::uint64_t clock_ = 0;  // counts uses, not time
  std::vector<Chunk> chunks_;
  std::unordered_map<std::uint64_t, std::uint32_t> index_;  // chunk number -> slot
};

}  // namespace dsm::core
