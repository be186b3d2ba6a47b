// Programs for the simulator: what each thread of each node does, free of data races by
// construction.
//
// Every byte belongs to a *field* of 1..8 bytes within a page. A field belongs to one lock for the
// whole program, or is a *phase field*: between two barriers one thread may use it, or everyone may
// read it. In regions of the release policy a field may also belong to a *baton*: it lies at some
// lock, whose holder may take it, use its fields with or without a lock, and later lay it down at
// any lock that it holds. Sequential regions have no fields: anyone reads and writes anything
// there, also across the border of two pages. Fields of different owners share words and pages.
// Pure values; the same seed gives the same program.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/types.hpp"
#include "dsm/core/engine.hpp"
#include "dsm/core/layout.hpp"

namespace dsm::sim {

enum class Do : std::uint8_t {
  read,
  write,
  // For litmus tests, which may race: store the byte `arg`; load a byte into register `arg`, and
  // hold it against nothing.
  set,
  observe,
  acquire,
  try_acquire,  // not granted: continue `skip` operations further
  // the same, but it waits for some time before it gives up
  timed_acquire,
  release,
  acquire_shared,  // a shared lock, in Op::mode; the others as above
  try_acquire_shared,
  timed_acquire_shared,
  release_shared,
  acquire_semaphore,
  try_acquire_semaphore,
  timed_acquire_semaphore,
  release_semaphore,
  arrive,  // this thread alone arrives for its node
  join,    // all threads of the node meet, then one of them arrives
  wait,    // at a condition: lets the lock go, and has it again behind the wait
  // the same until the field, which the lock guards, has counted to `lock`: again and again, or,
  // when it has a time-out and a `skip`, until its time is up
  await_count,
  count_up,  // of a field
  notify_one,
  notify_all,
  await_waits,  // until so many waits of a condition have begun
  team_arrive,  // this thread alone arrives for its node at the barrier of a team
  team_join,    // all threads of the node meet, then one of them does
  // of the 8 bytes at page, offset: adds; stores if they are what they were when it began, or (arg)
  // if they are something else
  atomic_add,
  atomic_swap,
  pin,
  unpin,
  take,        // the baton, if it lies at the lock, which this thread holds
  give,        // lay it down there, if this thread has it
  if_has,      // the baton; otherwise continue `skip` operations further
  add_region,  // by one thread of each node
  drop_region,
};

struct Op {
  Do what{};
  std::uint8_t length = 0;   // read, write: bytes, at most 8, in one page (sequential: or in two)
  std::uint16_t offset = 0;  // read, write: in the page
  std::uint32_t page = 0;    // read, write, pin, unpin
  // lock, region, baton, team (indices into the program's), pages of a pin, byte, register
  std::uint32_t arg = 0;
  // try_acquire, timed_acquire, if_has; wait: when not notified, or when it has no time-out
  std::uint32_t skip = 0;
  std::uint32_t lock = 0;  // take, give; await_count: what it waits for
  // wait, await_count: its condition; await_waits: of waits; a semaphore's release: how many; its
  // acquires: how many operations are left out when it is granted
  std::uint32_t count = 0;
  std::uint32_t time = 0;              // wait, await_count: ticks after which it gives up; 0: never
  sync::Mode mode = sync::Mode::none;  // of a shared lock
  bool passes_on = false;              // await_count: whoever was notified notifies the next
};

const char* name_of(Do what);
std::string to_string(const Op& op);

// Where a baton is: at a lock, or with a thread.
struct Baton {
  bool lies = true;
  std::uint32_t lock = 0;
  std::uint32_t node = 0, thread = 0;
  bool operator==(const Baton&) const = default;
};

struct Binding {
  std::uint32_t lock = 0;
  core::Span span;
  core::Refresh refresh = core::Refresh::push;
};

struct Program {
  core::Config config;  // of every node; `self` aside
  std::uint32_t page_bytes = 64;
  std::uint32_t races = 0;      // that are to be reported, at least; none: no report may come
  std::uint32_t forbidden = 0;  // the same of bound memory written without its lock
  bool repeats_stores = false;  // some stores write what is there already
  // When explored, an access to two missing pages traps at the higher first. (In runs, by chance.)
  bool higher_traps = false;
  std::vector<LockId> locks;
  std::vector<SharedLockId> shared_locks;
  struct Semaphore {
    SemaphoreId id{};
    std::uint64_t initial = 0;
  };
  std::vector<Semaphore> semaphores;
  std::vector<core::Region> regions;
  std::vector<Binding> bindings;  // made with their regions
  std::vector<Baton> batons;      // at the start
  std::uint32_t registers = 0;
  std::vector<std::vector<NodeId>> teams;
  std::vector<std::vector<std::vector<Op>>> nodes;  // [node][thread]

  std::uint32_t node_count() const { return config.nodes; }
  std::size_t operations() const;
};

// What random programs look like. Zero: by seed.
struct Shape {
  std::uint32_t nodes = 0;
  std::uint32_t pages = 0;
  std::uint32_t locks = 0;
  std::uint32_t operations = 300;
};
// The shape whose speed the project promises (tests/README.md): 300 operations and more, with what
// is woven in between.
inline constexpr Shape figure_shape{4, 16, 4, 120};

Program random_program(std::uint64_t seed, const Shape& shape);

// Programs by hand, for scenarios and models:
//   Script s(2, 1);  s.node(0).acquire(0).write(0, 0, 8).release(0).join();
class Script {
 public:
  // `homes`: of the pages, one each; they make up one region.
  Script(std::uint32_t nodes, const std::vector<std::uint32_t>& homes, std::uint32_t locks = 2,
         core::Policy policy = core::Policy::scope);

  // The thread that the following calls append to. Threads begin after the region is there.
  Script& node(std::uint32_t node, std::uint32_t thread = 0);
  Script& read(std::uint32_t page, std::uint32_t offset, std::uint32_t length = 1);
  Script& write(std::uint32_t page, std::uint32_t offset, std::uint32_t length = 1);
  Script& set(std::uint32_t page, std::uint32_t offset, std::uint8_t value);
  Script& observe(std::uint32_t page, std::uint32_t offset, std::uint32_t into);
  Script& acquire(std::uint32_t lock);
  // Not granted in time: the next `skip` operations are left out, the last of them its release.
  Script& timed_acquire(std::uint32_t lock, std::uint32_t skip);
  Script& release(std::uint32_t lock);
  Script& lock_shared(std::uint32_t shared_lock);
  Script& unlock_shared(std::uint32_t shared_lock);
  Script& lock_exclusive(std::uint32_t shared_lock);
  Script& unlock_exclusive(std::uint32_t shared_lock);
  // Not granted in time: the next `skip` operations are left out, the last of them its release.
  Script& timed_exclusive(std::uint32_t shared_lock, std::uint32_t skip);
  // One more semaphore: its number.
  std::uint32_t semaphore(std::uint64_t id, std::uint64_t initial);
  Script& acquire_semaphore(std::uint32_t semaphore);
  // Not granted in time: the next `skip` operations are left out.
  Script& timed_acquire_semaphore(std::uint32_t semaphore, std::uint32_t skip);
  Script& release_semaphore(std::uint32_t semaphore, std::uint32_t count = 1);
  // A region of the bound policy holds it.
  Script& bind(std::uint32_t lock, std::uint32_t page, std::uint32_t offset, std::uint32_t length,
               core::Refresh refresh = core::Refresh::push);
  Script& arrive();
  std::uint32_t baton(std::uint32_t node, std::uint32_t thread = 0);  // one more, and who has it
  Script& take(std::uint32_t baton, std::uint32_t lock);
  Script& give(std::uint32_t baton, std::uint32_t lock);
  Script& if_has(std::uint32_t baton, std::uint32_t skip);
  // Condition 0, with this lock. What a timed wait that was notified does next: the operation that
  // follows; the others skip it.
  Script& wait(std::uint32_t lock, std::uint32_t ticks = 0, std::uint32_t skip = 0);
  Script& notify_one();
  Script& notify_all();
  Script& await_waits(std::uint32_t waits);
  // One more team of these nodes: its number.
  std::uint32_t team(const std::vector<std::uint32_t>& members);
  Script& team_arrive(std::uint32_t team);
  Script& team_join(std::uint32_t team);
  Script& atomic_add(std::uint32_t page, std::uint32_t offset);
  // `fails`: the word is never what it is compared with.
  Script& atomic_swap(std::uint32_t page, std::uint32_t offset, bool fails = false);
  Script& pin(std::uint32_t page, std::uint32_t pages = 1);
  Script& unpin(std::uint32_t page, std::uint32_t pages = 1);
  // One more region, behind the others: its number. Its thread 0s add and drop it, with barriers
  // around.
  std::uint32_t region(const std::vector<std::uint32_t>& homes,
                       core::Policy policy = core::Policy::scope);
  Script& add_region(std::uint32_t region);
  Script& drop_region(std::uint32_t region);
  // Every thread of every node meets.
  Script& join_all();

  Script& trap_at_the_higher() {
    program_.higher_traps = true;
    return *this;
  }
  core::Config& config() { return program_.config; }
  // Races are looked for, and so many at least are to be reported.
  Script& find_races(std::uint32_t races);
  // The same of writes to bound memory without its lock.
  Script& find_forbidden(std::uint32_t writes);
  // With a last barrier behind what was written, so that the homes' memory can be compared.
  Program finish() const;

 private:
  Script& append(Op op);
  Program program_;
  std::uint32_t node_ = 0;
  std::uint32_t thread_ = 0;
};

}  // namespace dsm::sim
