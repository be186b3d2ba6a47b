// Conditions in random programs: counters that only grow, under locks of their own, and threads
// that wait until a counter has got somewhere.
//
// A wait is put where an order that never blocks has got that far (rehearsal.hpp), and no count is
// ever left out, so every wait ends, and a notification that is lost leaves a thread stuck. All who
// wait are notified; or one, where only one thread waits; or one that notifies the next, where all
// wait for the same.
#include <algorithm>
#include <vector>

#include "support/random.hpp"
#include "support/rehearsal.hpp"

namespace dsm::sim {
namespace {

class Conditions : Rehearsal {
 public:
  Conditions(Program& program, Random& random) : Rehearsal(program, random) {}

  void weave();

 private:
  enum class Wake : std::uint8_t {
    all,
    one,   // `waiter` alone waits for it
    chain  // it counts to one; whoever is notified notifies the next
  };
  struct Counter {
    Field field;
    std::uint32_t condition = 0;
    Wake wake = Wake::all;
    std::uint32_t waiter = 0;
    std::uint32_t value = 0;  // in the order of the rehearsal
    bool full() const {
      return wake == Wake::chain ? value == 1 : field.length == 1 && value == 255;
    }
  };
  struct Guarded {  // by a lock
    std::uint32_t lock = 0;
    std::vector<Field> fields;
    std::vector<Counter> counters;
  };

  void choose();
  void insert(std::uint32_t thread) override;
  void accesses(const Guarded& guarded, std::vector<Op>& out);
  void count(const Guarded& guarded, Counter& counter, std::vector<Op>& out);
  void wait(Guarded& guarded, const Counter& counter, std::vector<Op>& out);
  static void notify(const Counter& counter, std::vector<Op>& out);

  std::vector<Guarded> guarded_;
};

void Conditions::choose() {
  std::vector<Field> fields = widen_pages(program_, random_);
  std::uint32_t conditions = 0;
  for (std::uint32_t i = random_.between(1, 2); i > 0 && fields.size() > 8; --i) {
    Guarded g;
    g.lock = static_cast<std::uint32_t>(program_.locks.size());
    program_.locks.push_back(LockId(1000 + 5 * i + random_.below(5)));
    g.fields = take_fields(fields, random_.between(1, 4));
    for (const Field& field : take_fields(fields, random_.between(1, 8))) {
      Counter c;
      c.field = field;
      c.wake = random_.pick(Wake::all, Wake::one, Wake::chain, Wake::chain);
      c.waiter = some_thread();
      // Some conditions stand for several counters.
      const bool own =
          g.counters.empty() || c.wake != Wake::all || g.counters.back().wake != Wake::all;
      c.condition = own || random_.one_in(2) ? 5 * conditions++ + random_.below(5)
                                             : g.counters.back().condition;
      g.counters.push_back(c);
    }
    guarded_.push_back(std::move(g));
  }
}

void Conditions::accesses(const Guarded& g, std::vector<Op>& out) {
  for (std::uint32_t i = random_.below(4); i > 0; --i)
    access(g.fields[random_.below(g.fields.size())], random_.one_in(2), out);
}

void Conditions::notify(const Counter& c, std::vector<Op>& out) {
  out.push_back({c.wake == Wake::all ? Do::notify_all : Do::notify_one, 0, 0, 0, c.condition});
}

// In a scope of its lock. Who waits is told within the scope, or behind it.
void Conditions::count(const Guarded& g, Counter& c, std::vector<Op>& out) {
  for (std::uint32_t i = random_.one_in(4) ? 2 : 1; i > 0 && !c.full(); --i, ++c.value) {
    if (random_.one_in(2)) access(c.field, false, out);
    out.push_back({Do::count_up, c.field.length, c.field.offset, c.field.page});
  }
  const bool within = random_.one_in(2);
  if (within) notify(c, out);
  accesses(g, out);
  out.push_back({Do::release, 0, 0, 0, g.lock});
  if (!within) notify(c, out);
}

// Mostly for what was counted last, which others are the likeliest to have to wait for.
void Conditions::wait(Guarded& g, const Counter& c, std::vector<Op>& out) {
  const std::uint32_t target = c.value - (random_.one_in(4) ? random_.below(c.value) : 0);
  Op op{Do::await_count, c.field.length, c.field.offset, c.field.page, g.lock, 0,
        target,          c.condition};
  op.passes_on = c.wake == Wake::chain;
  if (random_.one_in(3)) op.time = random_.pick(300u, 3000u, 20000u);
  const bool gives_up = op.time != 0 && random_.one_in(2);
  const std::size_t at = out.size();
  out.push_back(op);
  accesses(g, out);
  if (gives_up) out[at].skip = static_cast<std::uint32_t>(out.size() - at);
  Counter& next = g.counters[random_.below(g.counters.size())];
  if (random_.one_in(3) && !next.full()) return count(g, next, out);
  out.push_back({Do::release, 0, 0, 0, g.lock});
}

void Conditions::insert(std::uint32_t thread) {
  Thread& t = threads_[thread];
  if (!t.is_clean() || guarded_.empty()) return;
  Guarded& g = guarded_[random_.below(guarded_.size())];
  Counter& c = g.counters[random_.below(g.counters.size())];
  const bool waits =
      c.value > 0 && (c.wake != Wake::one || c.waiter == thread) && random_.one_in(2);
  if (!waits && c.full()) return;
  t.woven.push_back({Do::acquire, 0, 0, 0, g.lock});
  if (waits) {
    wait(g, c, t.woven);
  } else {
    count(g, c, t.woven);
  }
}

void Conditions::weave() {
  choose();
  run(random_.pick(2u, 4u, 8u));
  // After a last barrier everyone may read everything.
  for (auto& threads : program_.nodes)
    for (const Guarded& g : guarded_) {
      for (const Counter& c : g.counters) access(c.field, false, threads[0]);
      access(g.fields[0], false, threads[0]);
    }
}

}  // namespace

void weave_conditions(Program& program, std::uint64_t seed) {
  Random random(seed ^ 0x636f6e64);
  if (random.one_in(3)) Conditions(program, random).weave();
}

}  // namespace dsm::sim
