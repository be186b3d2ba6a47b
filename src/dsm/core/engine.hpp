// The engine of one node: decides what every page and lock of the node does next. Pure: no I/O, no
// clock, no thread, no address; time and everything else arrive as events. A value: it can be
// copied, compared and hashed, and the same events give the same state.
//
//   step(event, effects)   appends what must be done now; what completes later comes back as an
//                          event (event.hpp, effect.hpp).
//
// Messages between engines may overtake one another; operations on the one-sided channel to one
// peer may not. One verb a file:
//   on_fault.cpp    a trapped access: map, twin
//   on_fetch.cpp    bringing pages, also ahead of who goes through them
//   on_acquire.cpp  locks: requests, grants, invalidation
//   on_shared.cpp   shared locks: permissions to read and to write
//   on_semaphore.cpp  counts, at their managers
//   on_release.cpp  publishing: flush, marks, grant
//   on_barrier.cpp  arrival, exit, watching home pages
//   on_condition.cpp  who waits, and who is woken
//   on_atomic.cpp   atomic operations on words
//   on_race.cpp     what finds races (for debugging)
//   on_push.cpp     pages that a barrier brings to their readers
//   on_team.cpp     barriers of subsets of the nodes
//   on_move.cpp     homes that move to the nodes that write their pages
//   on_home.cpp     diffs and marks from others
//   on_watch.cpp    own pages that are watched without traps
//   on_bound.cpp    memory that travels with a lock
//   on_lost.cpp     what is lost with a node
//   on_sequential.cpp  pages of sequential regions
//   on_evict.cpp    the cache's chunks
//   invariants.cpp  what is true between any two steps
//
// Threads: none of its own; the caller serialises. REQUIRES throughout: effects are carried out in
// order for each step, and events of one Fetch, Change or Punch are given once.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/types.hpp"
#include "dsm/core/atomic.hpp"
#include "dsm/core/bound.hpp"
#include "dsm/core/cache.hpp"
#include "dsm/core/effect.hpp"
#include "dsm/core/event.hpp"
#include "dsm/core/home.hpp"
#include "dsm/core/layout.hpp"
#include "dsm/core/moves.hpp"
#include "dsm/core/notices.hpp"
#include "dsm/core/page.hpp"
#include "dsm/core/pending.hpp"
#include "dsm/core/planted.hpp"
#include "dsm/core/pushes.hpp"
#include "dsm/core/races.hpp"
#include "dsm/core/read_ahead.hpp"
#include "dsm/core/semaphores.hpp"
#include "dsm/core/sequential.hpp"
#include "dsm/core/shared.hpp"
#include "dsm/core/watches.hpp"
#include "sync/barrier.hpp"
#include "sync/condition.hpp"
#include "sync/lock.hpp"

namespace dsm::core {

struct Config {
  NodeId self{};
  std::uint32_t nodes = 1;
  std::uint64_t space_pages = 0;
  std::uint32_t chunk_pages = 512;  // pages that are cached and evicted together
  // chunks that may hold other nodes' pages; at least cache_chunks_min
  std::uint32_t cache_chunks = 512;
  std::uint32_t mark_ring_slots = 512;  // entries of one reader's ring at one home
  // the wire cannot order a mark before a READ: marks are messages, and their READs wait (B6)
  bool marks_by_message = false;
  // pages fetched with a faulting one, when this node had them before
  std::uint32_t fetch_window = 16;
  // at most so many pages are fetched ahead of who goes through memory page after page; 0: none
  std::uint32_t read_ahead = 0;
  // A page is pushed to its readers, and sent home without being protected first, when that would
  // have been worth its while at so many barriers on end; 0: never. So many pages at most have a
  // base here.
  std::uint32_t push_after = 0;
  std::uint32_t pushed_pages = 4096;
  // Barriers at which a copy is kept up before it is looked whether anybody still reads it (C15).
  std::uint32_t push_samples = 1000;
  // What no other node has a copy of is not watched.
  bool private_pages = true;
  // A lock that nobody else wants is taken and given back without the engine (A4).
  bool lends_locks = true;
  // A page gets its home at the node that alone sent diffs for it at so many barriers on end; 0:
  // never. Each of its moves doubles the number.
  std::uint32_t migrate_after = 0;
  // more nodes than that meet by a tree (sync/barrier.hpp)
  std::uint32_t disseminate = sync::dissemination_nodes_max;
  // Atomic operations are messages to the home's engine: where the wire has none of its own, or
  // they are not atomic with the home's processor.
  bool atomics_by_message = false;
  // How own pages are watched that others have copies of: in stretches of so many pages at most, of
  // so many at least; shorter ones by traps alone.
  Watching watching = Watching::by_traps;
  std::uint32_t stretch_pages = 512, stretch_pages_least = 64;
  WatchCosts watch_costs;
  // Races are looked for; the same on every node. Then page_bytes is the size of a page.
  bool find_races = false;
  std::uint32_t page_bytes = 0;
  Bug bug = Bug::none;  // tests only
  bool operator==(const Config&) const = default;
};
// the edge asks for more (one instruction may touch many pages)
inline constexpr std::uint32_t cache_chunks_min = 2;
// Each may cost the process two mappings, of which the kernel gives it some 65,000.
inline constexpr std::size_t scanned_stretches_max = 4096;

struct Counters {
  std::uint64_t read_faults = 0, write_faults = 0, fetches = 0, invalidations = 0, diffs = 0,
                evictions = 0;
  // of the fetches, those that nobody asked for; and of these, the pages that went unused
  std::uint64_t fetched_ahead = 0, fetched_ahead_unread = 0;
  // pages sent to a reader by pushes; pages that pushes kept valid here
  std::uint64_t pushed = 0, kept_up = 0;
  // pages that have got their home here, and that have lost it
  std::uint64_t moved_here = 0, moved_away = 0;
  std::uint64_t locks_taken = 0, locks_taken_here = 0, barriers = 0;
  bool operator==(const Counters&) const = default;
};

class Engine {
 public:
  explicit Engine(const Config& config);

  void step(const Event& event, Effects& effects);

  // What the edge may ask between steps.
  const Layout& layout() const { return layout_; }
  const Bindings& bindings() const { return bindings_; }
  bool holds(LockId lock) const;  // some thread of this node does
  bool holds(SharedLockId lock, sync::Mode mode) const;
  // The count with which the first node made it, when this node was told that it made it with
  // another.
  std::optional<std::uint64_t> semaphore_made_with(SemaphoreId semaphore) const;
  NodeId team_left_by(TeamId team) const;  // a member that comes no more
  // Whom this node has not heard of at the barrier of the job, or of a team.
  std::vector<NodeId> awaited() const { return barrier_.missing(); }
  std::vector<NodeId> awaited(TeamId team) const;
  Epoch epoch() const { return barrier_.epoch(); }  // barriers passed
  std::uint32_t cached_chunks() const { return cache_.used(); }
  const Counters& counters() const { return counters_; }
  const Config& config() const { return config_; }
  PageState state_of(PageId page) const;  // for tests and the debugger
  std::string describe_pages() const;     // one line a page run with something to tell
  std::string describe_locks() const;

  // Behind a Lost: whether all others have told what they have; and the locks whose data nobody
  // has, of those who have.
  bool has_heard_of_all_but(NodeId lost) const;
  std::vector<LockId> bound_locks_of(NodeId lost) const;

  // The first invariant that does not hold, in words; empty when all do. O(state).
  std::string broken_invariant() const;
  std::uint64_t hash() const;
  bool operator==(const Engine&) const = default;

  // What the simulator compares between nodes.
  struct MarkAt {
    PageId page{};
    NodeId reader{};
    Epoch epoch{};
  };
  std::vector<MarkAt> marks() const;
  bool has_mark(PageId page, NodeId reader) const;
  bool has_token(LockId lock) const;
  bool arrived() const { return barrier_.arrived(); }  // its part of the barrier has left
  // The first round of the barrier whose message has not been taken yet, and how many there are.
  std::uint32_t barrier_round() const { return barrier_.round(); }
  std::uint32_t barrier_rounds() const { return barrier_.rounds(); }
  std::vector<LockId> known_locks() const;
  const SharedLocks& shared_locks() const { return shared_; }
  const Semaphores& semaphores() const { return semaphores_; }

 private:
  // A lock as this node knows it: the queue's part, and what travels with the token.
  struct LockHere {
    sync::Lock queue;
    Token token;  // valid while the token is here
    Seq seen{};   // the last turn whose notices this node has acted on
    Seq stamp{};  // the log's position when the token came (A1)
    bool operator==(const LockHere&) const = default;
  };
  struct Entering {
    LockId lock{};
    std::uint32_t departures_before = 0;  // of departures_
    bool operator==(const Entering&) const = default;
  };
  // A team that this node is a member of, and the barrier that its members are in.
  struct TeamHere {
    std::vector<NodeId> members;         // by rank in the team
    sync::Barrier barrier{NodeId(), 1};  // of these ranks
    Seq stamp{};                         // the log's position at this node's last part of it (A1)
    bool waiting = false;
    Ticket who{};
    Bytes payload;
    std::string site;
    // everyone has arrived; what they gave, while a barrier of the job must be left first
    std::vector<Bytes> deferred;
    bool exiting = false;  // invalidations are under way
    std::uint32_t exit_departures = 0;
    std::vector<Bytes> passed;
    // a member that comes no more, and the barriers that it was in; the one that left first
    NodeId left_by = no_node;
    Epoch left_after{};
    bool operator==(const TeamHere&) const = default;
  };
  struct ConditionWait {  // of a thread of this node
    ConditionId condition{};
    Ticket who{};             // waits for the registration
    Ticket waiter{};          // waits for the notification
    bool registered = false;  // the manager has said so
    bool ended = false;       // notified or taken back
    bool operator==(const ConditionWait&) const = default;
  };
  struct Offer {  // what is bound to a lock may be read here by its next owner
    LockId lock{};
    Seq turn{};
    std::vector<PageId> pages;  // of pins_, until it was
    bool operator==(const Offer&) const = default;
  };
  // waits for a page to put bound bytes into it
  static constexpr Ticket engine_itself{~std::uint64_t{0}};
  struct Waiter {  // a thread that wants a page
    Ticket who{};
    PageId page{};
    Access wanted = Access::read;
    PageId behind = no_page;  // stays here until the thread has had both (sequential regions)
    bool operator==(const Waiter&) const = default;
  };

  // on_fault.cpp
  void on(const Fault& e, Effects& out);
  void on(const Fetched& e, Effects& out);
  void on(const Changed& e, Effects& out);
  void serve(PageId id, Effects& out);  // do what the page's waiters need next
  void serve_home(PageId id, Access wanted, Effects& out);
  void start_writing(Page& page, PageId id, Effects& out);
  void changed(PageId id, Effects& out);
  bool wake(PageId id, Access granted, Effects& out);  // whether anybody was
  Access wanted_at(PageId id) const;                   // none: nobody waits
  void retry_absent(Effects& out);

  // on_fetch.cpp
  void fetch(PageId id, Effects& out);
  enum class Why : std::uint8_t { asked, ahead };
  bool start_fetch(Chunk& chunk, PageRun run, NodeId home, Why why, Effects& out);
  void read_ahead(PageId page, bool missed, Effects& out);
  enum class Doubts : std::uint8_t { heeded, ignored };
  PageId fetch_ahead(const Region& region, PageRun window, Doubts doubts, Effects& out);
  PageId next_miss(const Region& region, PageId page) const;
  Chunk* spare_chunk(PageId page);
  bool has_spare_mark(NodeId home, Effects& out);
  void open_fetched(PageId id, Access wanted, Effects& out);
  void drop_unread(Page& page, PageId id);
  void count_unread(PageId id);

  // on_acquire.cpp
  void on(const Acquire& e, Effects& out);
  void on(const TryAcquire& e, Effects& out);
  void on(const Cancel& e, Effects& out);
  void on(const LockBack& e, Effects& out);
  void on(const LockRequest& m, NodeId from, Effects& out);
  void on(const LockForward& m, NodeId from, Effects& out);
  void on(const LockGrant& m, NodeId from, Effects& out);
  void heed(Token& token, Seq seen, Effects& out);
  void enter(LockId id, LockHere& lock, Effects& out);
  void finish_entering(Effects& out);
  void obey(LockId id, const sync::LockStep& step, Effects& out);
  void invalidate(const PageSet& pages, Effects& out, NodeId barrier_part_of = no_node);
  void invalidate(Page& page, PageId id, Effects& out);
  void start_unmap(Page& page, PageId id, Effects& out);
  LockHere& lock_here(LockId id);
  NodeId manager_of(LockId id) const;
  void normalise(Token& token) const;

  // on_bound.cpp
  void on(const Bind& e, Effects& out);
  void on(const BoundDiff& m, NodeId from, Effects& out);
  void on(const BoundRead& e, Effects& out);
  void on(const BoundTaken& m, NodeId from, Effects& out);
  bool is_bound(PageId id) const;
  void send_bound(NodeId to, LockGrant grant, Effects& out);
  Where where_is(const BoundPart& part) const;
  void watch_bound(PageId id);
  std::vector<Span> forbid(LockId lock);
  bool is_offered(PageRun run) const;
  void take_aboard(const LockGrant& grant, NodeId from, Effects& out);
  void forget_what_is_at_home(LockId id, Effects& out);
  bool bound_is_here(LockId id, Effects& out);
  void want(PageId id, Effects& out);
  void send_bound_diff(PageId id, Effects& out);

  // on_lost.cpp
  void on(const Lost& e, Effects& out);
  void on(const Holding& m, NodeId from, Effects& out);

  // on_shared.cpp
  void on(const AcquireShared& e, Effects& out);
  void on(const TryAcquireShared& e, Effects& out);
  void on(const CancelShared& e, Effects& out);
  void on(const ReleaseShared& e, Effects& out);
  void on(const SharedRequest& m, NodeId from, Effects& out);
  void on(const SharedGrant& m, NodeId from, Effects& out);
  void on(const SharedRevoke& m, NodeId from, Effects& out);
  void on(const SharedReturn& m, NodeId from, Effects& out);
  void on(const SharedWithdraw& m, NodeId from, Effects& out);
  void on(const SharedWithdrawn& m, NodeId from, Effects& out);
  void obey(SharedLockId id, const sync::SharedStep& step, Effects& out);
  void enter_shared(SharedLockId id, Effects& out);
  void finish_entering_shared(Effects& out);
  void give_back(SharedLockId id, Effects& out);
  void take_back(SharedLocks::Returned returned, Effects& out);
  void order(SharedLockId id, const sync::SharedOrders& orders, Effects& out);
  void resume_shared(Effects& out);
  NodeId manager_of(SharedLockId id) const;
  template <typename Move>
  auto moved(SharedHere& shared, Move move);
  std::string broken_invariant_of_shared() const;
  void encode_shared(Bytes& out) const;  // for hash()
  std::string describe_shared() const;

  // on_semaphore.cpp
  void on(const AcquireSemaphore& e, Effects& out);
  void on(const TryAcquireSemaphore& e, Effects& out);
  void on(const CancelSemaphore& e, Effects& out);
  void on(const ReleaseSemaphore& e, Effects& out);
  void on(const SemaphoreCall& m, NodeId from, Effects& out);
  void on(const SemaphoreRelease& m, NodeId from, Effects& out);
  void on(const SemaphoreAnswer& m, NodeId from, Effects& out);
  std::uint64_t begin_call(Semaphores::Call call);
  void withdraw(std::uint64_t number, Effects& out);
  void send_release(std::uint64_t number, Effects& out);
  void enter_semaphore(SemaphoreAnswer grant, Effects& out);
  void finish_entering_semaphores(Effects& out);
  Semaphores::Kept* kept_semaphore(SemaphoreId id, std::uint64_t initial, NodeId from,
                                   std::uint64_t number, Effects& out);
  void let_in(Semaphores::Kept& kept, sync::SemaphoreRequest request, Effects& out);
  void take_release(Semaphores::Released released, Effects& out);
  void resume_semaphores(Effects& out);
  NodeId manager_of(SemaphoreId id) const;
  std::string broken_invariant_of_semaphores() const;
  void encode_semaphores(Bytes& out) const;  // for hash()
  std::string describe_semaphores() const;

  // on_release.cpp
  void on(const Release& e, Effects& out);
  void on(const DiffHome& e, Effects& out);
  void on(const DiffAck& m, NodeId from, Effects& out);
  void on(const MarksDrained& e, Effects& out);
  void publish(Publication::Kind kind, LockId lock, Effects& out, TeamId team = {});
  void publish(Publication what, Effects& out);  // fills in when it may be told
  void flush_everything(Publication::Kind why, Effects& out);
  void start_flush(Page& page, PageId id, Effects& out);
  void protect(Page& page, PageId id, Effects& out);
  void protected_now(Page& page, PageId id, Effects& out);
  void flushed(PageRun run, bool changed, Effects& out);
  bool finish_publications(Effects& out);
  void tell(Token& token, Seq stamp, bool bound_too = false);
  void add_turn(Token& kept, Token& told) const;
  void grant(LockId id, Effects& out);
  // of regions of one policy, or of all
  PageSet written(Seq from, Seq to, std::optional<Policy> only = std::nullopt) const;
  void forget_clean();  // drops from dirty_ what no longer is
  bool counts_as_dirty(PageId id) const;
  static bool counts_as_dirty(const Page& page);
  void settle(Effects& out);

  // on_barrier.cpp
  void on(const Arrive& e, Effects& out);
  void on(const BarrierRound& m, NodeId from, Effects& out);
  void contribute(Effects& out);
  void log_unsent();
  void exit_if_all_is_here(Effects& out);
  void exit_barrier(Effects& out);
  void finish_exit(Effects& out);
  void clear_marks(const PageSet& named, NodeId writer, Epoch last);
  static bool worth_watching(HomePage& page);

  // on_push.cpp
  bool may_be_pushed(PageId id) const;
  void came_back(HomePage& home) const;
  void start_pushes(Publication& barrier, Effects& out);
  void start_pushing(PageId id, Effects& out);
  void stop_pushing(PageId id, Effects& out);
  void forget_bases(const PageSet& operated_on, Effects& out);
  void on(const Pushed& e, Effects& out);
  void on(const Push& m, NodeId from, Effects& out);
  void take_push(NodeId from, const std::vector<PageRun>& runs, ApplyPush& apply, Effects& out);
  Taken what_to_take(PageId id);
  bool operated_on(PageId id) const;
  void cover(Page& page, PageId id);
  void cover_fetch(Page& page, PageId id);
  void take_held(Page& page, PageId id, Effects& out);
  void decline(PageRun run, NodeId home, Effects& out);
  bool pushes_are_here() const;
  bool is_kept_up(const Page& page, PageId id, NodeId writer) const;
  static void not_kept_up(Page& page);
  void finish_pushes(Effects& out);
  bool goes_in_place(Page& page, PageId id);
  void settled(Page& page, PageId id, bool changed, Effects& out);

  // on_move.cpp
  void on(const MoveReady& m, NodeId from, Effects& out);
  void on(const MoveContent& m, NodeId from, Effects& out);
  void on(const MoveDone& m, NodeId from, Effects& out);
  void on(const PagesFilled& e, Effects& out);
  void note_writer(PageRun run, NodeId from);
  void note_operations(const PageSet& operated_on);
  void judge_writers(Epoch ended);
  std::vector<Move> announce_moves();
  static bool is_left_alone(const HomePage& home, Epoch since);
  bool may_be_moved(PageId id) const;
  void begin_moves(NodeId from, Epoch ended, const std::vector<Move>& moves, Effects& out);
  void advance_moves(Effects& out);
  void close_home(Moves::Batch& batch, Effects& out);
  bool is_quiet(const Moves::Batch& batch, PageId id) const;
  void send_contents(Moves::Batch& batch, Effects& out);
  void filled(Moves::Batch& batch, Effects& out);
  void arrive(Moves::Batch& batch, NodeId at, Effects& out);
  void give_home(PageId id, NodeId home);
  void forget_moves(const Region& region);
  void resume(const std::vector<PageId>& arrived, Effects& out);
  bool punched_home(PageRun run, Effects& out);
  bool is_leaving(PageId id) const { return moves_.names(id); }
  bool is_leaving(PageRun run) const;
  std::string broken_move() const;  // an invariant

  // on_atomic.cpp
  void on(const Atomic& e, Effects& out);
  void on(const AtomicDone& e, Effects& out);
  void on(const AtomicRequest& m, NodeId from, Effects& out);
  void on(const AtomicReply& m, NodeId from, Effects& out);
  PageSet tell_atomics();
  void drop_copies_of_atomics(Effects& out);

  // on_race.cpp
  Clock tell_clock();
  Epoch interval() const;
  Origin origin_of(const Publication& p) const;
  Stamp stamp(PageId id);
  void look_for_races(const Diff& m, NodeId from, Effects& out);
  void look_for_races(const WordOperation& operation, NodeId asker, Epoch interval, Effects& out);

  // on_condition.cpp
  void on(const Register& e, Effects& out);
  void on(const Unregister& e, Effects& out);
  void on(const Notify& e, Effects& out);
  void on(const ConditionCall& m, NodeId from, Effects& out);
  void on(const ConditionAnswer& m, NodeId from, Effects& out);
  NodeId manager_of(ConditionId id) const;

  // on_team.cpp
  void on(const AddTeam& e, Effects& out);
  void on(const ArriveTeam& e, Effects& out);
  void on(const LeaveTeams& e, Effects& out);
  void on(const TeamRound& m, NodeId from, Effects& out);
  void on(const TeamLeft& m, NodeId from, Effects& out);
  static bool is_left(const TeamHere& team) {
    return team.left_by != no_node && team.barrier.epoch() >= team.left_after;
  }
  void contribute(TeamId id, Effects& out);
  void send_rounds(TeamId id, TeamHere& team, std::vector<sync::BarrierMessage> messages,
                   Effects& out);
  void exit_team(TeamHere& team, std::vector<Bytes> contributions, Effects& out);
  void retry_teams(Effects& out);
  void finish_teams(Effects& out);
  std::string broken_team() const;  // an invariant

  // on_home.cpp
  void on(const Diff& m, NodeId from, Effects& out);
  void on(const Hurry&, NodeId, Effects&) {}  // it has woken whoever takes what came before it
  void on(const Marked& e, Effects& out);
  void on(const MarkNote& m, NodeId from, Effects& out);
  void on(const MarkTaken& m, NodeId from, Effects& out);
  void add_marks(PageRun run, Homeland::Mark mark);
  bool may_be_marked(PageId id) const;
  void on(const MarkFlush& m, NodeId from, Effects& out);
  void on(const MarkCredit& m, NodeId from, Effects& out);
  void on(const AddRegion& e, Effects& out);
  void on(const DropRegion& e, Effects& out);
  void finish_drops(Effects& out);
  bool being_punched(RegionId region) const;
  bool reserve_mark(NodeId home, std::uint64_t& slot, Effects& out);

  // on_watch.cpp
  bool is_scanned(PageId id);
  void note_watch(PageId id, bool begins);
  void count_for_scans(Stretch& stretch, std::int64_t ns);
  void note_trap(PageId id);
  void note_reader(PageId id, bool was_private);
  Stretch* make_stretch(PageId id);
  std::int64_t cost_of_changing(const Stretch& stretch) const;
  void want_change(const Stretch& stretch);
  void change_watches(Effects& out);
  bool change_watch(Stretch& stretch, Effects& out);
  void on(const WatchChanged& e, Effects& out);
  std::vector<PageRun> pages_to_scan();
  void on(const Written& e, Effects& out);
  void found_written(HomePage& home, PageId id);
  void forget_watches(PageRun run, Effects& out);
  std::string broken_watch() const;  // an invariant

  // on_sequential.cpp
  void on(const Retry& e, Effects& out);
  void on(const Held& e, Effects& out);
  void on(const PageSent& e, Effects& out);
  void on(const Filled& e, Effects& out);
  void on(const PageRequest& m, NodeId from, Effects& out);
  void on(const PageRecall& m, NodeId from, Effects& out);
  void on(const PageReturn& m, NodeId from, Effects& out);
  void on(const PageGrant& m, NodeId from, Effects& out);
  void serve_sequential(PageId id, Access wanted, Effects& out);
  void serve_sequential_home(PageId id, Access wanted, Effects& out);
  void open(Page& page, PageId id, Access from, Access to, Effects& out);
  void changed_sequential(Page& page, PageId id, Effects& out);
  void opened(Page& page, PageId id, Effects& out);
  void closed(Page& page, PageId id, Effects& out);
  void returned(Page& page, PageId id, Effects& out);
  void close(Page& page, PageId id, Access keep, Effects& out);
  void relinquish(Page& page, PageId id, Effects& out);
  void begin_tenure(Page& page);
  bool is_kept(const Page& page, PageId id) const;
  void keep_nothing_behind(PageId id, Effects& out);
  void advance(PageId id, Effects& out);
  void send_return(const Page& page, PageId id, Effects& out);
  void discard(Page& page, PageId id, Effects& out);
  bool is_resting_at_home(PageId id) const;
  bool is_sequential_at(PageId id) const;
  std::string broken_sequential_invariant() const;

  // on_evict.cpp
  void on(const Pin& e, Effects& out);
  void on(const Unpin& e, Effects& out);
  void on(const Punched& e, Effects& out);
  Chunk* make_room(PageId page, Effects& out);
  Chunk* pick_victim();
  void evict(Chunk& chunk, Effects& out);
  void became_absent(PageId id, Effects& out);
  void finish_eviction(Chunk& chunk, Effects& out);
  void give_frames_back(Chunk& chunk, Effects& out);

  bool is_home(PageId page) const { return home_of(page) == config_.self; }
  NodeId home_of(PageId page) const;
  Page* find_page(PageId page);  // null: another node's page in no chunk of ours
  const Page* find_page(PageId page) const;
  bool may_be_private(const HomePage& home) const;
  HomePage& home_page(PageId page);
  void set_state(Page& page, PageId id, PageState next);
  void set_state(Chunk& chunk, Page& page, PageState next);  // of a copy
  bool planted([[maybe_unused]] Bug bug) const {
#if DSM_PLANTED_BUGS
    return config_.bug == bug;
#else
    return false;
#endif
  }
  // Runs one move of a lock's queue, so that the tests' coverage table sees the transition.
  template <typename Move>
  auto moved(LockHere& lock, Move move);

  Config config_;
  Layout layout_;
  Cache cache_;
  Homeland homes_;
  std::vector<Waiter> waiters_;
  Streams streams_;
  // pages that are, or are being made, writable and are not private; no repeats
  std::vector<PageId> dirty_;
  WriteLog log_;
  // what was written to regions of the release policy, by others and by this node, as far as it has
  // heard: in this interval, and in the next (as Token::recent)
  History heard_[2];
  Seq told_{};  // the log's position up to which heard_ has this node's own writes
  // the log's position at this node's last arrival at a barrier
  Seq arrived_at_{};
  Pending flushes_;     // pages between writable and home
  Pending departures_;  // pages between valid and unmapped
  // what waits for flushes and marks before it tells others
  std::vector<Publication> publications_;
  std::uint64_t publications_made_ = 0;
  std::map<LockId, LockHere> locks_;
  std::map<LockId, sync::LockQueue> queues_;  // of the locks that this node manages
  std::vector<Entering> entering_;            // tokens here whose invalidations are under way
  // tokens here from beyond a barrier that this node has not passed
  std::vector<LockId> deferred_;
  Bindings bindings_;
  std::vector<Offer> offers_;
  std::map<NodeId, std::vector<LockId>> held_elsewhere_;  // once a node is lost
  SharedLocks shared_;
  Semaphores semaphores_;
  std::vector<PageRun> pins_;
  sync::Barrier barrier_;
  struct BarrierWait {
    bool waiting = false;
    Ticket who{};
    Bytes payload;
    std::string site;
    bool operator==(const BarrierWait&) const = default;
  } barrier_wait_;
  // this node's part of the barrier is on its way: later writes belong to the next
  bool contributed_ = false;
  // what the nodes carried through the barrier that is being left
  std::vector<Bytes> passed_;
  Pushes pushes_;
  Moves moves_;
  Atomics atomics_;
  // where races are looked for
  Clock clock_;
  std::map<PageId, Origin> origins_;  // of pages on their way home
  Origin origin_;                     // of those that go now
  RaceFinder races_;
  std::map<TeamId, TeamHere> teams_;
  std::map<std::uint64_t, ConditionWait> waits_;  // by number
  std::uint64_t registrations_ = 0;
  std::map<ConditionId, sync::ConditionQueue> conditions_;  // that this node manages; none empty
  bool exiting_ = false;               // everyone has arrived; invalidations are under way
  std::uint32_t exit_departures_ = 0;  // of departures_, that the exit waits for
  // a page waits for a chunk and nothing could be evicted
  bool starved_ = false;
  MarkWindows marks_;
  Watches watches_;
  // of this node's sequential pages, those that another node ever asked for
  std::map<PageId, Sharing> sharings_;
  Turn turns_ = 0;  // grants made
  struct Drop {
    RegionId region{};
    Ticket who{};
    std::uint64_t punching = 0;
    bool started = false;
    bool operator==(const Drop&) const = default;
  };
  std::vector<Drop> drops_;
  Counters counters_;
};

// Observes transitions of the "page", "lock" and "shared" machines, for the coverage table. Called
// only where the core is compiled with DSM_PLANTED_BUGS=1.
using TransitionHook = void (*)(const char* machine, int from, int to);
extern thread_local TransitionHook transition_hook;

template <typename Move>
auto Engine::moved(LockHere& lock, [[maybe_unused]] Move move) {
  [[maybe_unused]] const sync::LockState before = lock.queue.state();
  const auto note = [&] {
#if DSM_PLANTED_BUGS
    if (transition_hook != nullptr && lock.queue.state() != before)
      transition_hook("lock", static_cast<int>(before), static_cast<int>(lock.queue.state()));
#endif
  };
  if constexpr (std::is_void_v<decltype(move(lock.queue))>) {
    move(lock.queue);
    note();
  } else {
    auto result = move(lock.queue);
    note();
    return result;
  }
}

}  // namespace dsm::core
