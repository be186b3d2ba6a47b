#include "dsm/driver.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/check.hpp"
#include "dsm/debug.hpp"
#include "dsm/memory/in_runtime.hpp"

namespace dsm {

using memory::InRuntime;

namespace {

// The page of this thread's last fault in a sequential region. Initial-exec as in in_runtime.hpp.
constinit thread_local PageId last_sequential __attribute__((tls_model("initial-exec"))) =
    core::no_page;

// Pages on their way come while others are mapped. They are never the same ones: none is fetched
// that is here.
void fetch_before_mapping(core::Effects& effects) {
  const auto maps = [](const core::Effect& effect) {
    const auto* const change = std::get_if<core::Change>(&effect);
    return change != nullptr && change->from == Access::none;
  };
  const auto fetches = [](const core::Effect& effect) {
    return std::holds_alternative<core::Fetch>(effect);
  };
  for (auto at = effects.begin(); at != effects.end();) {
    at = std::find_if(at, effects.end(), maps);
    const auto first = std::find_if_not(at, effects.end(), maps);
    const auto behind = std::find_if_not(first, effects.end(), fetches);
    std::rotate(at, first, behind);
    at = behind;
  }
}

}  // namespace

Driver::Driver(const core::Config& config, Parts parts)
    : parts_(std::move(parts)), nodes_(config.nodes), engine_(config), outbox_(parts_.wire) {
  MutexLock hold(engine_mutex_);
  for (std::size_t i = 0; i < works_usual; ++i) {
    works_.push_back(std::make_unique<Work>());
    idle_works_.push_back(works_.back().get());
  }
  debug_watch(&engine_);
}

Driver::~Driver() {
  debug_watch(nullptr);
  stopping_.store(true);
  if (service_.joinable()) {
    const std::uint64_t one = 1;
    const ssize_t written = ::write(stop_fd_, &one, sizeof one);
    DSM_CHECK(written == sizeof one, "an event descriptor takes a count");
    service_.join();
  }
  if (stop_fd_ >= 0) ::close(stop_fd_);
}

void Driver::closing() {
  closing_.store(true);
}

Driver::Work* Driver::take_work() {
  if (idle_works_.empty()) {
    works_.push_back(std::make_unique<Work>());
    return works_.back().get();
  }
  Work* work = idle_works_.back();
  idle_works_.pop_back();
  return work;
}

void Driver::give_work(Work* work) {
  MutexLock hold(engine_mutex_);
  idle_works_.push_back(work);
}

// Some effects come before any later step: what they copy may be another's behind it.
void Driver::step(const core::Event& event, core::Effects& effects) {
  const std::size_t before = effects.list().size();
  engine_.step(event, effects);
  for (auto effect = effects.begin() + static_cast<std::ptrdiff_t>(before); effect != effects.end();
       ++effect)
    do_at_once(*effect);
}

void Driver::tell(const core::Event& event) {
  Work* work = nullptr;
  {
    MutexLock hold(engine_mutex_);
    work = take_work();
    step(event, work->effects);
  }
  act(*work);
  give_work(work);
}

// The thread goes back to its access. A tenure begins under the engine's lock, so that no later
// step wants its end too early to be heard.
void Driver::retry(PageId page, PageId behind) {
  Work* work = nullptr;
  {
    MutexLock hold(engine_mutex_);
    work = take_work();
    step(core::Retry{page, behind}, work->effects);
    for (const core::Effect& effect : work->effects)
      if (const auto* begun = std::get_if<core::Hold>(&effect))
        if (const auto early = tenures_.begin(*begun)) work->events.push_back(*early);
  }
  act(*work);
  give_work(work);
}

// Effects of a step in their order, but for fetch_before_mapping(); then their completions are
// steps, and so on until nothing is left to do at once.
void Driver::act(Work& work) {
  for (;;) {
    fetch_before_mapping(work.effects);
    const auto end = work.effects.end();
    for (auto effect = work.effects.begin(); effect != end;) {
      const auto behind = std::find_if(effect, end, [this](const core::Effect& each) {
        const auto* const sent = std::get_if<core::Send>(&each);
        return sent == nullptr || sent->to == parts_.self || core::is_for_waiters(sent->message);
      });
      if (behind - effect > 1) {
        send_together({effect, behind}, work);
        effect = behind;
      } else {
        std::visit([&](auto& e) { carry_out(e, work); }, *effect++);
      }
    }
    work.effects.clear();
    if (work.events.empty()) return;
    MutexLock hold(engine_mutex_);
    for (const core::Event& event : work.events) step(event, work.effects);
    work.events.clear();
  }
}

bool Driver::ask(const core::Event& event, Ticket who, Polls polls) {
  if (polls == Polls::from_the_start) {
    begin_polling();
    if (armed_.load(std::memory_order_relaxed)) progress();
  }
  tell(event);
  Waiters::Place& place = waiters_.at(who);
  if (!place.done()) {
    wait(place, polls);
  } else if (polls == Polls::from_the_start) {
    stop_polling();
  }
  const bool granted = place.was_granted();
  waiters_.give(who);
  return granted;
}

bool Driver::ask_until(const core::Event& event, Ticket who, Deadline deadline,
                       const core::Event& give_up) {
  tell(event);
  Waiters::Place& place = waiters_.at(who);
  if (!place.done()) wait(place, Polls::when_it_waits, deadline);
  if (!place.done()) {
    tell(give_up);
    if (!place.done()) wait(place, Polls::when_it_waits);
  }
  const bool granted = place.was_granted();
  waiters_.give(who);
  return granted;
}

bool Driver::fault(PageId page, Access wanted) {
  const InRuntime here;
  const auto policy = look([&](const core::Engine& engine) -> std::optional<core::Policy> {
    const core::Region* region = engine.layout().region_of(page);
    return region == nullptr ? std::nullopt : std::optional(region->policy());
  });
  if (!policy) return false;
  const bool sequential = *policy == core::Policy::sequential;
  const PageId behind = sequential && last_sequential < page ? last_sequential : core::no_page;
  const Ticket who = waiters_.take({"for page", page.value, true});
  ask(core::Fault{who, page, wanted, behind}, who, Polls::from_the_start);
  if (sequential) {
    last_sequential = page;
    retry(page, behind);
  }
  return true;
}

void Driver::lock(LockId lock) {
  if (lock_words_.take(lock)) return;
  const InRuntime here;
  const Ticket who = waiters_.take({"for lock", lock.value, true});
  ask(core::Acquire{who, lock}, who);
}

bool Driver::try_lock(LockId lock) {
  if (lock_words_.take(lock)) return true;
  const InRuntime here;
  const Ticket who = waiters_.take({"for lock", lock.value, true});
  return ask(core::TryAcquire{who, lock}, who);
}

bool Driver::try_lock_until(LockId lock, Deadline deadline) {
  if (lock_words_.take(lock)) return true;
  const InRuntime here;
  const Ticket who = waiters_.take({"for lock", lock.value, true});
  return ask_until(core::Acquire{who, lock}, who, deadline, core::Cancel{who, lock});
}

bool Driver::unlock(LockId lock) {
  switch (lock_words_.give(lock)) {
    case LockWords::Given::back:
      return true;
    case LockWords::Given::nobody_held:
      return false;
    case LockWords::Given::ask:
      break;
  }
  const InRuntime here;
  if (!look([&](const core::Engine& engine) { return engine.holds(lock); })) return false;
  tell(core::Release{lock});
  return true;
}

Ticket Driver::register_at(ConditionId condition) {
  const InRuntime here;
  const Ticket waiter = waiters_.take({"for condition", condition.value, true});
  const Ticket who = waiters_.take({"at condition", condition.value, true});
  ask(core::Register{who, waiter, condition}, who);
  return waiter;
}

bool Driver::wait_notified(Ticket waiter, Deadline deadline) {
  const InRuntime here;
  Waiters::Place& place = waiters_.at(waiter);
  if (!place.done()) wait(place, Polls::when_it_waits, deadline);
  if (!place.done()) {
    tell(core::Unregister{waiter});
    if (!place.done()) wait(place, Polls::when_it_waits);
  }
  const bool notified = place.was_granted();
  waiters_.give(waiter);
  return notified;
}

void Driver::notify(ConditionId condition, bool all) {
  const InRuntime here;
  tell(core::Notify{condition, all});
}

void Driver::lock(SharedLockId lock, sync::Mode mode) {
  const InRuntime here;
  const Ticket who = waiters_.take({"for shared lock", lock.value, true});
  ask(core::AcquireShared{who, lock, mode}, who);
}

bool Driver::try_lock(SharedLockId lock, sync::Mode mode) {
  const InRuntime here;
  const Ticket who = waiters_.take({"for shared lock", lock.value, true});
  return ask(core::TryAcquireShared{who, lock, mode}, who);
}

bool Driver::try_lock_until(SharedLockId lock, sync::Mode mode, Deadline deadline) {
  const InRuntime here;
  const Ticket who = waiters_.take({"for shared lock", lock.value, true});
  return ask_until(core::AcquireShared{who, lock, mode}, who, deadline,
                   core::CancelShared{who, lock});
}

bool Driver::unlock(SharedLockId lock, sync::Mode mode) {
  const InRuntime here;
  if (!look([&](const core::Engine& engine) { return engine.holds(lock, mode); })) return false;
  tell(core::ReleaseShared{lock, mode});
  return true;
}

bool Driver::acquire(SemaphoreId semaphore, std::uint64_t initial) {
  const InRuntime here;
  const Ticket who = waiters_.take({"for semaphore", semaphore.value, true});
  return ask(core::AcquireSemaphore{who, semaphore, initial}, who);
}

bool Driver::try_acquire(SemaphoreId semaphore, std::uint64_t initial) {
  const InRuntime here;
  const Ticket who = waiters_.take({"for semaphore", semaphore.value, true});
  return ask(core::TryAcquireSemaphore{who, semaphore, initial}, who);
}

bool Driver::try_acquire_until(SemaphoreId semaphore, std::uint64_t initial, Deadline deadline) {
  const InRuntime here;
  const Ticket who = waiters_.take({"for semaphore", semaphore.value, true});
  return ask_until(core::AcquireSemaphore{who, semaphore, initial}, who, deadline,
                   core::CancelSemaphore{who});
}

bool Driver::release(SemaphoreId semaphore, std::uint64_t initial, std::uint64_t count) {
  const InRuntime here;
  const Ticket who = waiters_.take({"at semaphore", semaphore.value, true});
  return ask(core::ReleaseSemaphore{who, semaphore, initial, count}, who);
}

std::uint64_t Driver::atomic(const core::WordOperation& operation) {
  const InRuntime here;
  const Ticket who = waiters_.take({"for a word of page", operation.page.value, true});
  tell(core::Atomic{who, operation});
  Waiters::Place& place = waiters_.at(who);
  if (!place.done()) wait(place, Polls::when_it_waits);
  const std::uint64_t found = found_[who.value];
  waiters_.give(who);
  return found;
}

std::vector<Bytes> Driver::barrier(Bytes payload, const char* what, std::string site) {
  const InRuntime here;
  const Ticket who = waiters_.take({what, 0, false});
  std::vector<Bytes> passed;
  meet(core::Arrive{who, std::move(payload), site}, who, {std::nullopt, site}, passed);
  return passed;
}

bool Driver::meet(const core::Event& event, Ticket who, const Meeting& meeting,
                  std::vector<Bytes>& passed) {
  tell(event);
  Waiters::Place& place = waiters_.at(who);
  if (!place.done())
    wait(place, Polls::when_it_waits,
         parts_.debug ? std::chrono::steady_clock::now() + silent_max : no_deadline);
  if (!place.done()) {
    report_waiting(meeting);
    wait(place, Polls::when_it_waits);
  }
  const bool granted = place.was_granted();
  passed = std::exchange(passed_[who.value], {});
  waiters_.give(who);
  return granted;
}

void Driver::add_team(TeamId team, std::vector<NodeId> members) {
  const InRuntime here;
  tell(core::AddTeam{team, std::move(members)});
}

std::optional<std::vector<Bytes>> Driver::team_barrier(TeamId team, Bytes payload,
                                                       std::string site) {
  const InRuntime here;
  const Ticket who = waiters_.take({"at the barrier of team", team.value, true});
  std::vector<Bytes> passed;
  if (!meet(core::ArriveTeam{who, team, std::move(payload), site}, who, {team, site}, passed))
    return std::nullopt;
  return passed;
}

void Driver::leave_teams() {
  const InRuntime here;
  tell(core::LeaveTeams{});
}

void Driver::bind(LockId lock, std::vector<core::Span> spans, core::Refresh refresh) {
  const InRuntime here;
  tell(core::Bind{lock, std::move(spans), refresh});
}

void Driver::pin(PageRun run) {
  const InRuntime here;
  tell(core::Pin{run});
}

void Driver::unpin(PageRun run) {
  const InRuntime here;
  tell(core::Unpin{run});
}

void Driver::add_region(const core::Region& region) {
  const InRuntime here;
  tell(core::AddRegion{region});
}

void Driver::drop_region(RegionId region) {
  const InRuntime here;
  const Ticket who = waiters_.take({"for the end of region", region.value, true});
  ask(core::DropRegion{who, region}, who);
}

Traffic Driver::traffic() const {
  return {outbox_.messages(), outbox_.bytes(), parts_.lanes.bytes_read(), parts_.wire.tally()};
}

}  // namespace dsm
