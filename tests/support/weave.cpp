#include "support/weave.hpp"

#include "support/random.hpp"

namespace dsm::sim {

// A thread that gives up does not keep others waiting for ever, so whatever may be tried may be
// waited for with a time-out.
void weave(Program& program, std::uint64_t seed) {
  Random random(seed ^ 0x77656176);
  if (!random.one_in(2)) return;
  for (auto& threads : program.nodes)
    for (auto& ops : threads)
      for (Op& op : ops)
        if (op.what == Do::try_acquire && random.one_in(2)) op.what = Do::timed_acquire;
}

}  // namespace dsm::sim
