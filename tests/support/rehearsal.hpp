// One order of a random program that never blocks, for weavers of what a thread may wait for
// without end: a wait is put only where that order has got to what it waits for. Then no order of
// the program deadlocks: of all threads that are stuck, the one whose operation comes first in this
// order has nothing left to wait for.
//
// A weaver derives from it, says in insert() what comes before a thread's next operation, and calls
// run(). Threads take turns only where they hold no lock and may not leave out what is inserted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "support/program.hpp"
#include "support/random.hpp"
#include "support/weave.hpp"

namespace dsm::sim {

class Rehearsal {
 protected:
  Rehearsal(Program& program, Random& random);
  ~Rehearsal() = default;

  using Counts = std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint64_t>;  // by field
  struct Thread {
    std::uint32_t node = 0;
    std::vector<Op>* ops = nullptr;
    std::size_t first_join = 0, last_join = 0;
    std::size_t next = 0;
    std::uint32_t held = 0, pins = 0;
    std::size_t guarded = 0;  // operations before this one may be left out
    bool owes = false;        // has counted and not yet notified who waits for it
    bool blocked = false;
    std::vector<Op> woven;
    // where each operation is now, and what is woven before it begins
    std::vector<std::size_t> moved_to, begins;

    bool done() const { return next == ops->size(); }
    bool is_clean() const { return held == 0 && pins == 0 && next >= guarded && !owes; }
    bool may_go(const Counts& counts) const;
  };

  // Something that can be done now by this thread, into its `woven`. Between the first join and the
  // last, nowhere where pages are pinned.
  virtual void insert(std::uint32_t thread) = 0;
  // Takes the program through the order, and puts what was woven in its place. `one_in`: operations
  // to an insert().
  void run(std::uint32_t one_in);

  std::uint32_t some_thread() { return random_.below(threads_.size()); }
  // Any of these fields, each once.
  std::vector<Field> take_fields(std::vector<Field>& from, std::uint32_t count);
  static void access(const Field& field, bool writes, std::vector<Op>& out);

  Program& program_;
  Random& random_;
  std::vector<Thread> threads_;  // of the job

 private:
  void advance(std::uint32_t thread);
  void arrive(std::uint32_t thread, const Op& op);
  std::uint32_t one_in_ = 1;
  Counts counts_;  // of conditions that were woven before
};

}  // namespace dsm::sim
