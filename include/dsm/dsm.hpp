// libdsm: one shared memory for the processes of a parallel program.
//
//   #include <dsm/dsm.hpp>
//   int main() {
//     dsm::Session session;                           // joins dsmrun's job, or runs alone
//     auto counter = dsm::allocate<long>(1);          // the same pointer on every node, zero
//     dsm::Lock lock;
//     { std::scoped_lock hold(lock); ++counter[0]; }  // what a holder wrote, the next one sees
//     dsm::barrier();                                 // what anyone wrote before, all see after
//     if (dsm::rank() == 0) std::printf("%ld of %d\n", counter[0], dsm::size());
//   }
//
// A *node* is one process of the job, numbered by its rank; it may have many threads, which share
// its view of the memory. Memory is *scope consistent* (Iftode, Singh, Li 1996): an acquire of a
// lock makes visible what was written under that lock before its last release; a barrier makes
// everything visible to everyone. Writers of different bytes never disturb each other, also within
// one page. A word that is written under one lock and read under another, or under none, without a
// barrier between, is a data race and gets no promise. That is the standard; a region may have
// another policy (Policy), and docs/memory-model.md has all of it.
//
// Errors: what the caller can mend (a wrong argument, too little memory, a machine without some
// ability) throws dsm::Error, whose what() is one line that says what to do. One that nobody catches
// ends the process with that line and exit code 1, not with std::terminate()'s. A node that is lost
// ends every other node with one line that names it.
//
// Threads: every function may be called by any thread of a node unless it says *collective*: then
// it is called once by each node, in the same order everywhere (by whichever thread).
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

#define DSM_API __attribute__((visibility("default")))

namespace dsm {

class DSM_API Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Membership in the job. Collective: constructed once by every node before anything else of this
// header, destroyed last. The destructor waits for all nodes, so that nobody's memory goes while
// others still read it; but when an exception destroys the Session, this node leaves at once and
// the job ends for the others, with a line that says so.
class DSM_API Session {
 public:
  Session();
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

 private:
  int exceptions_;
};

// Where the program makes a call: for the line that an error leaves. Never given by hand.
struct CallSite {
  const char* file;
  int line;
  static constexpr CallSite here(const char* file = __builtin_FILE(),
                                 int line = __builtin_LINE()) noexcept {
    return {file, line};
  }
};

DSM_API int rank() noexcept;               // this node, 0..size()-1
DSM_API int size() noexcept;               // nodes of the job
DSM_API std::size_t page_size() noexcept;  // bytes of a page, the unit of coherence

// Which node is *home* of each page of a region, that is, keeps its master copy. Accesses by the
// home are the cheapest.
class DSM_API Placement {
 public:
  // size() contiguous shares, as equal as whole pages allow
  static Placement block();
  // `pages` to node 0, the next `pages` to node 1, and around
  static Placement cyclic(std::size_t pages = 1);
  static Placement on(int node);  // all on one node
  // home(page index in the region); the same on every node
  static Placement by(std::function<int(std::size_t page)> home);
  // Shares of given size: shares[i] bytes to node i, in order; cut at the nearest page. For arrays
  // split by rows or planes.
  static Placement shares(std::vector<std::size_t> bytes);

 private:
  friend struct PlacementAccess;
  enum class Kind { block, cyclic, on, by, shares };
  Kind kind_ = Kind::block;
  std::size_t number_ = 0;
  std::function<int(std::size_t)> home_;
  std::vector<std::size_t> shares_;
};

// What the readers of a region are promised. The first is the cheapest; a program may mix regions
// of different policies, and each release acts on every region by its own.
enum class Policy {
  standard,  // what DSM_CONSISTENCY says: scope unless it is set
  // What was written in a lock's scope is seen by the lock's next holders; a barrier shows
  // everything to everyone.
  scope,
  // Everything that happened before a release, by this node or by one that it had heard from, is
  // seen after the acquire that follows it: what programs for threads assume.
  release,
  // Fagus' shared variables (entry consistency): what Lock::bind() binds to a lock is where the lock is,
  // and comes with it, in the message that hands it over. A lock shows nothing else of such a region, so
  // what is not bound there is for barriers; these show everything, as everywhere. For data that is
  // small and always used under the same lock.
  bound,
  // Every access of every node, in one order that all agree on, without any lock or barrier: a page
  // has one node that may write it, or many that may read it. For code that does not name its
  // synchronisation (flags, spinning, atomics of the language, which work across nodes here). Between
  // the threads of one node the processor's own order holds, as for any memory: use std::atomic_ref
  // for words that race. Each change of a page's writer costs several messages and moves the whole
  // page, so words that different nodes write often belong on different pages. Locks and barriers do
  // nothing for such a region, nor cost anything. System calls: a page that ensure() brought may be
  // wanted by another node at any time; load() and store() begin again where it went.
  sequential,
};

// Collective: `bytes` of shared memory at the same address on every node, page-aligned and
// zero-filled. Never null.
DSM_API void* allocate_bytes(std::size_t bytes, const Placement& placement = Placement::block(),
                             Policy policy = Policy::standard, CallSite at = CallSite::here());

// Collective: gives a region back; `memory` is what allocate_bytes() returned. No node may use it
// afterwards.
DSM_API void free_bytes(void* memory, CallSite at = CallSite::here());

template <typename T>
std::span<T> allocate(std::size_t count, const Placement& placement = Placement::block(),
                      Policy policy = Policy::standard, CallSite at = CallSite::here()) {
  static_assert(std::is_trivially_copyable_v<T>,
                "shared memory starts as zero bytes and moves between processes as bytes");
  // too many to count are too many to have
  const std::size_t bytes = count > SIZE_MAX / sizeof(T) ? SIZE_MAX : count * sizeof(T);
  return {static_cast<T*>(allocate_bytes(bytes, placement, policy, at)), count};
}
template <typename T>
void free(std::span<T> memory, CallSite at = CallSite::here()) {
  free_bytes(const_cast<std::remove_const_t<T>*>(memory.data()), at);
}

namespace detail {

// A time-out as the library counts it: zero and less is "do not wait", too long to count is "for
// ever".
template <typename Rep, typename Period>
std::chrono::nanoseconds timeout(const std::chrono::duration<Rep, Period>& time) {
  using Seconds = std::chrono::duration<double>;
  if (!(time > time.zero())) return std::chrono::nanoseconds::zero();
  if (Seconds(time) >= Seconds(std::chrono::nanoseconds::max()) / 4)
    return std::chrono::nanoseconds::max();
  return std::chrono::ceil<std::chrono::nanoseconds>(time);
}

// Repeats try_for(what is left of the time) until it succeeds or a clock says that it is `time`.
template <typename Clock, typename Duration, typename Try>
bool until(const std::chrono::time_point<Clock, Duration>& time, Try try_for) {
  for (;;) {
    const auto now = Clock::now();
    if (time <= now) return try_for(std::chrono::nanoseconds::zero());
    if (try_for(timeout(time - now))) return true;
  }
}

}  // namespace detail

// A lock of the whole job, in the shape of std::timed_mutex (std::scoped_lock and std::unique_lock
// work). One thread of one node holds it at a time; it is handed over fairly. Not recursive. A lock
// is only its number, so it is cheap to make and to copy.
class DSM_API Lock {
 public:
  // collective: the next number, the same lock on every node
  Lock();
  // the lock of this number, made by whoever names it; below 2^63, not collective
  explicit Lock(std::uint64_t number);
  void lock();
  // true when it was free here or could be had without waiting for another holder
  bool try_lock();
  // true when it could be had in this time. No time, or less than none, is a try_lock()
  template <typename Rep, typename Period>
  bool try_lock_for(const std::chrono::duration<Rep, Period>& time) {
    return try_lock_within(detail::timeout(time));
  }
  template <typename Clock, typename Duration>
  bool try_lock_until(const std::chrono::time_point<Clock, Duration>& time) {
    return detail::until(time, [this](auto left) { return try_lock_within(left); });
  }
  void unlock();  // throws Error when this node does not hold it
  std::uint64_t number() const noexcept { return number_; }

  // Collective, on the lock of this number: from now on what these bytes hold comes with the lock
  // (Policy::bound, of whose regions they must be part). Nothing else is bound there, and nobody holds
  // the lock meanwhile. Bindings end with their region. A lock carries at most 16 MiB; what is bound
  // goes aboard as a whole, so bind what is used together.
  void bind_bytes(const void* memory, std::size_t bytes, CallSite at = CallSite::here());
  template <typename T, std::size_t Extent>
  void bind(std::span<T, Extent> memory, CallSite at = CallSite::here()) {
    bind_bytes(memory.data(), memory.size_bytes(), at);
  }

 private:
  bool try_lock_within(std::chrono::nanoseconds time);
  std::uint64_t number_;
};

// A lock of the whole job for readers and writers, in the shape of std::shared_timed_mutex
// (std::shared_lock, std::unique_lock and std::scoped_lock work): many threads of many nodes hold it
// to read, or one to write. It is handed over fairly: who asks to read after a writer waits behind
// it, so do not take it to read twice in one thread. A writer's writes are seen by every holder
// after it, and so are those of a reader (to memory that is its own) by the next writer. A node that
// has held it takes it again without a message until another node wants it otherwise. A writer whose
// time is up holds nobody up any more; one whose try failed counts as waiting until the readers that
// it met have left. Numbered apart from Locks, and like them only its number.
class DSM_API SharedLock {
 public:
  // collective: the next number, the same lock on every node
  SharedLock();
  // the lock of this number, made by whoever names it; below 2^63, not collective
  explicit SharedLock(std::uint64_t number);

  void lock();  // to write
  bool try_lock();
  template <typename Rep, typename Period>
  bool try_lock_for(const std::chrono::duration<Rep, Period>& time) {
    return try_lock_within(detail::timeout(time));
  }
  template <typename Clock, typename Duration>
  bool try_lock_until(const std::chrono::time_point<Clock, Duration>& time) {
    return detail::until(time, [this](auto left) { return try_lock_within(left); });
  }
  void unlock();  // throws Error when no thread of this node holds it to write

  void lock_shared();  // to read
  bool try_lock_shared();
  template <typename Rep, typename Period>
  bool try_lock_shared_for(const std::chrono::duration<Rep, Period>& time) {
    return try_lock_shared_within(detail::timeout(time));
  }
  template <typename Clock, typename Duration>
  bool try_lock_shared_until(const std::chrono::time_point<Clock, Duration>& time) {
    return detail::until(time, [this](auto left) { return try_lock_shared_within(left); });
  }
  void unlock_shared();  // throws Error when no thread of this node holds it to read

  std::uint64_t number() const noexcept { return number_; }

 private:
  bool try_lock_within(std::chrono::nanoseconds time);
  bool try_lock_shared_within(std::chrono::nanoseconds time);
  std::uint64_t number_;
};

// Some of the nodes, who meet by themselves. A Team is a handle: cheap to copy, equal on all members.
// Its calls are made by every member and by nobody else, in the same order, by one thread of a node
// at a time for each team; threads of a node may be in calls of different teams at once.
//
// Every call is a barrier of the members too: each sees afterwards what the *members* wrote before,
// to memory that no lock's scope covers. What others wrote is seen behind a barrier of all, or of a
// team that has them as members. Sizes and roots are the same on all members; who makes another call
// is told so on every member, with the file and line of both. Values are combined in order of rank
// in the team, combine(...combine(v0, v1)..., v(n-1)), on every node that has a result: the same bits
// everywhere, also of floating-point numbers. A member that ends its Session while others are in a call
// of the team, or come to one, is named to them by an Error.
class DSM_API Team {
 public:
  Team() = default;   // of nobody
  static Team all();  // of every node: what the functions of the same names below use

  // Collective, of all nodes: those who name the same colour form a team, ranked by key and then by
  // rank in the job. A negative colour: this node is in none.
  static Team split(int colour, int key = 0, CallSite at = CallSite::here());

  bool empty() const noexcept { return size() == 0; }
  int size() const noexcept;
  int rank() const noexcept;  // of this node in the team; -1 when it is empty
  int node(int rank) const;   // a member's rank in the job

  // One thread a member arrives and waits for the others'.
  void barrier(CallSite at = CallSite::here()) const;

  // `bytes` at `data`, the value, or all values of the span become those of member `root`.
  void broadcast_bytes(void* data, std::size_t bytes, int root = 0,
                       CallSite at = CallSite::here()) const;
  template <typename T>
  void broadcast(T& value, int root = 0, CallSite at = CallSite::here()) const {
    static_assert(std::is_trivially_copyable_v<T>, "values move between processes as bytes");
    broadcast_bytes(&value, sizeof value, root, at);
  }
  template <typename T, std::size_t Extent>
  void broadcast(std::span<T, Extent> values, int root = 0, CallSite at = CallSite::here()) const {
    static_assert(std::is_trivially_copyable_v<T>, "values move between processes as bytes");
    broadcast_bytes(values.data(), values.size_bytes(), root, at);
  }

  // Every member's `bytes` at `data`, in order of rank, at `all` (size() * bytes); every member's
  // value; every member's equally many values.
  void all_gather_bytes(const void* data, std::size_t bytes, void* all,
                        CallSite at = CallSite::here()) const;
  template <typename T>
  std::vector<T> all_gather(const T& value, CallSite at = CallSite::here()) const {
    return all_gather(std::span<const T>(&value, 1), at);
  }
  template <typename T, std::size_t Extent>
  std::vector<std::remove_const_t<T>> all_gather(std::span<T, Extent> mine,
                                                 CallSite at = CallSite::here()) const {
    const Gathered<std::remove_const_t<T>> all(gather(Gather::all_gather, mine, 0, at));
    std::vector<std::remove_const_t<T>> values;
    for (std::size_t i = 0; i < all.count(); ++i) values.push_back(all[i]);
    return values;
  }

  // All values combined: at member `root`, nothing elsewhere.
  template <typename T, typename Combine = std::plus<>>
  std::optional<T> reduce(const T& value, int root = 0, Combine combine = {},
                          CallSite at = CallSite::here()) const {
    const Gathered<T> all(gather(Gather::reduce, std::span(&value, 1), root, at));
    if (rank() != root) return std::nullopt;
    return all.fold(all.count(), combine);
  }

  // All values combined, on every member; of spans each value by itself, in place.
  template <typename T, typename Combine = std::plus<>>
  T all_reduce(const T& value, Combine combine = {}, CallSite at = CallSite::here()) const {
    const Gathered<T> all(gather(Gather::all_reduce, std::span(&value, 1), 0, at));
    return all.fold(all.count(), combine);
  }
  template <typename T, std::size_t Extent, typename Combine = std::plus<>>
  void all_reduce(std::span<T, Extent> values, Combine combine = {},
                  CallSite at = CallSite::here()) const {
    const Gathered<T> all(gather(Gather::all_reduce, values, 0, at));
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = all.fold(all.count() / values.size(), combine, i, values.size());
  }

  // The values of members 0 to this one combined; without this one's own, behind `initial`.
  template <typename T, typename Combine = std::plus<>>
  T inclusive_scan(const T& value, Combine combine = {}, CallSite at = CallSite::here()) const {
    const Gathered<T> all(gather(Gather::inclusive_scan, std::span(&value, 1), 0, at));
    return all.fold(static_cast<std::size_t>(rank()) + 1, combine);
  }
  template <typename T, typename Combine = std::plus<>>
  T exclusive_scan(const T& value, T initial, Combine combine = {},
                   CallSite at = CallSite::here()) const {
    const Gathered<T> all(gather(Gather::exclusive_scan, std::span(&value, 1), 0, at));
    for (std::size_t n = 0; n < static_cast<std::size_t>(rank()); ++n)
      initial = combine(initial, all[n]);
    return initial;
  }

 private:
  friend class Barrier;
  friend struct TeamAccess;
  struct State;
  enum class Gather : std::uint8_t {
    all_gather,
    reduce,
    all_reduce,
    inclusive_scan,
    exclusive_scan
  };

  // What all members gave, by rank.
  template <typename T>
  class Gathered {
   public:
    explicit Gathered(std::vector<std::byte> bytes) : bytes_(std::move(bytes)) {}
    std::size_t count() const { return bytes_.size() / sizeof(T); }
    T operator[](std::size_t index) const {
      T value;
      std::memcpy(&value, bytes_.data() + index * sizeof(T), sizeof(T));
      return value;
    }
    // So many members' values at `index` of `each`, combined in order of rank.
    template <typename Combine>
    T fold(std::size_t members, Combine& combine, std::size_t index = 0,
           std::size_t each = 1) const {
      T result = (*this)[index];
      for (std::size_t n = 1; n < members; ++n) result = combine(result, (*this)[index + n * each]);
      return result;
    }

   private:
    std::vector<std::byte> bytes_;
  };

  template <typename T, std::size_t Extent>
  std::vector<std::byte> gather(Gather call, std::span<T, Extent> mine, int root,
                                CallSite at) const {
    static_assert(std::is_trivially_copyable_v<T>, "values move between processes as bytes");
    return gather_bytes(call, mine.data(), mine.size_bytes(), root, at);
  }
  std::vector<std::byte> gather_bytes(Gather call, const void* data, std::size_t bytes, int root,
                                      CallSite at) const;

  std::shared_ptr<State> state_;  // null: of nobody, unless it is of all
  bool all_ = false;
};

// Collective: Team's calls of the same names, made by every node.
DSM_API void barrier(CallSite at = CallSite::here());
DSM_API void broadcast_bytes(void* data, std::size_t bytes, int root = 0,
                             CallSite at = CallSite::here());
DSM_API void all_gather_bytes(const void* data, std::size_t bytes, void* all,
                              CallSite at = CallSite::here());
template <typename T>
void broadcast(T& value, int root = 0, CallSite at = CallSite::here()) {
  Team::all().broadcast(value, root, at);
}
template <typename T, std::size_t Extent>
void broadcast(std::span<T, Extent> values, int root = 0, CallSite at = CallSite::here()) {
  Team::all().broadcast(values, root, at);
}
template <typename T>
std::vector<T> all_gather(const T& value, CallSite at = CallSite::here()) {
  return Team::all().all_gather(value, at);
}
template <typename T, std::size_t Extent>
auto all_gather(std::span<T, Extent> mine, CallSite at = CallSite::here()) {
  return Team::all().all_gather(mine, at);
}
template <typename T, typename Combine = std::plus<>>
std::optional<T> reduce(const T& value, int root = 0, Combine combine = {},
                        CallSite at = CallSite::here()) {
  return Team::all().reduce(value, root, combine, at);
}
template <typename T, typename Combine = std::plus<>>
T all_reduce(const T& value, Combine combine = {}, CallSite at = CallSite::here()) {
  return Team::all().all_reduce(value, combine, at);
}
template <typename T, std::size_t Extent, typename Combine = std::plus<>>
void all_reduce(std::span<T, Extent> values, Combine combine = {}, CallSite at = CallSite::here()) {
  Team::all().all_reduce(values, combine, at);
}
template <typename T, typename Combine = std::plus<>>
T inclusive_scan(const T& value, Combine combine = {}, CallSite at = CallSite::here()) {
  return Team::all().inclusive_scan(value, combine, at);
}
template <typename T, typename Combine = std::plus<>>
T exclusive_scan(const T& value, T initial, Combine combine = {}, CallSite at = CallSite::here()) {
  return Team::all().exclusive_scan(value, initial, combine, at);
}

// A barrier in the shape of std::barrier: `threads` threads of each node of the job, or of each
// member of a team, take part. Construction is collective among them; they use one Barrier of a team
// at a time.
class DSM_API Barrier {
 public:
  explicit Barrier(int threads = 1);
  explicit Barrier(Team team, int threads = 1);
  ~Barrier();
  Barrier(const Barrier&) = delete;
  Barrier& operator=(const Barrier&) = delete;
  void arrive_and_wait(CallSite at = CallSite::here());

 private:
  struct State;
  State* state_;
};

// A condition of the whole job, in the shape of std::condition_variable_any: threads of any node wait
// for it with any lock that has lock() and unlock(), a dsm::Lock or a std::unique_lock of one. Who
// notifies with that lock held misses nobody who waits. First come, first woken. As with the
// standard's, a wait may end for nothing: use a predicate. A condition is only its number.
class DSM_API Condition {
 public:
  Condition();  // collective: the next number, the same condition on every node
  explicit Condition(std::uint64_t number);  // below 2^63, not collective

  void notify_one();
  void notify_all();

  // REQUIRES: this thread holds `lock`; it does so again afterwards, also when this throws. Error
  // when the lock says that it is not held.
  template <typename L>
  void wait(L& lock) {
    (void)wait_within(lock, std::chrono::nanoseconds::max());
  }
  template <typename L, typename Predicate>
  void wait(L& lock, Predicate predicate) {
    while (!predicate()) wait(lock);
  }
  template <typename L, typename Rep, typename Period>
  std::cv_status wait_for(L& lock, const std::chrono::duration<Rep, Period>& time) {
    return wait_within(lock, nanoseconds_of(time));
  }
  template <typename L, typename Rep, typename Period, typename Predicate>
  bool wait_for(L& lock, const std::chrono::duration<Rep, Period>& time, Predicate predicate) {
    return wait_until(lock, end_of(nanoseconds_of(time)), std::move(predicate));
  }
  template <typename L, typename Clock, typename Duration>
  std::cv_status wait_until(L& lock, const std::chrono::time_point<Clock, Duration>& time) {
    return wait_within(lock, nanoseconds_of(time - Clock::now()));
  }
  template <typename L, typename Clock, typename Duration, typename Predicate>
  bool wait_until(L& lock, const std::chrono::time_point<Clock, Duration>& time,
                  Predicate predicate) {
    while (!predicate())
      if (wait_until(lock, time) == std::cv_status::timeout) return predicate();
    return true;
  }

  std::uint64_t number() const noexcept { return number_; }

 private:
  // Longer than any job: what does not fit is for ever.
  template <typename Rep, typename Period>
  static std::chrono::nanoseconds nanoseconds_of(const std::chrono::duration<Rep, Period>& time) {
    constexpr std::chrono::hours longest{24 * 365 * 100};
    return std::chrono::duration<double>(time) > longest
               ? std::chrono::nanoseconds::max()
               : std::chrono::duration_cast<std::chrono::nanoseconds>(time);
  }
  static std::chrono::steady_clock::time_point end_of(std::chrono::nanoseconds time) {
    return time == time.max() ? std::chrono::steady_clock::time_point::max()
                              : std::chrono::steady_clock::now() + time;
  }

  // The waiter is registered before the lock goes, and waits when it is gone.
  template <typename L>
  std::cv_status wait_within(L& lock, std::chrono::nanoseconds time) {
    if constexpr (requires { lock.owns_lock(); })
      if (!lock.owns_lock()) refuse();
    const std::uint64_t waiter = register_waiter();
    try {
      lock.unlock();
    } catch (...) {
      (void)wait_notified(waiter, std::chrono::nanoseconds::zero());
      throw;
    }
    const bool notified = wait_notified(waiter, time);
    lock.lock();
    return notified ? std::cv_status::no_timeout : std::cv_status::timeout;
  }
  std::uint64_t register_waiter() const;
  bool wait_notified(std::uint64_t waiter, std::chrono::nanoseconds time) const;
  [[noreturn]] static void refuse();

  std::uint64_t number_;
};

// Something that is done once in the whole job, in the shape of std::once_flag. A flag is only its
// number, and apart from locks.
class DSM_API OnceFlag {
 public:
  OnceFlag();  // collective: the next number, the same flag on every node
  explicit OnceFlag(std::uint64_t number);  // below 2^60, not collective
  OnceFlag(const OnceFlag&) = delete;
  OnceFlag& operator=(const OnceFlag&) = delete;

 private:
  template <typename Call>
  friend void call_once(OnceFlag& flag, Call&& call);
  bool enter();  // false: it is done
  void leave(bool done);
  std::uint64_t number_;
  std::atomic<bool> known_{false};  // that it is done, on this node
};

// One thread of one node makes the call; whoever comes meanwhile waits for its end, and everyone sees
// afterwards what it wrote. When the call throws, so does call_once() there, and the next thread that
// comes makes it. The call itself may not come to the same flag. Not collective.
template <typename Call>
void call_once(OnceFlag& flag, Call&& call) {
  if (flag.known_.load(std::memory_order_acquire)) return;
  if (flag.enter()) {
    struct Leave {  // whatever the call throws
      OnceFlag& flag;
      bool done = false;
      ~Leave() { flag.leave(done); }
    } leave{flag};
    std::forward<Call>(call)();
    leave.done = true;
  }
  flag.known_.store(true, std::memory_order_release);
}

enum class Intent { read, write };

// System calls do not fault pages in: given an absent page they fail with EFAULT, or stop short
// without a word. While an Ensured lives, [memory, memory + bytes) is present on this node, and
// writable if asked, so long as no other thread of the node acquires a lock or passes a barrier.
class DSM_API Ensured {
 public:
  Ensured(Ensured&& other) noexcept;
  Ensured& operator=(Ensured&&) = delete;
  ~Ensured();

 private:
  friend DSM_API Ensured ensure(const void*, std::size_t, Intent);
  Ensured(std::uint64_t first_page, std::uint64_t pages) : first_page_(first_page), pages_(pages) {}
  std::uint64_t first_page_;
  std::uint64_t pages_;
};

// Throws Error when a part of the range is not shared memory, or when all that this node has
// ensured holds more foreign pages than half the cache (DSM_CACHE, counted in chunks of 2 MiB):
// move such ranges with load() and store(), which work in pieces. Ranges outside the shared memory
// cost nothing and are left alone.
[[nodiscard]] DSM_API Ensured ensure(const void* memory, std::size_t bytes, Intent intent);

// Bytes [offset, offset + bytes) of a file into shared memory, and back. Any size. They return the
// bytes moved, fewer than asked only at the end of the file, and throw Error with the system's
// reason otherwise.
DSM_API std::size_t load(int fd, void* memory, std::size_t bytes, std::uint64_t offset);
DSM_API std::size_t store(int fd, const void* memory, std::size_t bytes, std::uint64_t offset);

// What this node did since it joined; for reports and tests. Counting costs nothing that one could
// measure.
struct Statistics {
  std::uint64_t read_faults = 0;  // traps, by what the access wanted
  std::uint64_t write_faults = 0;
  std::uint64_t pages_fetched = 0;
  std::uint64_t pages_invalidated = 0;
  std::uint64_t pages_sent_home = 0;  // diffs
  std::uint64_t chunks_evicted = 0;
  std::uint64_t messages_sent = 0;
  std::uint64_t bytes_sent = 0;  // in messages
  std::uint64_t bytes_read = 0;  // one-sided
  std::uint64_t locks_taken = 0;
  std::uint64_t locks_taken_here = 0;  // of these, without a message
  std::uint64_t barriers = 0;
  std::uint64_t cache_bytes = 0;  // chunks held for other nodes' pages, and the limit
  std::uint64_t cache_limit_bytes = 0;
  std::uint64_t home_bytes = 0;
};
DSM_API Statistics statistics();

// "shm", "uffd" and the like: what this run uses, for reports.
DSM_API const char* transport_name() noexcept;
DSM_API const char* trap_name() noexcept;
DSM_API const char* version() noexcept;

}  // namespace dsm

#include <dsm/atomic.hpp>
#include <dsm/bound.hpp>
#include <dsm/semaphore.hpp>
