#include "support/weave.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "support/random.hpp"

namespace dsm::sim {
namespace {

// Scopes of shared locks, between the operations that are there. Whoever waits in such a scope
// waits for a higher one only, never for a lock: so nobody waits in a circle. Their fields lie in a
// half of each page that the program had no use for.
class Weaver {
 public:
  Weaver(Program& program, Random& random) : program_(program), random_(random) {}

  void weave();

 private:
  // What belongs to a shared lock: fields that readers read and writers write; and one slot a
  // thread, which it may also write while it only reads elsewhere.
  struct Owned {
    std::vector<Field> fields;
    std::vector<Field> slots;  // by thread of the job
  };

  void share_out();
  void insert(std::vector<Op>& ops);
  void scope(std::vector<Op>& block, std::uint32_t lowest);
  void access(std::vector<Op>& block, const Field& field, bool may_write);
  void accesses(std::vector<Op>& block, const Owned& owned, sync::Mode mode);

  Program& program_;
  Random& random_;
  std::vector<Owned> owned_;   // by shared lock
  std::uint32_t thread_ = 0;   // of the job, whose operations are being written
  std::uint32_t threads_ = 0;  // of the job
};

bool is_join(const Op& op) {
  return op.what == Do::join;
}

void Weaver::share_out() {
  const std::vector<Field> fields = widen_pages(program_, random_);
  for (std::size_t i = 0; i < fields.size(); i += 2) {
    Owned& owned = owned_[random_.below(owned_.size())];
    owned.fields.push_back(fields[i]);
    if (owned.slots.size() < threads_) {
      owned.slots.push_back(fields[i + 1]);
    } else {
      owned.fields.push_back(fields[i + 1]);
    }
  }
}

void Weaver::access(std::vector<Op>& block, const Field& field, bool may_write) {
  const bool writes = may_write && random_.one_in(2);
  block.push_back({writes ? Do::write : Do::read, field.length, field.offset, field.page});
}

void Weaver::accesses(std::vector<Op>& block, const Owned& owned, sync::Mode mode) {
  const bool writer = mode == sync::Mode::exclusive;
  for (std::uint32_t i = random_.below(4); i > 0; --i) {
    if (!owned.slots.empty() && random_.one_in(3)) {
      const std::uint32_t slot = writer ? random_.below(owned.slots.size()) : thread_;
      if (slot < owned.slots.size()) access(block, owned.slots[slot], true);
    } else if (!owned.fields.empty()) {
      // few, so that others meet them
      access(block, owned.fields[random_.below(std::min<std::size_t>(owned.fields.size(), 4))],
             writer);
    }
  }
}

void Weaver::scope(std::vector<Op>& block, std::uint32_t lowest) {
  const auto locks = static_cast<std::uint32_t>(program_.shared_locks.size());
  const std::uint32_t lock = random_.between(lowest, locks - 1);
  const sync::Mode mode = random_.below(5) < 3 ? sync::Mode::shared : sync::Mode::exclusive;
  const Do how = random_.pick(Do::acquire_shared, Do::acquire_shared, Do::acquire_shared,
                              Do::try_acquire_shared, Do::timed_acquire_shared);
  const std::size_t at = block.size();
  block.push_back({how, 0, 0, 0, lock, 0, 0, 0, 0, mode});
  accesses(block, owned_[lock], mode);
  if (lock + 1 < locks && random_.one_in(4)) {
    scope(block, lock + 1);
    accesses(block, owned_[lock], mode);
  }
  block.push_back({Do::release_shared, 0, 0, 0, lock, 0, 0, 0, 0, mode});
  if (how != Do::acquire_shared) block[at].skip = static_cast<std::uint32_t>(block.size() - at);
}

// Between the first join and the last, nowhere where pages are pinned: pins must not wait for
// others.
void Weaver::insert(std::vector<Op>& ops) {
  const auto first =
      static_cast<std::size_t>(std::find_if(ops.begin(), ops.end(), is_join) - ops.begin());
  const auto last =
      static_cast<std::size_t>(ops.rend() - std::find_if(ops.rbegin(), ops.rend(), is_join) - 1);
  std::vector<Op> woven;
  std::vector<std::size_t> moved_to;  // where each operation is now, with what is woven before it
  std::uint32_t pins = 0;
  const std::uint32_t one_in = random_.pick(4u, 10u, 25u);
  for (std::size_t i = 0; i < ops.size(); ++i) {
    if (i > first && i <= last && pins == 0 && random_.one_in(one_in)) scope(woven, 0);
    moved_to.push_back(woven.size());
    pins += ops[i].what == Do::pin ? 1 : 0;
    pins -= ops[i].what == Do::unpin ? 1 : 0;
    woven.push_back(ops[i]);
  }
  moved_to.push_back(woven.size());
  for (std::size_t i = 0; i < ops.size(); ++i)
    if (ops[i].skip != 0)
      woven[moved_to[i]].skip = static_cast<std::uint32_t>(moved_to[i + ops[i].skip] - moved_to[i]);
  ops = std::move(woven);
}

void Weaver::weave() {
  for (const auto& threads : program_.nodes) threads_ += static_cast<std::uint32_t>(threads.size());
  for (std::uint32_t i = random_.between(1, 3); i > 0; --i)
    program_.shared_locks.push_back(SharedLockId(i * 5 + random_.below(5)));
  owned_.resize(program_.shared_locks.size());
  share_out();
  for (auto& threads : program_.nodes) {
    for (auto& ops : threads) {
      insert(ops);
      ++thread_;
    }
  }
  // After a last barrier everyone may read everything.
  for (auto& threads : program_.nodes)
    for (const Owned& owned : owned_)
      for (std::uint32_t i = 0; i < 3 && !owned.fields.empty(); ++i)
        access(threads[0],
               i == 0 && !owned.slots.empty() ? owned.slots[random_.below(owned.slots.size())]
                                              : owned.fields[random_.below(owned.fields.size())],
               false);
}

}  // namespace

std::vector<Field> widen_pages(Program& program, Random& random) {
  const std::uint32_t first = program.page_bytes;
  program.page_bytes *= 2;
  std::vector<Field> fields;
  const std::vector<Op>& ops = program.nodes[0][0];
  for (const Op& op : ops) {
    if (is_join(op)) break;
    if (op.what != Do::add_region) continue;
    const auto drops = [&](const Op& o) { return o.what == Do::drop_region && o.arg == op.arg; };
    const core::Region& region = program.regions[op.arg];
    // In a bound region a lock shows what is bound to it, and nothing else.
    if (region.policy() == core::Policy::sequential || region.policy() == core::Policy::bound ||
        std::any_of(ops.begin(), ops.end(), drops))
      continue;
    for (PageId p = region.run().first; p < region.run().end(); ++p) {
      for (std::uint32_t offset = first; offset < program.page_bytes; offset += 8) {
        const auto cut = static_cast<std::uint8_t>(random.between(1, 7));
        const auto page = static_cast<std::uint32_t>(p.value);
        fields.push_back({page, static_cast<std::uint16_t>(offset), cut});
        fields.push_back(
            {page, static_cast<std::uint16_t>(offset + cut), static_cast<std::uint8_t>(8 - cut)});
      }
    }
  }
  return fields;
}

// A thread that gives up does not keep others waiting for ever, so whatever may be tried may be
// waited for with a time-out.
void weave(Program& program, std::uint64_t seed) {
  Random random(seed ^ 0x77656176);
  if (random.one_in(2)) {
    for (auto& threads : program.nodes)
      for (auto& ops : threads)
        for (Op& op : ops)
          if (op.what == Do::try_acquire && random.one_in(2)) op.what = Do::timed_acquire;
  }
  if (random.one_in(3)) Weaver(program, random).weave();
}

}  // namespace dsm::sim
