// The driver: feeds the engine with what happens and carries out what it decides. The only place
// where engine, memory, traps and transport meet.
//
// Threads. Every public call may be made by any thread, fault() in a trap. There are two locks:
// *polling* (who takes events off the wire) and *engine* (who steps it), taken in this order.
// Effects are carried out without the engine's lock; the engine keeps what they touch busy until it
// hears of their end. Progress is made by whoever waits, and by a service thread when nobody does.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.hpp"
#include "base/types.hpp"
#include "dsm/absences.hpp"
#include "dsm/core/engine.hpp"
#include "dsm/frames.hpp"
#include "dsm/lanes.hpp"
#include "dsm/lock_words.hpp"
#include "dsm/mark_rings.hpp"
#include "dsm/memory/address_space.hpp"
#include "dsm/outbox.hpp"
#include "dsm/patience.hpp"
#include "dsm/tenures.hpp"
#include "dsm/twins.hpp"
#include "dsm/waiters.hpp"
#include "transport/transport.hpp"

namespace dsm {

using Deadline = std::chrono::steady_clock::time_point;
inline constexpr Deadline no_deadline = Deadline::max();
// nanoseconds::max(): never
inline Deadline deadline_in(std::chrono::nanoseconds time) {
  return time == time.max() ? no_deadline : std::chrono::steady_clock::now() + time;
}

struct Traffic {
  std::uint64_t messages_sent = 0, bytes_sent = 0, bytes_read = 0;
  transport::Tally wire;
};

class Driver {
 public:
  // What the driver borrows for its life, and what it calls when the job cannot go on (which does
  // not return).
  struct Parts {
    NodeId self;
    transport::Transport& wire;
    memory::AddressSpace& space;
    MarkRings& rings;
    Lanes& lanes;
    Twins& twins;
    Patience::Policy patience;
    // a peer is down, or this node is cut off from all; in words why, if the wire knows, and what
    // was only there
    std::function<void(NodeId lost, const std::string& why, const Doing& doing,
                       const std::string& data)>
        on_lost;
    std::function<void(const Doing& doing)> on_news;  // `news_fd` is readable
    int news_fd = -1;
    bool debug = false;  // says so when a collective call waits for long
  };
  Driver(const core::Config& config, Parts parts);
  ~Driver();  // REQUIRES: no thread is in any call
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

  void start();    // the service thread
  void closing();  // from now on a peer that goes is no loss
  // takes events for so long, whoever else waits or not
  void watch(std::chrono::milliseconds time);

  // False: no region covers the page. Otherwise returns when the access may be tried again.
  bool fault(PageId page, Access wanted);

  void lock(LockId lock);
  bool try_lock(LockId lock);
  bool try_lock_until(LockId lock, Deadline deadline);  // whether it was had before
  bool unlock(LockId lock);                             // false: this node does not hold it

  // Shared locks, to read or to write.
  void lock(SharedLockId lock, sync::Mode mode);
  bool try_lock(SharedLockId lock, sync::Mode mode);
  bool try_lock_until(SharedLockId lock, sync::Mode mode, Deadline deadline);
  bool unlock(SharedLockId lock, sync::Mode mode);  // false: no thread here holds it so
  // Semaphores, made with this count. False: not granted; of acquire() and release() a refusal
  // (Engine::semaphore_made_with; or too much).
  bool acquire(SemaphoreId semaphore, std::uint64_t initial);
  bool try_acquire(SemaphoreId semaphore, std::uint64_t initial);
  bool try_acquire_until(SemaphoreId semaphore, std::uint64_t initial, Deadline deadline);
  bool release(SemaphoreId semaphore, std::uint64_t initial, std::uint64_t count);

  // of the locks taken, those that the engine does not know of
  std::uint64_t locks_taken_on_loan() const { return lock_words_.taken(); }

  // Registers a thread at a condition, whose lock it holds until this returns; and then its wait:
  // whether it was notified before the deadline. Each registration is waited for once.
  Ticket register_at(ConditionId condition);
  bool wait_notified(Ticket waiter, Deadline deadline);
  void notify(ConditionId condition, bool all);

  // What the word was before. REQUIRES: it lies in a region of the scope or release policy.
  std::uint64_t atomic(const core::WordOperation& operation);

  // Passes a barrier; what every node gave, by rank. One thread of the node at a time. `site` is
  // for the line that a race leaves.
  std::vector<Bytes> barrier(Bytes payload, const char* what, std::string site = {});

  // A team that this node is a member of; and its barrier: what every member gave, by rank in it.
  // One thread of the node at a time for each team.
  void add_team(TeamId team, std::vector<NodeId> members);
  // Nothing: a member has left and will not come (Engine::team_left_by).
  std::optional<std::vector<Bytes>> team_barrier(TeamId team, Bytes payload, std::string site = {});
  void leave_teams();  // this node comes to no such barrier any more

  // From now on these bytes travel with the lock. The same on every node, between two barriers.
  void bind(LockId lock, std::vector<core::Span> spans, core::Refresh refresh);

  void pin(PageRun run);
  void unpin(PageRun run);
  void add_region(const core::Region& region);
  void drop_region(RegionId region);

  // A look at the engine between two steps.
  template <typename Look>
  auto look(Look look) const {
    MutexLock hold(engine_mutex_);
    return look(static_cast<const core::Engine&>(engine_));
  }
  Traffic traffic() const;

 private:
  struct PushBeingMade {  // to one node
    std::vector<PageRun> runs;
    std::uint64_t pages = 0;
    Bytes body;
    Bytes head;  // of the message, and then all of it
    std::uint32_t sent = 0;
  };
  // What carrying out one step needs; reused, so that in the steady state nothing is allocated.
  struct Work {
    core::Effects effects;
    std::vector<core::Event> events;  // completions, to be stepped when the effects are done
    Bytes message;                    // or several, one behind another
    std::vector<transport::Letter> letters;
    std::vector<std::size_t> ends;      // of each in `message`
    Bytes snapshot;                     // of a page
    std::vector<PushBeingMade> pushes;  // by node
  };

  void step(const core::Event& event, core::Effects& effects) DSM_REQUIRES(engine_mutex_);
  void tell(const core::Event& event);  // step, then act
  void retry(PageId page, PageId behind);
  // When a thread that asks begins to take events off the wire. One that is going to wait in any
  // case (a fault) does so before it asks: that disarms the wire, and what it posts then does not
  // wake the service thread for a completion that it takes itself.
  enum class Polls : std::uint8_t { when_it_waits, from_the_start };
  // tell, then wait until `who` is woken; whether it was granted
  bool ask(const core::Event& event, Ticket who, Polls polls = Polls::when_it_waits);
  // The same at a barrier, and what came of it.
  struct Meeting {
    std::optional<TeamId> team;
    std::string site;
  };
  bool meet(const core::Event& event, Ticket who, const Meeting& meeting,
            std::vector<Bytes>& passed);
  void report_waiting(const Meeting& meeting) const;  // driver_report.cpp
  // The same; but at the deadline the engine is told `give_up`, and wakes `who` soon if it has not
  // yet. Only the engine knows which of the two came first, so its word counts, and not the
  // clock's.
  bool ask_until(const core::Event& event, Ticket who, Deadline deadline,
                 const core::Event& give_up);
  Work* take_work() DSM_REQUIRES(engine_mutex_);
  void give_work(Work* work);
  void act(Work& work);

  // driver_act.cpp: one for each effect.
  void send_together(std::span<core::Effect> sends, Work& work);
  void carry_out(core::Send& e, Work& work);
  void carry_out(core::Fetch& e, Work& work);
  void carry_out(core::Unmark& e, Work& work);
  void carry_out(core::DrainMarks& e, Work& work);
  void carry_out(core::Change& e, Work& work);
  void carry_out(core::Watch& e, Work& work);
  void carry_out(core::Twin& e, Work& work);
  void carry_out(core::SendDiff& e, Work& work);
  void carry_out(core::ApplyDiff& e, Work& work);
  void carry_out(core::Punch& e, Work& work);
  void carry_out(core::Wake& e, Work& work);
  void carry_out(core::Lend& e, Work& work);
  void carry_out(core::Recall& e, Work& work);
  void carry_out(core::Passed& e, Work& work);
  void carry_out(core::PerformAtomic& e, Work& work);
  void carry_out(core::Found& e, Work& work);
  void carry_out(core::Report& e, Work& work);  // driver_report.cpp
  void carry_out(core::SendPage& e, Work& work);
  void carry_out(core::FillPage& e, Work& work);
  void carry_out(core::SendPages& e, Work& work);
  void carry_out(core::FillPages& e, Work& work);
  void carry_out(core::Hold& e, Work& work);
  void carry_out(core::Hasten& e, Work& work);
  void carry_out(core::SendBound& e, Work& work);
  void carry_out(core::FillBound& e, Work& work);
  void carry_out(core::ReadBound& e, Work& work);
  void carry_out(core::SendBoundDiff& e, Work& work);
  void carry_out(core::TakeBase& e, Work& work);
  void carry_out(core::DropBase& e, Work& work);
  void carry_out(core::PushPages& e, Work& work);
  void carry_out(core::ApplyPush& e, Work& work);
  void do_at_once(core::Effect& effect) DSM_REQUIRES(engine_mutex_);
  void send_push(NodeId to, Epoch epoch, PushBeingMade& push);
  void apply(const core::ApplyPush& push);
  std::byte* frame_of(const core::Span& span) const;
  void report_unlocked(const core::Forbidden& forbidden, const core::Origin& origin,
                       ByteView twin) const;

  // driver_wait.cpp
  // Until the place is done, or the deadline has passed.
  void wait(Waiters::Place& place, Polls polls, Deadline deadline = no_deadline);
  void begin_polling();
  bool leave_polling_to_others();
  bool progress();
  bool progress_locked() DSM_REQUIRES(poll_mutex_);
  std::string data_lost_with(NodeId lost) DSM_REQUIRES(poll_mutex_);
  std::string name_data_of(NodeId lost) const;
  bool end_tenures();
  void handle(const transport::Event& event) DSM_REQUIRES(poll_mutex_);
  void stop_polling();
  bool is_expected_back() const;
  void arm();
  bool arm_locked() DSM_REQUIRES(poll_mutex_);
  bool wakes_too_few();
  bool has_core_of_sleeper() const;
  void poll_for_sleepers();
  struct Parking {
    std::uint32_t absences_seen = 0;
    std::chrono::microseconds nap = Absences::nap_min;
  };
  bool park(Parking& parking);
  bool arm_to_sleep();
  void serve();

  static constexpr std::size_t events_at_once = 32;
  static constexpr std::size_t works_usual = 32;
  // With `debug`: a collective call that waits for longer says whom for.
  static constexpr std::chrono::seconds silent_max{5};

  Parts parts_;
  const std::uint32_t nodes_;
  mutable Mutex engine_mutex_;
  core::Engine engine_ DSM_GUARDED_BY(engine_mutex_);
  std::vector<std::unique_ptr<Work>> works_ DSM_GUARDED_BY(engine_mutex_);
  std::vector<Work*> idle_works_ DSM_GUARDED_BY(engine_mutex_);

  Mutex poll_mutex_;
  std::optional<NodeId> lost_ DSM_GUARDED_BY(poll_mutex_);  // the first peer that was
  std::uint64_t served_ DSM_GUARDED_BY(poll_mutex_) = 0;    // by the wire, for peers
  // Taken behind engine_mutex_: a page's frame and its twin, or its base, by whoever changes or
  // compares both. A trap does not take it: what is pushed leaves a page alone whose twin is made.
  Mutex twin_mutex_;
  Mutex drain_mutex_;  // taken before engine_mutex_: entries of a ring are told in their order
  Outbox outbox_;
  Departures departures_;
  LockWords lock_words_;
  Waiters waiters_;
  Tenures tenures_;
  // by ticket: what came of a barrier; handed to its waiter by its wake
  std::array<std::vector<Bytes>, Waiters::places_max> passed_;
  std::array<std::uint64_t, Waiters::places_max> found_{};  // the same of an atomic operation
  std::atomic<std::uint32_t> polling_{0};                   // threads that wait and poll
  std::atomic<std::uint32_t> waiting_{0};                   // threads that wait, polling or asleep
  // the most that ever did at once: so many threads the program has at least
  std::atomic<std::uint32_t> waiting_most_{0};
  // what the wire was armed for last
  std::atomic<transport::Urgency> armed_for_{transport::Urgency::patient};
  std::atomic<bool> armed_{false};  // since then nobody has polled
  // The service thread lets the program's threads poll, and looks at the wire again when it is
  // woken, or by itself.
  enum class Parked : std::uint8_t { no, until_woken, briefly };
  std::atomic<Parked> service_parked_{Parked::no};
  Yielding yielding_;
  Absences absences_;  // where the wire wakes_unarmed
  std::atomic<bool> closing_{false};
  std::atomic<bool> stopping_{false};
  int stop_fd_ = -1;
  std::thread service_;
};

}  // namespace dsm
