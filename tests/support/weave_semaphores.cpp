// Semaphores in random programs: mutual exclusion, producers and consumers, relays.
//
// An acquire is put where an order that never blocks has a count for it (rehearsal.hpp). Counts of
// channels and relays have one taker each, so every other order gets to the same end. Nothing is
// waited for while a lock is held.
#include <algorithm>
#include <utility>
#include <vector>

#include "support/random.hpp"
#include "support/rehearsal.hpp"

namespace dsm::sim {
namespace {

class Semaphores : Rehearsal {
 public:
  Semaphores(Program& program, Random& random) : Rehearsal(program, random) {}

  void weave();

 private:
  // Of one count: who has it uses the fields.
  struct Mutex {
    std::uint32_t semaphore = 0;
    std::vector<Field> fields;
  };
  // Slots that one thread fills and another empties, in turn.
  struct Channel {
    std::uint32_t filled = 0, emptied = 0;  // semaphores
    std::uint32_t producer = 0, consumer = 0;
    std::vector<Field> slots;
    std::uint32_t head = 0, tail = 0;  // slots filled and emptied so far
  };
  // Threads that use the fields one after the other, each let in by the one before. More than two
  // hear of the first's writes through the second: that is for the release policy.
  struct Relay {
    std::vector<std::uint32_t> threads;
    std::uint32_t first_semaphore = 0;  // one each
    std::uint32_t turn = 0;
    std::vector<Field> fields;
  };

  void choose();
  std::uint32_t make_semaphore(std::uint64_t initial);
  void insert(std::uint32_t thread) override;
  void exclude(std::vector<Op>& out);
  void fill(Channel& channel, std::vector<Op>& out);
  void empty(Channel& channel, std::vector<Op>& out);
  void pass(Relay& relay, std::vector<Op>& out);
  void acquire(std::uint32_t semaphore, std::vector<Op>& out);
  void release(std::uint32_t semaphore, std::uint32_t count, std::vector<Op>& out);

  std::uint32_t one_in_ = 5;
  std::vector<Mutex> mutexes_;
  std::vector<Channel> channels_;
  std::vector<Relay> relays_;
};

std::uint32_t Semaphores::make_semaphore(std::uint64_t initial) {
  const auto number = static_cast<std::uint32_t>(program_.semaphores.size());
  program_.semaphores.push_back({SemaphoreId(number * 5 + random_.below(5)), initial});
  return number;
}

void Semaphores::choose() {
  one_in_ = random_.pick(2u, 4u, 8u);
  std::vector<Field> fields = widen_pages(program_, random_), release_fields;
  const auto is_release = [&](const Field& field) {
    for (const core::Region& region : program_.regions)
      if (region.run().contains(PageId(field.page)))
        return region.policy() == core::Policy::release;
    return false;
  };
  if (random_.one_in(2)) {
    std::copy_if(fields.begin(), fields.end(), std::back_inserter(release_fields), is_release);
    std::erase_if(fields, is_release);
  }
  for (std::uint32_t i = random_.below(3); i > 0; --i)
    mutexes_.push_back({make_semaphore(1), take_fields(fields, random_.between(1, 4))});
  for (std::uint32_t i = random_.below(4); i > 0; --i) {
    Channel c;
    c.producer = some_thread();
    c.consumer = some_thread();
    c.slots = take_fields(fields, random_.between(1, 4));
    if (c.producer == c.consumer || c.slots.empty()) continue;
    c.filled = make_semaphore(0);
    c.emptied = make_semaphore(c.slots.size());
    channels_.push_back(std::move(c));
  }
  for (std::uint32_t i = random_.below(3); i > 0; --i) {
    Relay r;
    r.fields = take_fields(release_fields, random_.between(1, 4));
    const std::uint32_t most = r.fields.empty() ? 2 : 4;
    if (r.fields.empty()) r.fields = take_fields(fields, random_.between(1, 4));
    for (std::uint32_t n = random_.between(2, most); n > 0; --n) {
      const std::uint32_t thread = some_thread();
      if (std::find(r.threads.begin(), r.threads.end(), thread) == r.threads.end())
        r.threads.push_back(thread);
    }
    for (std::size_t k = 0; k < r.threads.size(); ++k) {
      const std::uint32_t semaphore = make_semaphore(k == 0 ? 1 : 0);
      if (k == 0) r.first_semaphore = semaphore;
    }
    relays_.push_back(std::move(r));
  }
}

// Now and then a time-out first.
void Semaphores::acquire(std::uint32_t semaphore, std::vector<Op>& out) {
  if (random_.one_in(3))
    out.push_back({random_.one_in(3) ? Do::try_acquire_semaphore : Do::timed_acquire_semaphore, 0,
                   0, 0, semaphore, 1, 0, 1});
  out.push_back({Do::acquire_semaphore, 0, 0, 0, semaphore});
}

void Semaphores::release(std::uint32_t semaphore, std::uint32_t count, std::vector<Op>& out) {
  out.push_back({Do::release_semaphore, 0, 0, 0, semaphore, 0, 0, count});
}

void Semaphores::exclude(std::vector<Op>& out) {
  const Mutex& m = mutexes_[random_.below(mutexes_.size())];
  const Do how = random_.pick(Do::acquire_semaphore, Do::acquire_semaphore,
                              Do::timed_acquire_semaphore, Do::try_acquire_semaphore);
  const std::size_t at = out.size();
  out.push_back({how, 0, 0, 0, m.semaphore});
  for (std::uint32_t i = random_.between(1, 4); i > 0 && !m.fields.empty(); --i)
    access(m.fields[random_.below(m.fields.size())], random_.one_in(2), out);
  release(m.semaphore, 1, out);
  if (how != Do::acquire_semaphore) out[at].skip = static_cast<std::uint32_t>(out.size() - at);
}

void Semaphores::fill(Channel& c, std::vector<Op>& out) {
  const auto room = static_cast<std::uint32_t>(c.slots.size()) - (c.head - c.tail);
  const std::uint32_t count = random_.between(1, room);
  for (std::uint32_t i = 0; i < count; ++i, ++c.head) {
    const Field& slot = c.slots[c.head % c.slots.size()];
    acquire(c.emptied, out);
    if (random_.one_in(3)) access(slot, false, out);
    access(slot, true, out);
  }
  release(c.filled, count, out);
}

void Semaphores::empty(Channel& c, std::vector<Op>& out) {
  const std::uint32_t count = random_.between(1, c.head - c.tail);
  for (std::uint32_t i = 0; i < count; ++i, ++c.tail) {
    const Field& slot = c.slots[c.tail % c.slots.size()];
    acquire(c.filled, out);
    access(slot, false, out);
    if (random_.one_in(3)) access(slot, true, out);
  }
  release(c.emptied, count, out);
}

void Semaphores::pass(Relay& r, std::vector<Op>& out) {
  acquire(r.first_semaphore + r.turn, out);
  for (std::uint32_t i = random_.below(4); i > 0 && !r.fields.empty(); --i)
    access(r.fields[random_.below(r.fields.size())], random_.one_in(2), out);
  r.turn = (r.turn + 1) % static_cast<std::uint32_t>(r.threads.size());
  release(r.first_semaphore + r.turn, 1, out);
}

// Something that can be done now in the order that never blocks.
void Semaphores::insert(std::uint32_t thread) {
  Thread& t = threads_[thread];
  if (!mutexes_.empty() && (!t.is_clean() || random_.one_in(3))) return exclude(t.woven);
  if (!t.is_clean()) return;
  if (!relays_.empty() && random_.one_in(2)) {
    Relay& r = relays_[random_.below(relays_.size())];
    if (r.threads[r.turn] == thread) return pass(r, t.woven);
  }
  if (channels_.empty()) return;
  Channel& c = channels_[random_.below(channels_.size())];
  if (c.producer == thread && c.head - c.tail < c.slots.size()) fill(c, t.woven);
  if (c.consumer == thread && c.head != c.tail) empty(c, t.woven);
}

void Semaphores::weave() {
  choose();
  run(one_in_);
  // After a last barrier everyone may read everything.
  for (auto& threads : program_.nodes) {
    for (const Mutex& m : mutexes_)
      for (const Field& field : m.fields) access(field, false, threads[0]);
    for (const Channel& c : channels_) access(c.slots[0], false, threads[0]);
    for (const Relay& r : relays_)
      if (!r.fields.empty()) access(r.fields[0], false, threads[0]);
  }
}

}  // namespace

void weave_semaphores(Program& program, std::uint64_t seed) {
  Random random(seed ^ 0x73656d61);
  if (random.one_in(3)) Semaphores(program, random).weave();
}

}  // namespace dsm::sim
