// What DSM_DEBUG=1 finds at a home of writes that nothing orders, and that it finds nothing where
// something does. The lines go to descriptor 2 of the home, which is a file here.
#include <cstdint>
#include <mutex>
#include <string>

#include "heard.hpp"
#include "scenario.hpp"

using namespace scenario;  // NOLINT: a test program

namespace {

// Node 0 is home and hears `words` in one line; or nothing when there are none. `body` is done by
// all, once.
template <typename Body>
void heard_at_home(std::initializer_list<std::string> words, Body body) {
  std::string text;
  {
    const Heard heard;
    dsm::barrier();
    body();
    dsm::barrier();
    text = heard.text();
  }
  if (me() != 0 || words.size() == 0) {
    check(text.empty(), "nothing is to be said: " + text);
  } else {
    for (const std::string& word : words)
      check(text.find(word) != std::string::npos, "no '" + word + "' in: " + text);
    check(text.find('\n') == text.size() - 1, "one line: " + text);
  }
  dsm::barrier();
}

std::string line(int number) {
  return "races.cpp:" + std::to_string(number);
}

// Nodes 1 and 2 write the same bytes of node 0's page. With two nodes there is no second writer but
// the home, whose stores are not seen.
template <typename Write>
void found(std::initializer_list<std::string> words, Write write) {
  heard_at_home(nodes() > 2 ? words : std::initializer_list<std::string>{}, write);
}

void told() {
  ::setenv("DSM_DEBUG", "1", 1);
  dsm::Session session;
  const std::size_t page = dsm::page_size(), at = page + 77;
  auto bytes = dsm::allocate<char>(4 * page, dsm::Placement::on(0));
  for (std::size_t p = 0; p < 4; ++p)  // everyone has copies
    (void)*const_cast<const volatile char*>(&bytes[p * page]);
  dsm::barrier();
  const bool writes = me() == 1 || me() == 2;

  const int first = __LINE__ + 7, second = __LINE__ + 9;
  found({"dsm[0]: data race: node ", "node 1 (sent home by the collective call at ",
         "node 2 (sent home by the collective call at ", line(first), line(second),
         "wrote 2 bytes at 0x", "page 1 of its region, offset 77,", "no lock or barrier between"},
        [&] {
          if (writes) bytes[at] = bytes[at + 1] = static_cast<char>(me());
          if (me() == 1)
            dsm::barrier();
          else
            dsm::barrier();
        });

  // Under two locks, which node 0 takes from them before they go to the barrier.
  auto flag = dsm::allocate<std::uint64_t>(1, dsm::Placement::on(0));
  const dsm::Atomic taken(flag[0]);
  dsm::Lock fifth(5), sixth(6);
  if (me() == 1) fifth.lock();
  if (me() == 2) sixth.lock();
  dsm::barrier();
  found({"data race", "node 1 (sent home when lock 5 left it)",
         "node 2 (sent home when lock 6 left it)", "wrote 1 bytes", "page 2 of its region"},
        [&] {
          if (writes) bytes[2 * page] = static_cast<char>(10 + me());
          if (me() == 1) fifth.unlock();
          if (me() == 2) sixth.unlock();
          if (me() == 0) {
            const std::scoped_lock hold(fifth, sixth);
            taken.store(1);
          }
          while (writes && taken.load() == 0) std::this_thread::yield();
        });

  // The same bytes once more: it was told of these two and this page.
  heard_at_home({}, [&] {
    if (writes) bytes[2 * page] = static_cast<char>(20 + me());
  });

  found({"atomic and plain use of a word", "node 1 (through a dsm::Atomic)", "node 2 (sent home by",
         "wrote 1 bytes", "page 3 of its region, offset 9,", "no barrier of the job between"},
        [&] {
          auto* const word = reinterpret_cast<std::uint64_t*>(&bytes[3 * page + 8]);
          if (me() == 1) dsm::Atomic(*word).fetch_add(std::uint64_t{1} << 32);
          if (me() == 2) bytes[3 * page + 9] = 1;
        });
}

// Everything that orders writes: nothing is said.
void silent() {
  ::setenv("DSM_DEBUG", "1", 1);
  dsm::Session session;
  auto words = dsm::allocate<std::uint64_t>(64, dsm::Placement::on(0));
  auto happened = dsm::allocate<std::uint64_t>(64, dsm::Placement::on(0), dsm::Policy::release);
  const auto self = static_cast<std::uint64_t>(me());
  dsm::Lock lock(7), other(8);
  dsm::SharedLock shared(9);
  heard_at_home({}, [&] {
    // A lock, by all; and one held through a barrier.
    for (int i = 0; i < 30; ++i) {
      const std::scoped_lock hold(lock);
      ++words[0];
    }
    if (me() == nodes() - 1) other.lock();
    dsm::barrier();
    if (me() == nodes() - 1) {
      ++words[1];
      other.unlock();
    }
    for (int i = 0; i < 10; ++i) {
      const std::scoped_lock hold(other);
      ++words[1];
    }
    // Barriers, of all and of teams; behind each another node writes.
    for (std::uint64_t round = 0; round < 12; ++round) {
      words[8 + (self + round) % static_cast<std::uint64_t>(nodes())] = round + 1;
      dsm::barrier();
    }
    const dsm::Team team = dsm::Team::split(me() % 2);
    for (int round = 0; round < 6; ++round) {
      if (team.rank() == round % team.size()) ++words[16 + self % 2];
      team.barrier();
    }
    dsm::barrier();
    // Writers of a shared lock, and readers' own words, which the next writer changes too.
    for (int i = 0; i < 12; ++i) {
      if (i % 3 == me() % 3) {
        const std::scoped_lock hold(shared);
        for (std::uint64_t n = 0; n < 8; ++n) ++words[24 + n];
      } else {
        shared.lock_shared();
        ++words[24 + self];
        shared.unlock_shared();
      }
    }
    // Along a chain of nodes: the next one hears of the byte by a lock under which it was not
    // written.
    for (bool mine = false; !mine;) {
      const std::scoped_lock hold(lock);
      mine = happened[0] == self;
    }
    happened[32] += self;
    {
      const std::scoped_lock hold(lock);
      happened[0] = self + 1;
    }
    // Atomic before a barrier and plain behind it.
    dsm::Atomic(words[40]).fetch_add(1);
    dsm::barrier();
    if (me() == nodes() - 1) ++words[40];
  });
  same(words[0], 30u * static_cast<std::uint64_t>(nodes()), "what the lock guards");
  same(words[40], static_cast<std::uint64_t>(nodes()) + 1, "atomic, then plain");
}

}  // namespace

int main(int argc, char** argv) {
  return run(argc, argv, {{"told", told, false}, {"silent", silent, false}});
}
