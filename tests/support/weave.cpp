#include "support/weave.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "support/random.hpp"

namespace dsm::sim {
namespace {

struct Field {
  std::uint32_t page = 0;
  std::uint16_t offset = 0;
  std::uint8_t length = 0;
};

// Scopes of shared locks, between the operations that are there. Whoever waits in such a scope waits
// for a higher one only, never for a lock: so nobody waits in a circle. Their fields lie in a half
// of each page that the program had no use for.
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

  void widen_pages();
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

void Weaver::widen_pages() {
  const std::uint32_t first = program_.page_bytes;
  program_.page_bytes *= 2;
  const std::vector<Op>& ops = program_.nodes[0][0];
  std::vector<std::uint32_t> pages;  // of the regions that are there from the first join to the end
  for (const Op& op : ops) {
    if (is_join(op)) break;
    if (op.what != Do::add_region) continue;
    const auto drops = [&](const Op& o) { return o.what == Do::drop_region && o.arg == op.arg; };
    if (std::any_of(ops.begin(), ops.end(), drops)) continue;
    const PageRun run = program_.regions[op.arg].run();
    for (PageId p = run.first; p < run.end(); ++p)
      pages.push_back(static_cast<std::uint32_t>(p.value));
  }
  for (const std::uint32_t page : pages) {
    for (std::uint32_t offset = first; offset < program_.page_bytes; offset += 8) {
      Owned& owned = owned_[random_.below(owned_.size())];
      const auto at = [&](std::uint32_t within, std::uint32_t length) {
        return Field{page, static_cast<std::uint16_t>(offset + within),
                     static_cast<std::uint8_t>(length)};
      };
      const std::uint32_t cut = random_.between(1, 7);
      owned.fields.push_back(at(0, cut));
      if (owned.slots.size() < threads_) {
        owned.slots.push_back(at(cut, 8 - cut));
      } else {
        owned.fields.push_back(at(cut, 8 - cut));
      }
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
  widen_pages();
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
