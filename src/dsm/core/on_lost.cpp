// A node is lost, and the job ends. Before it does, the others tell one another which locks they
// have: what is bound to one that nobody has is lost with the node.
#include <algorithm>

#include "dsm/core/engine.hpp"

namespace dsm::core {

void Engine::on(const Lost& e, Effects& out) {
  Holding holding;
  for (const auto& [lock, parts] : bindings_.all())
    if (has_token(lock)) holding.locks.push_back(lock);
  for (std::uint32_t n = 0; n < config_.nodes; ++n)
    if (NodeId(n) != e.node && NodeId(n) != config_.self) out.push(Send{NodeId(n), holding});
}

void Engine::on(const Holding& m, NodeId from, Effects&) {
  held_elsewhere_[from] = m.locks;
}

bool Engine::has_heard_of_all_but(NodeId lost) const {
  const std::size_t others = config_.nodes - (lost == config_.self ? 1 : 2);
  return held_elsewhere_.size() - held_elsewhere_.count(lost) >= others;
}

std::vector<LockId> Engine::bound_locks_of(NodeId lost) const {
  std::vector<LockId> locks;
  for (const auto& [lock, parts] : bindings_.all()) {
    const LockId id = lock;
    const bool elsewhere =
        std::any_of(held_elsewhere_.begin(), held_elsewhere_.end(), [&](const auto& held) {
          return held.first != lost &&
                 std::find(held.second.begin(), held.second.end(), id) != held.second.end();
        });
    if (!elsewhere && !has_token(id)) locks.push_back(id);
  }
  return locks;
}

}  // namespace dsm::core
