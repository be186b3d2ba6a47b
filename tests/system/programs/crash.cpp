// Crashes of the program's own, and nodes that stop in the middle of something: for
// losses_test.cpp, which kills them.
//   crash null            node 0 dereferences null; the others wait at a barrier
//   crash handled_before  as null, with a handler of SIGSEGV made before the Session, which says so
//                         and ends with 42
//   crash handled_after   the same, made after it
//   crash uncaught        a thread of node 0 lets a dsm::Error go; the others wait at a barrier
//   crash freed           node 0 writes into a region that was freed
//   crash wild            node 0 writes into the shared space where no region is
//   crash hold            node 0 takes lock 7, prints "ready RANK PID" as all do, and sleeps; the
//                         others wait for the lock
//   crash bound    the same, and something is bound to lock 7, to lock 11, which node 0 had last, and to
//                  lock 9, which node 1 had
//   crash hold_shared  the same with shared lock 3, which node 0 takes to read
//   crash barrier         node 0 sleeps before the barrier in which the others wait
//   crash fault           all fault on node 0's pages, and lock, without end
//   crash busy            all compute, and never call the library again
#include <signal.h>
#include <unistd.h>

#include <mutex>
#include <thread>

#include "scenario.hpp"

using namespace scenario;  // NOLINT: a test program

namespace {

// Not seen through by the compiler.
volatile std::uintptr_t nowhere = 0;

void ready() {
  dsm::barrier();
  std::printf("ready %d %d\n", me(), static_cast<int>(::getpid()));
  std::fflush(stdout);
}

void say_and_exit(int) {
  static constexpr char text[] = "the program's own handler\n";
  if (::write(STDERR_FILENO, text, sizeof text - 1) < 0) ::_exit(1);
  ::_exit(42);
}

__attribute__((no_sanitize("null"))) void crash_or_wait() {
  auto word = dsm::allocate<std::uint64_t>(1000, dsm::Placement::cyclic());
  word[static_cast<std::size_t>(me()) * 100] = 1;
  dsm::barrier();
  if (me() == 0) *reinterpret_cast<std::uint64_t*>(nowhere) = word[600];
  dsm::barrier();
}

void handled_before() {
  ::signal(SIGSEGV, say_and_exit);
  dsm::Session session;
  crash_or_wait();
}

void handled_after() {
  dsm::Session session;
  struct sigaction action = {};
  action.sa_handler = say_and_exit;
  ::sigaction(SIGSEGV, &action, nullptr);
  ::sigaction(SIGBUS, &action, nullptr);
  crash_or_wait();
}

void wild() {
  auto last = dsm::allocate<char>(1);
  nowhere = reinterpret_cast<std::uintptr_t>(last.data()) + (std::uintptr_t{1} << 30);
  crash_or_wait();
}

void uncaught() {
  if (me() == 0) std::thread([] { dsm::Lock(3).unlock(); }).join();
  dsm::barrier();
}

void freed() {
  auto region = dsm::allocate<std::uint64_t>(1000, dsm::Placement::cyclic());
  dsm::free(region);
  if (me() == 0) region[600] = 1;
  dsm::barrier();
}

void hold() {
  dsm::Lock lock(7);
  if (me() == 0) lock.lock();
  ready();
  if (me() == 0) ::sleep(60);
  lock.lock();
}

void bound() {
  const auto words = dsm::allocate<std::uint64_t>(16, dsm::Placement::on(1), dsm::Policy::bound);
  dsm::Lock lock(7), elsewhere(9), last(11);
  lock.bind(words.first(8));
  elsewhere.bind(words.subspan(8, 4), dsm::Refresh::pull);
  last.bind(words.subspan(12, 4));
  if (me() == 1) elsewhere.lock();
  if (me() == 0) {
    const std::scoped_lock hold(last);
    lock.lock();
  }
  ready();
  if (me() == 0) ::sleep(60);
  lock.lock();
}

void hold_shared() {
  dsm::SharedLock lock(3);
  if (me() == 0) lock.lock_shared();
  ready();
  if (me() == 0) ::sleep(60);
  lock.lock();
}

void wait_in_barrier() {
  ready();
  if (me() == 0) ::sleep(60);
  dsm::barrier();
}

// Every page of node 0 is wanted by all others, again and again, so that some are always on their
// way.
void fault() {
  auto words = dsm::allocate<std::uint64_t>(200 * dsm::page_size() / sizeof(std::uint64_t),
                                            dsm::Placement::on(0));
  ready();
  for (std::uint64_t round = 0;; ++round) {
    for (std::size_t i = static_cast<std::size_t>(me()); i < words.size(); i += 128)
      words[i] += round;
    dsm::Lock lock(round % 3);
    lock.lock();
    lock.unlock();
  }
}

void busy() {
  ready();
  for (;;) nowhere = 0;
}

}  // namespace

int main(int argc, char** argv) {
  return run(argc, argv,
             {{"null", crash_or_wait},
              {"handled_before", handled_before, false},
              {"handled_after", handled_after, false},
              {"uncaught", uncaught},
              {"freed", freed},
              {"wild", wild},
              {"hold", hold},
              {"bound", bound},
              {"hold_shared", hold_shared},
              {"barrier", wait_in_barrier},
              {"fault", fault},
              {"busy", busy}});
}
