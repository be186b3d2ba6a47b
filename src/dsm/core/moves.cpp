#include "dsm/core/moves.hpp"

#include <algorithm>

namespace dsm::core {

void encode(const std::vector<Move>& moves, Writer& out) {
  out.put(static_cast<std::uint16_t>(moves.size()));
  for (const Move& m : moves) {
    out.put(m.run.first);
    out.put(m.run.count);
    out.put(m.to);
    out.put(m.moves);
  }
}

bool decode(Reader& in, std::vector<Move>& moves) {
  const auto count = in.get<std::uint16_t>();
  std::uint64_t pages = 0;
  for (std::uint16_t i = 0; i < count && in.ok(); ++i) {
    Move m;
    m.run.first = in.get<PageId>();
    m.run.count = in.get<std::uint64_t>();
    m.to = in.get<NodeId>();
    m.moves = in.get<std::uint8_t>();
    pages += std::min(m.run.count, moved_pages_max + 1);
    if (m.run.count == 0 || pages > moved_pages_max) return false;
    moves.push_back(m);
  }
  return in.ok() && moves.size() <= moves_max;
}

Moves::Batch* Moves::find(NodeId from, Epoch epoch) {
  const auto it = std::find_if(batches.begin(), batches.end(),
                               [&](const Batch& b) { return b.from == from && b.epoch == epoch; });
  return it == batches.end() ? nullptr : &*it;
}

bool Moves::is_punching(PageId page) const {
  return std::any_of(punching.begin(), punching.end(),
                     [page](const PageRun& run) { return run.contains(page); });
}

}  // namespace dsm::core
