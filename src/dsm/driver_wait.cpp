// Waiting and progress: who polls, who sleeps, and how nobody misses a message (PROTOCOL.md E26).
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <pthread.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "base/futex.hpp"
#include "base/log.hpp"
#include "dsm/driver.hpp"
#include "dsm/memory/in_runtime.hpp"

namespace dsm {

void Driver::wait(Waiters::Place& place, Polls polls, Deadline deadline) {
  // A clock is read only where there is something to compare it with.
  const auto left = [deadline] {
    return deadline == no_deadline ? std::chrono::nanoseconds::max() : deadline - quick_now();
  };
  const std::uint32_t waiting = waiting_.fetch_add(1, std::memory_order_seq_cst) + 1;
  std::uint32_t most = waiting_most_.load(std::memory_order_relaxed);
  while (most < waiting &&
         !waiting_most_.compare_exchange_weak(most, waiting, std::memory_order_relaxed)) {
  }
  Patience patience(parts_.patience, yielding_, std::max(most, waiting) > parts_.patience.spinners);
  if (polls == Polls::when_it_waits) begin_polling();
  while (!place.done() && left() > std::chrono::nanoseconds::zero()) {
    if (progress()) {
      patience.reset();
      continue;
    }
    if (!leave_polling_to_others()) {
      if (!patience.exhausted()) continue;
      stop_polling();
    }
    place.sleep(std::max(left(), std::chrono::nanoseconds::zero()));
    begin_polling();  // but who has slept in vain has no new patience
  }
  waiting_.fetch_sub(1, std::memory_order_seq_cst);
  stop_polling();
}

void Driver::begin_polling() {
  if (polling_.fetch_add(1, std::memory_order_seq_cst) == 0 && parts_.wire.caps().wakes_unarmed)
    absences_.end(quick_now());
}

// Who polls serves all. More who poll than cores are free for take the processor from those who
// could answer, so all but these sleep; one always stays.
bool Driver::leave_polling_to_others() {
  const std::uint32_t enough = std::max(parts_.patience.spinners, 1u);
  std::uint32_t polling = polling_.load(std::memory_order_relaxed);
  while (polling > enough)
    if (polling_.compare_exchange_weak(polling, polling - 1, std::memory_order_seq_cst))
      return true;
  return false;
}

// Whoever finds the polling lock taken has nothing to do: the holder sees to everything that has
// arrived.
bool Driver::progress() {
  if (!poll_mutex_.try_lock()) return false;
  const bool worked = progress_locked();
  poll_mutex_.unlock();
  return worked;
}

bool Driver::progress_locked() {
  bool worked = outbox_.retry();
  worked = parts_.lanes.retry() || worked;
  if (tenures_.hastened()) worked = end_tenures() || worked;
  std::array<transport::Event, events_at_once> events;
  std::optional<NodeId> lost;
  std::string why;
  const std::size_t count = parts_.wire.poll(events);
  if (armed_.load(std::memory_order_relaxed)) armed_.store(false, std::memory_order_relaxed);
  if (const std::uint64_t served = parts_.wire.served(); served != served_) {
    served_ = served;
    worked = true;
  }
  for (std::size_t i = 0; i < count; ++i) {
    handle(events[i]);
    if (events[i].kind == transport::Event::Kind::message) parts_.wire.recycle(events[i]);
    if (events[i].kind == transport::Event::Kind::peer_down && !lost_ && !closing_.load()) {
      lost = lost_ = events[i].peer;
      why.assign(reinterpret_cast<const char*>(events[i].bytes.data()), events[i].bytes.size());
    }
  }
  if (lost) parts_.on_lost(*lost, why, waiters_.someone(), data_lost_with(*lost));
  return worked || count > 0;
}

// Everyone who is left says which locks it has; one that is slow to notice is not waited for long.
std::string Driver::data_lost_with(NodeId lost) {
  constexpr std::chrono::milliseconds limit{300}, step{1};
  if (lost == parts_.self) return {};
  if (look([](const core::Engine& engine) { return engine.bindings().all().empty(); })) return {};
  tell(core::Lost{lost});
  const auto end = std::chrono::steady_clock::now() + limit;
  const auto complete = [&](const core::Engine& engine) {
    return engine.has_heard_of_all_but(lost);
  };
  while (!look(complete) && std::chrono::steady_clock::now() < end)
    if (!progress_locked()) std::this_thread::sleep_for(step);
  return name_data_of(lost);
}

bool Driver::end_tenures() {
  bool any = false;
  while (const auto held = tenures_.take_ended()) {
    tell(*held);
    any = true;
  }
  return any;
}

void Driver::handle(const transport::Event& event) {
  switch (event.kind) {
    case transport::Event::Kind::completion:
      if (event.code == Code::peer_lost) return;  // its peer_down comes too
      DSM_CHECK_WITH(event.code == Code::ok, "a one-sided operation stays inside a peer's memory",
                     {"peer", event.peer.value});
      if (AtomicCookie::is(event.cookie)) {
        const Ticket who = AtomicCookie::who(event.cookie);
        tell(core::AtomicDone{parts_.self, who, parts_.lanes.found(who)});
      } else if (BoundCookie::is(event.cookie)) {
        if (auto read = parts_.lanes.bound_read(BoundCookie::number(event.cookie)))
          tell(std::move(*read));
      } else if (DepartureCookie::is(event.cookie)) {
        tell(core::Punched{departures_.end(DepartureCookie::number(event.cookie))});
      } else {
        tell(core::Fetched{FetchCookie::run(event.cookie)});
      }
      return;
    case transport::Event::Kind::message: {
      std::optional<core::Message> message = core::decode(event.bytes);
      DSM_CHECK_WITH(message.has_value(), "nodes of one build understand each other",
                     {"peer", event.peer.value}, {"bytes", event.bytes.size()});
      tell(core::Received{event.peer, std::move(*message)});
      return;
    }
    case transport::Event::Kind::peer_down:
      return;  // seen to in progress_locked(), behind what came with it
  }
}

void Driver::watch(std::chrono::milliseconds time) {
  constexpr std::chrono::milliseconds step{2};
  for (; time.count() > 0; time -= step) {
    arm();  // a wire that is only polled need not look for lost peers each time
    std::this_thread::sleep_for(step);
  }
}

// The last one who polls leaves the wire armed, so that what comes from now on wakes the service
// thread; or to the service thread, which looks at it soon.
void Driver::stop_polling() {
  if (polling_.fetch_sub(1, std::memory_order_seq_cst) != 1) return;
  if (parts_.wire.caps().wakes_unarmed) absences_.begin(quick_now());
  if (is_expected_back()) return;
  arm();
  if (service_parked_.load(std::memory_order_seq_cst) != Parked::no) futex_wake_all(polling_);
}

// Where what arrives wakes the service thread also while another polls, each wait would wake it
// once in vain, and once behind its end. So it is left alone as long as waits follow one another
// closely.
bool Driver::is_expected_back() const {
  return service_parked_.load(std::memory_order_seq_cst) == Parked::briefly &&
         waiting_.load(std::memory_order_seq_cst) == 0 && absences_.are_short();
}

void Driver::arm() {
  for (;;) {
    if (!poll_mutex_.try_lock()) return;  // the holder polls on, or arms before it leaves
    progress_locked();
    const bool armed = arm_locked();
    poll_mutex_.unlock();
    if (armed && !wakes_too_few()) return;
  }
}

// While nobody waits, what only a waiter could use wakes nobody.
bool Driver::arm_locked() {
  armed_for_ = waiting_.load(std::memory_order_seq_cst) == 0 ? transport::Urgency::prompt
                                                             : transport::Urgency::patient;
  const bool armed = parts_.wire.arm(armed_for_.load(std::memory_order_relaxed));
  armed_.store(armed, std::memory_order_relaxed);
  return armed;
}

// A thread that began to wait meanwhile may have found the polling lock taken, and gone to sleep.
bool Driver::wakes_too_few() {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return armed_for_.load(std::memory_order_relaxed) == transport::Urgency::prompt &&
         waiting_.load(std::memory_order_seq_cst) != 0;
}

void Driver::start() {
  stop_fd_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  DSM_CHECK(stop_fd_ >= 0, "an event descriptor can be made");
  // Signals of the program are for the program's threads.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  service_ = std::thread([this] { serve(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

// A thread that waits and has fallen asleep left the core on which it polled.
bool Driver::has_core_of_sleeper() const {
  const std::uint32_t waiting = waiting_.load(std::memory_order_seq_cst);
  return waiting > 0 && waiting <= parts_.patience.spinners;
}

// What follows a message often follows soon: as patiently as a thread of the program that waits.
void Driver::poll_for_sleepers() {
  Patience patience(parts_.patience, yielding_, false);
  while (polling_.load(std::memory_order_seq_cst) == 0 && has_core_of_sleeper() &&
         !stopping_.load()) {
    if (progress())
      patience.reset();
    else if (patience.exhausted())
      break;
  }
}

// While a thread of the program polls, it serves the others too, and the service thread would only
// take its processor; also while it is soon back. False: the wire is the service thread's.
bool Driver::park(Parking& parking) {
  constexpr std::chrono::milliseconds until_woken_max{100};
  const std::uint32_t others = polling_.load(std::memory_order_seq_cst);
  const std::uint32_t ended = absences_.ended();
  const bool somebody_came = std::exchange(parking.absences_seen, ended) != ended;
  // Whoever has polled ever since the last look will be long at it, and wakes this thread.
  const bool briefly =
      absences_.are_short() &&
      (others == 0 ? waiting_.load(std::memory_order_seq_cst) == 0 : somebody_came);
  if (!briefly)
    parking.nap = Absences::nap_min;
  else if (somebody_came)
    parking.nap = std::min(2 * parking.nap, Absences::nap_max);
  if (others == 0 && !briefly) return false;

  std::chrono::nanoseconds time = until_woken_max;
  if (briefly) time = parking.nap;
  if (others == 0) time -= absences_.lasts(quick_now());
  if (time <= std::chrono::nanoseconds::zero()) {
    absences_.was_long();
    return false;
  }
  service_parked_.store(briefly ? Parked::briefly : Parked::until_woken, std::memory_order_seq_cst);
  futex_wait(polling_, others, time);
  service_parked_.store(Parked::no, std::memory_order_seq_cst);
  return true;
}

// Sees to what there is. True: there is nothing, and whatever comes makes the wire's descriptor
// readable.
bool Driver::arm_to_sleep() {
  poll_mutex_.lock();
  bool worked = false;
  while (progress_locked()) worked = true;
  const bool stays = worked && has_core_of_sleeper();
  const bool armed = !stays && arm_locked();
  poll_mutex_.unlock();
  if (stays) poll_for_sleepers();
  return armed && !wakes_too_few();
}

void Driver::serve() {
  pthread_setname_np(pthread_self(), "dsm-service");
  const memory::InRuntime here;
  pollfd fds[] = {{parts_.wire.wait_fd(), POLLIN, 0},
                  {stop_fd_, POLLIN, 0},
                  {parts_.news_fd, POLLIN, 0},
                  {tenures_.fd(), POLLIN, 0}};
  constexpr std::chrono::milliseconds unread_max{100};  // news, while others see to the wire
  constexpr int idle_limit_ms = 1000;
  Parking parking;
  for (MonotonicTime read = quick_now(); !stopping_.load();) {
    const bool parked = park(parking);
    if (parked ? quick_now() - read < unread_max : !arm_to_sleep()) continue;
    if (closing_.load()) fds[2].fd = -1;
    ::poll(fds, std::size(fds), parked ? 0 : idle_limit_ms);
    read = quick_now();
    if (fds[2].revents != 0) parts_.on_news(waiters_.someone());
  }
}

}  // namespace dsm
