// The simulator: the engines of n nodes in one process, a machine under each, a network between
// them, programs above, and simulated time. Everything follows from the program, the physics and
// the seed; the same three give the same run to the last bit.
//
// What can happen next is a set of *actions*, each with the time at which it is due: a thread's
// next operation, a store that leaves its buffer, the next effect of some step, the arrival of a
// message, the next 64 bytes of a READ, its placement, a completion. run() performs them by time;
// an explorer (tests/model) may perform them in any order instead. PROTOCOL.md G.
//
// Every step is followed by the checks of simulator_checks.cpp; the first that fails ends the run,
// and failure() says what it was. A value: it can be copied in mid-run (the Program must outlive
// the copies). Thread-compatible.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "dsm/core/effect.hpp"
#include "dsm/core/engine.hpp"
#include "dsm/core/event.hpp"
#include "support/footprint.hpp"
#include "support/machine.hpp"
#include "support/oracle.hpp"
#include "support/program.hpp"
#include "support/random.hpp"
#include "support/shared_values.hpp"

namespace dsm::sim {

// How long things take, in ticks. One trip of a message is 1,000 ticks or so.
struct Physics {
  std::uint32_t trip_min = 500, trip_max = 1500;  // one way over the network
  std::uint32_t local_max = 300;                  // anything within a node
  std::uint32_t slow_one_in = 20;                 // one delay in so many is slow; 0: none
  std::uint32_t slow_times = 20;
  std::uint32_t effect_max = 300;      // before an effect that is not carried out at once
  std::uint32_t notice_max = 300;      // from a change of protection to the engine's hearing of it
  std::uint32_t at_once_percent = 80;  // of the effects are carried out at once
  std::uint32_t reclaim_one_in =
      0;  // accesses before which the kernel takes the mapping away; 0: none
  std::uint32_t tenure_max = 300;  // of a sequential page, from the thread's return to its access
  std::uint32_t yields = 10;  // slices of local_max between two operations of a thread, at most

  static Physics by_seed(std::uint64_t seed);
  static Physics exact();  // a trip is 1,000 ticks, everything else takes no time: counts trips
};
inline constexpr std::uint64_t exact_trip = 1000;

struct Statistics {
  std::uint64_t steps = 0, effects = 0;
  std::uint64_t messages = 0, message_bytes = 0;     // between different nodes
  std::uint64_t one_sided = 0, one_sided_bytes = 0;  // READs and WRITEs posted
  std::uint64_t faults = 0;
  std::uint64_t pages_checked = 0;
  std::uint64_t pages_moved = 0;  // to another home
  std::uint64_t ticks = 0;
};

class Simulator {
 public:
  Simulator(const Program& program, const Physics& physics, std::uint64_t seed,
            core::Bug bug = core::Bug::none);

  // To the end or to the first failure.
  void run();

  // What went wrong, in words; empty when nothing did.
  const std::string& failure() const { return failure_; }
  // A number that depends on everything that happened: equal for equal runs.
  std::uint64_t fingerprint() const { return fingerprint_; }
  const Statistics& statistics() const { return statistics_; }
  std::uint64_t now() const { return now_; }
  const core::Engine& engine(std::uint32_t node) const { return engines_[node]; }
  const Machine& machine(std::uint32_t node) const { return machines_[node]; }
  const std::vector<core::Race>& races() const { return races_; }
  // What was observed last into each register.
  const std::vector<std::uint8_t>& registers() const { return registers_; }
  // When the thread began its operation number `op`, and when it was done with it.
  struct Span {
    std::uint64_t begun = 0, ended = 0;
    std::uint64_t found = 0;
  };
  Span span(std::uint32_t node, std::uint32_t thread, std::uint32_t op) const;
  void record_spans() { spans_on_ = true; }
  // What the thread's operation number `op`, a read of a sequential page, found. REQUIRES: spans
  // are recorded.
  std::uint64_t found(std::uint32_t node, std::uint32_t thread, std::uint32_t op) const;

  void check_steps(bool on) { checking_ = on; }
  void trace_to_stdout() { tracing_ = true; }

  // ---- for explorers: instead of run() ----
  std::size_t choices() const { return pending_.size(); }
  void perform(std::size_t choice);
  void finish();               // the checks of the end. REQUIRES: choices() == 0
  std::uint64_t hash() const;  // of everything that the future depends on
  std::string describe(std::size_t choice) const;
  // Whether it is an operation of a program's thread, behind its first join.
  bool is_past_first_join(std::size_t choice) const;
  // Effects that commute with everything are carried out with the one before them (is_mover in
  // simulator_effects.cpp). Off at first.
  void carry_movers(bool on) { carrying_movers_ = on; }
  // What the last action used.
  const Footprint& footprint() const { return footprint_; }
  // An action's number along this path: an action that waits keeps it, and those that an action
  // makes have numbers from what made() was before.
  std::uint64_t number(std::size_t choice) const { return pending_[choice].order; }
  std::uint64_t made() const { return orders_; }
  // What the action is: equal for equal actions of equal states, along any path.
  std::uint64_t identity(std::size_t choice) const { return identity_of(pending_[choice]); }
  // Small: it is likely to meet nothing of other actions, so an explorer does well to begin there.
  int rank(std::size_t choice) const;

 private:
  using Packet = std::shared_ptr<const Bytes>;

  enum class ActionKind : std::uint8_t {
    operate,
    drain,
    effect,
    arrive,
    channel,
    place,
    complete,
    changed,
    diff_home,
    lock_back,
    punched,
    expire,
    page_sent,
    filled,
    pages_filled,
    held,
    atomic,       // an operation takes effect at its home
    atomic_done,  // and is known, at the node that asked the wire for it
    bound_read,   // the next span of a READ of bound bytes is read, at their owner
    bound_done,
    pushed,
    watch_changed,  // index: by scans
    cancel          // a thread has waited long enough
  };
  struct Action {
    std::uint64_t due = 0;
    std::uint64_t order = 0;  // breaks ties
    ActionKind kind{};
    std::uint32_t node = 0;
    std::uint32_t index = 0;             // thread, executor, message, channel's peer, transfer
    PageRun run;                         // of cancel: its first is the operation
    mutable std::uint64_t identity = 0;  // 0: not yet asked for
  };
  struct Later {
    bool operator()(const Action& a, const Action& b) const {
      return a.due != b.due ? a.due > b.due : a.order > b.order;
    }
  };

  // A lock's word (src/dsm/lock_words.hpp).
  enum class Loan : std::uint8_t { kept, free, held, early };
  enum class Waiting : std::uint8_t {
    no,
    access,
    lock,
    semaphore,
    barrier,
    team,
    drop,
    registering,  // at a condition
    notification,
    atomic,
    waits,  // of others
    stores  // its own, which must leave its buffer first (explorers)
  };
  struct Thread {
    std::uint32_t next = 0;  // operation
    Waiting waiting = Waiting::no;
    bool draining = false;  // an action is pending
    bool done = false;
    bool joined = false;
    std::uint32_t tries = 0;  // of the access under way
    bool notified = false;    // of the wait under way
    bool notified_early = false;
    bool timed_out = false;   // of the await_count under way: its last wait
    std::uint32_t waits = 0;  // begun, so that a time-out knows its own
    // of the atomic operation under way: what it found, where it took effect, and whether only its
    // load has (Bug::atomic_in_halves)
    core::WordOperation atomic;
    std::uint64_t atomic_found = 0;
    bool atomic_loaded = false;
    // in sequential regions: the page it trapped on and is not back from, and the one before
    PageId trapped = core::no_page;
    PageId behind = core::no_page;
    PageId last = core::no_page;
  };
  struct Tenure {
    PageId page{};
    std::uint8_t number = 0;
    std::uint64_t end = 0;
  };
  struct Node {
    std::vector<Thread> threads;
    std::vector<Tenure> tenures;  // whose ends nobody waits for yet
    std::uint32_t joined = 0;
    std::uint32_t arriving = 0;       // the thread that arrived
    bool alone = false;               // it arrived for itself
    bool scanning = false;            // some executor is
    std::vector<std::uint32_t> held;  // executors that wait for stores (explorers)
  };
  // The effects of one step, carried out one by one.
  struct Executor {
    bool used = false;
    std::uint32_t node = 0;
    std::uint32_t next = 0;
    core::Effects effects;
    Packet packet;                   // what the step's message views
    std::vector<std::byte> blended;  // loaded and not yet stored (Bug::diff_by_blend)
    std::uint64_t scanned = 0;       // pages of the DrainMarks under way
    std::vector<PageRun> written;    // of these
  };
  struct Message {
    bool used = false;
    std::uint32_t from = 0, to = 0;
    Packet packet;
  };
  // A one-sided operation of node `reader` at `home`.
  struct Transfer {
    bool used = false;
    bool posted = false;
    bool fetch = false;
    std::uint32_t home = 0;
    PageRun run;
    std::optional<std::uint64_t> slot;  // of its mark
    Epoch epoch{};
    bool marked = false;
    std::uint32_t read = 0;  // bytes of it that have been read
    std::vector<std::byte> data;
  };
  // READs of bound bytes, in no order with anything.
  struct Reading {
    bool used = false;
    core::BoundRead result;
    std::uint32_t spans = 0;  // that have been read
  };
  struct Channel {
    std::deque<std::uint32_t> queue;  // transfers, in the order of the steps that asked for them
    bool busy = false;                // an action is pending
  };

  // simulator.cpp: time and threads
  void schedule(ActionKind kind, std::uint32_t node, std::uint32_t index, std::uint64_t delay,
                PageRun run = {});
  void act(const Action& action);
  void carry_on(const Action& action);
  std::uint64_t local_delay() { return delay_up_to(physics_.local_max); }
  std::uint64_t delay_up_to(std::uint32_t max);
  std::uint64_t trip_delay();
  std::uint64_t stretch(std::uint64_t delay);
  void operate(std::uint32_t node, std::uint32_t thread);
  bool access(std::uint32_t node, std::uint32_t thread, const Op& op);
  // simulator_sync.cpp: locks for readers and writers
  void operate_shared(std::uint32_t node, std::uint32_t thread, const Op& op);
  void check_shared();
  void check_shared_end();
  // simulator_semaphores.cpp
  void operate_semaphore(std::uint32_t node, std::uint32_t thread, const Op& op);
  std::uint64_t part_of_semaphore(std::uint32_t semaphore) const {
    return program_->locks.size() + program_->shared_locks.size() + semaphore;
  }
  void woken_semaphore(std::uint32_t node, std::uint32_t thread, bool granted);
  void check_semaphores_end();
  std::uint64_t store_value(std::uint32_t node, std::uint32_t thread, std::uint64_t expected) const;
  void begin_draining(std::uint32_t node, std::uint32_t thread);
  bool take_loan(std::uint32_t node, std::uint32_t thread, std::uint32_t lock);
  Loan& loan_of(std::uint32_t node, std::uint32_t lock) {
    return loans_[node * program_->locks.size() + lock];
  }
  void arrive(std::uint32_t node, std::uint32_t thread, bool alone);
  bool has(std::uint32_t node, std::uint32_t thread, std::uint32_t baton) const {
    return batons_[baton] == Baton{false, 0, node, thread};
  }
  void arrive_team(std::uint32_t node, std::uint32_t thread, std::uint32_t team);
  void advance(std::uint32_t node, std::uint32_t thread, std::uint32_t operations = 1);
  void give_up_later(std::uint32_t node, std::uint32_t thread);
  void give_up(std::uint32_t node, std::uint32_t thread, std::uint64_t op);
  void drain(std::uint32_t node, std::uint32_t thread);
  // simulator_atomics.cpp
  void operate_atomic(std::uint32_t node, std::uint32_t thread, const Op& op);
  bool carry_out_atomic(std::uint32_t node, const core::PerformAtomic& effect);
  bool perform_atomic(std::uint32_t asker, std::uint32_t thread, std::uint32_t at);
  void perform_atomic_far(const Action& action);
  void atomic_done(const Action& action);
  void check_found(std::uint32_t node, const core::Found& found);
  // simulator_conditions.cpp
  static constexpr std::uint32_t waiter_tickets = 256;  // above those of threads
  static ConditionId condition_id(std::uint32_t index) { return ConditionId(index); }
  void wait(std::uint32_t node, std::uint32_t thread, const Op& op);
  void await_count(std::uint32_t node, std::uint32_t thread, const Op& op);
  void await_waits(std::uint32_t node, std::uint32_t thread, const Op& op);
  void registered(std::uint32_t node, std::uint32_t thread);
  void notified(std::uint32_t node, std::uint32_t thread, bool granted);
  void expire(const Action& action);
  // Operations further, once the lock is here: a timed wait that was not notified skips some.
  std::uint32_t behind(std::uint32_t node, std::uint32_t thread) const {
    const Thread& t = nodes_[node].threads[thread];
    const Op& op = program_->nodes[node][thread][t.next];
    if (op.what == Do::await_count) return 0;  // looks at the field again
    return op.what != Do::wait || (t.notified && op.time != 0) ? 1 : op.skip;
  }
  void check_condition(const core::Event& event, const core::Effects& effects);
  void fence(std::uint32_t node, std::uint32_t thread);
  bool waits_for_stores(std::uint32_t node, std::uint32_t thread);
  void go_on_behind_stores(std::uint32_t node, std::uint32_t thread);
  void step(std::uint32_t node, const core::Event& event, Packet packet = nullptr);
  struct Progress {  // in a barrier
    Epoch epoch{};
    bool arrived = false;
    std::uint32_t round = 0;
    bool operator==(const Progress&) const = default;
  };
  Progress progress(std::uint32_t node) const;
  void note_step(std::uint32_t node, const core::Event& event, const core::Effects& effects,
                 const Progress& before);
  void fail(std::string what);
  void reads(Part part, std::uint32_t node, std::uint64_t which = 0) {
    footprint_.read(parts_.bit(part, node, which));
  }
  void writes(Part part, std::uint32_t node, std::uint64_t which = 0) {
    footprint_.write(parts_.bit(part, node, which));
  }
  void reads(Part part, std::uint32_t node, PageRun run) {
    for (PageId p = run.first; p < run.end(); ++p) reads(part, node, p.value);
  }
  void writes(Part part, std::uint32_t node, PageRun run) {
    for (PageId p = run.first; p < run.end(); ++p) writes(part, node, p.value);
  }
  void empties(std::uint32_t node, std::uint32_t thread);  // its store buffer, into the frames
  void empty_all(std::uint32_t node) {
    for (std::uint32_t t = 0; t < nodes_[node].threads.size(); ++t) empties(node, t);
  }
  std::uint64_t identity_of(const Action& action) const;
  static std::uint64_t remaining(const Executor& executor);

  // simulator_effects.cpp: the edge and the network
  void post_transfers(std::uint32_t node, const core::Effects& effects);
  void run_effects(std::uint32_t executor, bool may_wait);
  bool waits_for_stores(const Executor& executor);
  bool carry_out(Executor& executor, core::Effect& effect);  // false: once more, later
  void send(std::uint32_t from, NodeId to, const core::Message& message);
  void post(std::uint32_t node, NodeId home, PageRun run, std::optional<std::uint64_t> slot);
  void lend(std::uint32_t node, LockId lock);
  void recall(std::uint32_t node, LockId lock);
  bool scan(Executor& executor, const core::DrainMarks& effect);
  void drain_marks(std::uint32_t node, std::uint64_t id);
  void send_diff(std::uint32_t node, const core::SendDiff& diff);
  bool apply_diff(Executor& executor, const core::ApplyDiff& diff);
  void push_pages(std::uint32_t node, const core::PushPages& push);
  void pushed(std::uint32_t node);
  void apply_push(std::uint32_t node, const core::ApplyPush& push);
  void wake(std::uint32_t node, const core::Wake& wake);
  void arrive(std::uint32_t message);
  void overtake(Channel& channel);
  void channel(std::uint32_t node, std::uint32_t home);
  void place(std::uint32_t node, std::uint32_t transfer);
  void complete(std::uint32_t node, std::uint32_t transfer);
  Channel& channel_of(std::uint32_t node, std::uint32_t home) {
    return channels_[node * nodes_.size() + home];
  }

  // simulator_bound.cpp
  void copy_bound(std::uint32_t node, core::Effects& effects);
  void send_bound_diff(std::uint32_t node, const core::SendBoundDiff& diff);
  void begin_reading(std::uint32_t node, const core::BoundSource& source);
  void read_bound(std::uint32_t node, std::uint32_t reading);
  void bound_done(std::uint32_t node, std::uint32_t reading);
  void check_not_read(std::uint32_t node, PageRun run);
  void check_forbidden(std::uint32_t node, const core::Forbidden& forbidden);

  // simulator_sequential.cpp
  bool is_sequential(std::uint32_t node, PageId page) const;
  bool access_sequential(std::uint32_t node, std::uint32_t thread, const Op& op);
  void note_performed(std::uint32_t node);
  void check_single_writer(PageId page);
  void check_newest(PageId page);
  void begin_tenures(std::uint32_t node, const core::Effects& effects);
  void hasten(std::uint32_t node);
  void send_page(std::uint32_t node, const core::SendPage& effect);
  void fill_page(std::uint32_t node, const core::FillPage& effect);

  // simulator_moves.cpp: homes that move
  void send_pages(std::uint32_t node, const core::SendPages& effect);
  void fill_pages(std::uint32_t node, const core::FillPages& effect);
  void check_home(PageId page);

  // simulator_checks.cpp
  void check_step(std::uint32_t node, const core::Event& event, const core::Effects& effects);
  void check_page(std::uint32_t node, PageId page);
  void check_pages(std::uint32_t node, PageRun run);
  void check_everything();
  void check_mark(std::uint32_t reader, std::uint32_t home, PageId page);
  std::uint32_t index_of(LockId lock) const;
  void check_token(LockId lock);
  void count_token(const core::Message& message, bool leaves);
  void reported(std::uint32_t node, const core::Race& race);
  void check_end();

  const Program* program_;
  Physics physics_;
  Random random_;
  core::Bug bug_;
  bool checking_ = true, tracing_ = false, spans_on_ = false, exploring_ = false;
  bool carrying_movers_ = false;
  Parts parts_;
  Footprint footprint_;  // of the last action
  std::uint64_t now_ = 0;
  std::uint64_t orders_ = 0;
  std::uint64_t fingerprint_ = 0;
  std::string failure_;
  std::vector<Action> pending_;  // a heap by Later, unless an explorer chooses
  SharedValues<core::Engine> engines_;
  SharedValues<Machine> machines_;
  std::vector<Node> nodes_;
  std::vector<Baton> batons_;
  std::vector<core::Race> races_;  // reported
  std::uint32_t forbidden_ = 0;    // the same of bound memory written without its lock
  std::vector<std::uint8_t> registers_;
  Oracle oracle_;
  std::deque<Executor> executors_;
  std::vector<std::uint32_t> free_executors_;
  std::deque<Message> messages_;
  std::vector<std::uint32_t> free_messages_;
  std::deque<Transfer> transfers_;
  std::vector<std::uint32_t> free_transfers_;
  std::vector<Channel> channels_;
  std::deque<Reading> readings_;
  std::vector<std::uint32_t> free_readings_;
  std::vector<std::uint32_t>
      reading_;                       // by node * pages + page: transfers under way into that frame
  std::vector<core::Pushed> pushed_;  // by node: what it is to be told
  std::vector<std::uint32_t> flying_;       // by lock: grants under way
  std::vector<Loan> loans_;                 // by node and lock
  std::vector<std::uint32_t> waits_begun_;  // by condition
  // by condition: who waits, as its manager was told
  std::map<ConditionId, std::deque<std::pair<NodeId, std::uint64_t>>> conditions_;
  std::vector<bool> ever_known_;  // by lock: its token has been made
  std::vector<std::vector<std::vector<Span>>> spans_;
  Statistics statistics_;
};

}  // namespace dsm::sim
