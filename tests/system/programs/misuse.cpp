// Wrong calls: each is refused with one line that says what is wrong, and the job goes on.
#include <unistd.h>

#include "heard.hpp"

using namespace scenario;  // NOLINT: a test program

namespace {

void still_works() {
  same(dsm::all_reduce(1), nodes(), "the number of nodes, counted");
}

void locks() {
  dsm::Lock lock(17);
  refused([&] { lock.unlock(); }, {"unlock", "holds lock 17"});
  // Held by another node is not held here.
  if (me() == 0) lock.lock();
  dsm::barrier();
  if (me() == 1) refused([&] { lock.unlock(); }, {"node 1", "lock 17"});
  dsm::barrier();
  if (me() == 0) {
    lock.unlock();
    refused([&] { lock.unlock(); }, {"holds lock 17"});
  }
  refused([] { dsm::Lock wrong(std::uint64_t{1} << 63); }, {"2^63"});
  dsm::Lock highest((std::uint64_t{1} << 63) - 1);
  highest.lock();
  highest.unlock();
  refused([] { dsm::Barrier wrong(0); }, {"at least one thread"});
  still_works();
}

void regions() {
  refused([] { (void)dsm::allocate_bytes(std::size_t{1} << 60); }, {"allocate()", "DSM_SPACE"});
  refused([] { (void)dsm::allocate<std::uint64_t>(std::size_t{1} << 62); }, {"allocate()"});
  refused([] { (void)dsm::allocate_bytes(10, dsm::Placement::on(nodes())); },
          {"placement names node", "this job has nodes 0 to"});
  refused([] { (void)dsm::Placement::on(-1); }, {"numbered from 0"});
  refused([] { (void)dsm::Placement::cyclic(0); }, {"at least one page"});
  refused([] { (void)dsm::Placement::by(nullptr); }, {"function"});
  refused(
      [] { (void)dsm::allocate_bytes(10, dsm::Placement::by([](std::size_t) { return 99999; })); },
      {"placement", "node 99999"});
  refused(
      [] {
        (void)dsm::allocate_bytes(10, dsm::Placement::shares({1, 2, 3, 4, 5, 6, 7, 8, 9}));
      },
      {"shares", "not 9"});
  refused([] { (void)dsm::allocate_bytes(10, dsm::Placement::block(), dsm::Policy(77)); },
          {"policy that does not exist", "sequential"});
  auto region = dsm::allocate<char>(3 * dsm::page_size());
  refused([&] { dsm::free_bytes(region.data() + 1); }, {"free()", "did not return"});
  refused([&] { dsm::free_bytes(region.data() + dsm::page_size()); }, {"free()", "did not return"});
  int local = 0;
  refused([&] { dsm::free_bytes(&local); }, {"free()"});
  refused([&] { dsm::free_bytes(nullptr); }, {"free()"});
  dsm::free(region);
  refused([&] { dsm::free(region); }, {"free()", "freed before"});
  still_works();
}

// Nodes whose frames do not fit say so, on all nodes, and what was there before goes on.
void memory() {
  auto before = dsm::allocate<std::uint64_t>(5);
  if (me() == 0) before[3] = 33;
  const auto space = dsm::allocate<char>(1);
  dsm::free(space);
  refused([] { (void)dsm::allocate_bytes(std::size_t{60} << 30, dsm::Placement::on(0)); },
          {"allocate"});
  dsm::barrier();
  same(before[3], 33u, "what was written before");
  still_works();
}

void differing() {
  refused(
      [] {
        int value = 0;
        if (me() == 0) {
          dsm::barrier();
        } else {
          dsm::broadcast(value);
        }
      },
      {"collective calls differ", "barrier() at ", "broadcast() at ", "misuse.cpp:"});
  refused([] { (void)dsm::allocate_bytes(me() == 0 ? 10000 : 100); },
          {"collective calls differ", "allocate()"});
  refused(
      [] {
        (void)dsm::allocate_bytes(10, dsm::Placement::block(),
                                  me() == 0 ? dsm::Policy::sequential : dsm::Policy::scope);
      },
      {"collective calls differ", "allocate()"});
  refused(
      [] {
        std::uint64_t words[2] = {};
        dsm::broadcast_bytes(words, me() == 0 ? 8 : 16);
      },
      {"collective calls differ", "broadcast()"});
  refused(
      [] {
        (void)dsm::allocate_bytes(100, me() == 0 ? dsm::Placement::on(0) : dsm::Placement::on(1));
      },
      {"collective calls differ", "allocate()"});
  // Both call sites, each of its own node.
  const int here = __LINE__;
  const auto differ = [] {
    if (me() == 0) {
      (void)dsm::all_reduce(1);
    } else {
      (void)dsm::reduce(1);
    }
  };
  const std::string zeros = "misuse.cpp:" + std::to_string(here + 3),
                    others = "misuse.cpp:" + std::to_string(here + 5);
  refused(differ, {"all_reduce() at ", zeros.c_str(), "reduce() at ", others.c_str()});
  refused([] { (void)dsm::reduce(1, me() == 0 ? 0 : 1); },
          {"collective calls differ", "reduce() has other sizes or arguments", "misuse.cpp:"});
  refused(
      [] {
        if (me() == 0) {
          (void)dsm::inclusive_scan(1);
        } else {
          (void)dsm::exclusive_scan(1, 0);
        }
      },
      {"inclusive_scan() at ", "exclusive_scan() at "});
  refused([] { (void)dsm::reduce(1, nodes()); }, {"reduce()", "this job has nodes 0 to"});
  const std::vector<int> words(3);
  refused([&] { (void)dsm::all_gather(std::span(words).first(me() == 0 ? 2u : 3u)); },
          {"all_gather() has other sizes"});
  auto one = dsm::allocate<char>(1), other = dsm::allocate<char>(1);
  refused([&] { dsm::free(me() == 0 ? one : other); }, {"collective calls differ", "free()"});
  refused(
      [] {
        std::uint64_t word = 0;
        dsm::broadcast(word, nodes());
      },
      {"broadcast()", "this job has nodes"});
  one[0] = 0;
  still_works();
}

// The last barrier() of one node meets the end of the others' session.
void leaving() {
  if (me() != 0) return;
  refused([] { dsm::barrier(); },
          {"collective calls differ", "barrier() at ", "misuse.cpp:", "end of"});
}

void ensured() {
  const std::size_t page = dsm::page_size();
  auto region = dsm::allocate<char>(4 * page);
  char own[16] = {};
  (void)dsm::ensure(own, sizeof own, dsm::Intent::write);  // not shared: left alone
  refused([&] { (void)dsm::ensure(region.data(), std::size_t{1} << 30, dsm::Intent::read); },
          {"ensure()", "shared memory"});
  refused(
      [&] {
        (void)dsm::ensure(region.data() + 4 * page - 8, std::size_t{1} << 50, dsm::Intent::read);
      },
      {"ensure()"});
  dsm::free(region);
  refused([&] { (void)dsm::ensure(region.data(), 1, dsm::Intent::read); },
          {"ensure()", "never allocated"});
  // 17 MiB of 32, at node 0: too much for everybody else.
  auto large = dsm::allocate<char>(std::size_t{20} << 20, dsm::Placement::on(0));
  if (me() == 0) {
    const dsm::Ensured hold = dsm::ensure(large.data(), large.size(), dsm::Intent::write);
  } else {
    refused([&] { (void)dsm::ensure(large.data(), std::size_t{17} << 20, dsm::Intent::read); },
            {"ensure()", "half the cache", "DSM_CACHE", "load()"});
    {
      // Two together are as much as one.
      const dsm::Ensured first =
          dsm::ensure(large.data(), std::size_t{10} << 20, dsm::Intent::read);
      refused(
          [&] {
            (void)dsm::ensure(large.data() + (std::size_t{10} << 20), std::size_t{10} << 20,
                              dsm::Intent::read);
          },
          {"ensure()", "half the cache"});
    }
    const dsm::Ensured second = dsm::ensure(large.data() + (std::size_t{10} << 20),
                                            std::size_t{10} << 20, dsm::Intent::read);
  }
  dsm::barrier();
  // Few foreign pages, but in many chunks: each counts whole.
  const int last = nodes() - 1;
  auto sparse = dsm::allocate<char>(
      std::size_t{64} << 20,
      dsm::Placement::by([last](std::size_t p) { return p % 512 == 5 ? last : 0; }));
  if (me() == 0 && last != 0)
    refused([&] { (void)dsm::ensure(sparse.data(), sparse.size(), dsm::Intent::read); },
            {"ensure()", "half the cache"});
  still_works();
}

// What only DSM_DEBUG=1 finds.
void debug() {
  ::setenv("DSM_DEBUG", "1", 1);
  dsm::Session session;
  dsm::Lock lock(21), other(22);
  lock.lock();
  refused([&] { lock.lock(); }, {"Lock 21", "already", "recursive"});
  refused([&] { (void)lock.try_lock_for(std::chrono::seconds(1)); }, {"Lock 21", "already"});
  in_threads(1, [&](int) {
    refused([&] { lock.unlock(); }, {"Lock 21", "does not hold"});
    other.lock();
    other.unlock();
  });
  refused([&] { other.unlock(); }, {"Lock 22", "does not hold"});
  lock.unlock();
  lock.lock();
  lock.unlock();
  dsm::SharedLock shared(23);
  shared.lock_shared();
  refused([&] { shared.lock(); }, {"SharedLock 23", "to read", "wait for itself"});
  refused([&] { shared.lock_shared(); }, {"SharedLock 23", "a writer that waits for it"});
  refused([&] { shared.unlock(); }, {"SharedLock 23", "to read, not to write"});
  in_threads(1, [&](int) {
    refused([&] { shared.unlock_shared(); }, {"SharedLock 23", "does not hold"});
    shared.lock_shared();
    shared.unlock_shared();
  });
  shared.unlock_shared();
  shared.lock();
  refused([&] { (void)shared.try_lock_shared_for(std::chrono::seconds(1)); },
          {"SharedLock 23", "already"});
  shared.unlock();
  still_works();
}

// Locks that are held when the Session ends are named.
void held() {
  ::setenv("DSM_DEBUG", "1", 1);
  std::string text;
  {
    const Heard heard;
    {
      dsm::Session session;
      // Different ones: a node that waited would wait for ever.
      dsm::Lock(24 + static_cast<std::uint64_t>(dsm::rank())).lock();
      in_threads(1, [](int) { dsm::SharedLock(40).lock_shared(); });
      dsm::Lock given_back(41);
      given_back.lock();
      given_back.unlock();
    }
    text = heard.text();
  }
  const std::string mine = "ends while this thread holds Lock ";
  check(text.find(mine) != std::string::npos, "a lock of this thread is named: " + text);
  check(text.find("another thread holds SharedLock 40 to read") != std::string::npos,
        "a lock of another thread is named: " + text);
  check(text.find("Lock 41") == std::string::npos, "one that was given back is not: " + text);
}

// Before and after: every call that needs a Session says so.
void sessions() {
  refused([] { dsm::barrier(); }, {"barrier()", "dsm::Session"});
  refused([] { (void)dsm::allocate_bytes(1); }, {"allocate()", "dsm::Session"});
  refused([] { dsm::Lock(1).lock(); }, {"lock()", "dsm::Session"});
  refused([] { (void)dsm::statistics(); }, {"statistics()", "dsm::Session"});
  char byte = 0;
  refused([&] { (void)dsm::ensure(&byte, 1, dsm::Intent::read); }, {"ensure()", "dsm::Session"});
  same(dsm::rank(), 0, "the rank without a session");
  same(dsm::size(), 1, "the size without a session");
  {
    dsm::Session session;
    refused([] { dsm::Session second; }, {"dsm::Session already"});
    dsm::barrier();
  }
  refused([] { dsm::barrier(); }, {"barrier()", "dsm::Session"});
}

// Two collective calls at once on one node: the second is told. Node 1 comes to the barrier only
// after that.
void two_at_once() {
  dsm::Lock gate(5);
  if (me() == 0) gate.lock();
  const std::uint64_t before = dsm::statistics().barriers + 1;
  dsm::barrier();
  if (me() == 0) {
    std::thread first([] { dsm::barrier(); });
    while (dsm::statistics().barriers == before) std::this_thread::yield();
    refused([] { dsm::barrier(); }, {"two threads", "collective", "barrier()"});
    gate.unlock();
    first.join();
  } else {
    gate.lock();
    gate.unlock();
    dsm::barrier();
  }
  still_works();
}

}  // namespace

int main(int argc, char** argv) {
  return run(argc, argv,
             {{"locks", locks},
              {"regions", regions},
              {"memory", memory},
              {"differing", differing},
              {"leaving", leaving},
              {"debug", debug, false},
              {"held", held, false},
              {"ensured", ensured},
              {"two_at_once", two_at_once},
              {"sessions", sessions, false}});
}
