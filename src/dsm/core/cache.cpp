#include "dsm/core/cache.hpp"

#include "base/check.hpp"

namespace dsm::core {

Cache::Cache(std::uint32_t chunks, std::uint32_t chunk_pages)
    : chunk_pages_(chunk_pages), chunks_(chunks) {
  index_.reserve(chunks);
}

Chunk* Cache::find(PageId page) {
  return const_cast<Chunk*>(static_cast<const Cache*>(this)->find(page));
}

const Chunk* Cache::find(PageId page) const {
  const auto it = index_.find(page.value / chunk_pages_);
  return it == index_.end() ? nullptr : &chunks_[it->second];
}

Chunk* Cache::take(PageId page) {
  if (used_ == chunks_.size()) return nullptr;
  for (std::uint32_t slot = 0; slot < chunks_.size(); ++slot) {
    Chunk& chunk = chunks_[slot];
    if (chunk.number != Chunk::unused) continue;
    const bool inserted = index_.emplace(page.value / chunk_pages_, slot).second;
    DSM_CHECK_WITH(inserted, "a chunk is cached once", {"page", page.value});
    chunk.number = page.value / chunk_pages_;
    chunk.pages.assign(chunk_pages_, Page{});
    ++used_;
    return &chunk;
  }
  return nullptr;
}

void Cache::give(Chunk& chunk) {
  DSM_CHECK_WITH(chunk.present == 0 && chunk.busy == 0, "only an empty chunk is given back",
                 {"chunk", chunk.number});
  index_.erase(chunk.number);
  if (chunk.evicting) --evicting_;
  --used_;
  std::vector<Page> pages = std::move(chunk.pages);  // keeps the storage for the next taker
  chunk = Chunk{};
  pages.clear();
  chunk.pages = std::move(pages);
}

void Cache::set_evicting(Chunk& chunk) {
  DSM_CHECK(!chunk.evicting, "a chunk is evicted once at a time");
  chunk.evicting = true;
  ++evicting_;
}

}  // namespace dsm::core
