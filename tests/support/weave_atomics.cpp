// Words that are changed atomically between some barriers and used plainly between others, with
// plain words of other threads between them in the same pages.
#include <algorithm>
#include <utility>
#include <vector>

#include "support/random.hpp"
#include "support/weave.hpp"

namespace dsm::sim {
namespace {

class AtomicWeaver {
 public:
  AtomicWeaver(Program& program, Random& random) : program_(program), random_(random) {}

  void weave();

 private:
  // How the atomic words are used between two barriers.
  enum class Use : std::uint8_t { atomic, read, owned };

  void place_region();
  void insert(std::vector<Op>& ops, bool first_thread);
  void operation(std::vector<Op>& ops, std::uint32_t phase);
  Op plain(std::uint32_t word, bool writes);

  Program& program_;
  Random& random_;
  std::uint32_t region_ = 0;
  std::uint32_t words_ = 0;                 // those of even numbers are atomic
  std::uint32_t hot_ = 0;                   // so many of them are used
  bool in_step_ = true;                     // every thread passes every barrier
  std::vector<Use> uses_;                   // by phase
  std::uint32_t thread_ = 0, threads_ = 0;  // of the job
};

void AtomicWeaver::place_region() {
  core::Config& c = program_.config;
  std::vector<NodeId> homes;
  for (std::uint32_t i = random_.between(1, 2); i > 0; --i)
    homes.push_back(NodeId(random_.below(c.nodes)));
  region_ = static_cast<std::uint32_t>(program_.regions.size());
  program_.regions.emplace_back(RegionId(region_), PageRun{PageId(c.space_pages), homes.size()},
                                core::Homes::of(homes),
                                random_.pick(core::Policy::scope, core::Policy::release));
  c.space_pages += homes.size();
  c.atomics_by_message = random_.one_in(3);
  words_ = static_cast<std::uint32_t>(homes.size()) * program_.page_bytes / 8;
  hot_ = random_.pick(1u, 2u, words_ / 2);
}

Op AtomicWeaver::plain(std::uint32_t word, bool writes) {
  const std::uint32_t per_page = program_.page_bytes / 8;
  const PageRun run = program_.regions[region_].run();
  return {writes ? Do::write : Do::read, 8, static_cast<std::uint16_t>(word % per_page * 8),
          static_cast<std::uint32_t>(run.first.value) + word / per_page};
}

void AtomicWeaver::operation(std::vector<Op>& ops, std::uint32_t phase) {
  const std::uint32_t turn = in_step_ ? phase : 0;
  if (random_.one_in(3)) {  // a plain neighbour of this thread
    const std::uint32_t mine = (thread_ + turn) % threads_;
    if (mine < words_ / 2) ops.push_back(plain(2 * mine + 1, random_.one_in(2)));
    return;
  }
  const std::uint32_t word = 2 * random_.below(hot_);
  switch (uses_[phase]) {
    case Use::read:
      ops.push_back(plain(word, false));
      break;
    case Use::owned:
      if ((word / 2 + turn) % threads_ == thread_) ops.push_back(plain(word, random_.one_in(2)));
      break;
    case Use::atomic: {
      Op op = plain(word, false);
      op.what = random_.one_in(2) ? Do::atomic_add : Do::atomic_swap;
      op.arg = random_.one_in(4) ? 1 : 0;
      for (std::uint32_t i = random_.between(1, 3); i > 0; --i) ops.push_back(op);
      break;
    }
  }
}

void AtomicWeaver::insert(std::vector<Op>& ops, bool first_thread) {
  const auto joins = static_cast<std::uint32_t>(
      std::count_if(ops.begin(), ops.end(), [](const Op& op) { return op.what == Do::join; }));
  while (uses_.size() <= joins) uses_.push_back(random_.pick(Use::atomic, Use::read, Use::owned));
  if (!in_step_) std::fill(uses_.begin(), uses_.end(), Use::atomic);
  const std::uint32_t one_in = random_.pick(3u, 8u, 20u);
  std::vector<Op> woven;
  std::vector<std::size_t> moved_to;  // as in weave.cpp
  std::uint32_t pins = 0, phase = 0;
  bool apart = true;  // the operation before does not count those that follow
  for (const Op& op : ops) {
    if (phase > 0 && phase < joins && pins == 0 && apart && random_.one_in(one_in))
      operation(woven, phase);
    if (op.what == Do::join && phase++ == 0 && first_thread)
      woven.push_back({Do::add_region, 0, 0, 0, region_});
    moved_to.push_back(woven.size());
    pins += op.what == Do::pin ? 1 : 0;
    pins -= op.what == Do::unpin ? 1 : 0;
    apart = op.what != Do::try_acquire_semaphore && op.what != Do::timed_acquire_semaphore;
    woven.push_back(op);
  }
  moved_to.push_back(woven.size());
  for (std::size_t i = 0; i < ops.size(); ++i)
    if (ops[i].skip != 0)
      woven[moved_to[i]].skip = static_cast<std::uint32_t>(moved_to[i + ops[i].skip] - moved_to[i]);
  ops = std::move(woven);
  // After a last barrier everyone may read everything.
  for (std::uint32_t word = 0; word < words_; word += 1 + random_.below(3))
    ops.push_back(plain(word, false));
}

void AtomicWeaver::weave() {
  for (const auto& threads : program_.nodes) {
    threads_ += static_cast<std::uint32_t>(threads.size());
    for (const auto& ops : threads)
      in_step_ = in_step_ && std::none_of(ops.begin(), ops.end(),
                                          [](const Op& op) { return op.what == Do::arrive; });
  }
  place_region();
  for (auto& threads : program_.nodes) {
    for (auto& ops : threads) {
      insert(ops, &ops == &threads[0]);
      ++thread_;
    }
  }
}

}  // namespace

void weave_atomics(Program& program, std::uint64_t seed) {
  Random random(seed ^ 0x61746f6d);
  if (random.one_in(3)) AtomicWeaver(program, random).weave();
}

}  // namespace dsm::sim
