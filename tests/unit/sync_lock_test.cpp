// sync::Lock and sync::LockQueue: who may go next, on one node and between nodes whose messages
// overtake one another.
#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "sync/lock.hpp"

namespace dsm::sync {
namespace {

TEST(Lock, TheManagersTokenIsFreeAtOnce) {
  Lock lock(true);
  const LockStep step = lock.acquire(Ticket(7));
  EXPECT_EQ(step.holder, Ticket(7));
  EXPECT_FALSE(step.ask);
  EXPECT_EQ(lock.state(), LockState::held);
}

TEST(Lock, AsksOnceForManyWaiters) {
  Lock lock;
  EXPECT_TRUE(lock.acquire(Ticket(1)).ask);
  EXPECT_FALSE(lock.acquire(Ticket(2)).ask);
  lock.granted();
  EXPECT_EQ(lock.entered().holder, Ticket(1));
  EXPECT_EQ(lock.release().holder, Ticket(2));
  EXPECT_EQ(lock.release(), LockStep{});
  EXPECT_EQ(lock.state(), LockState::idle);
}

TEST(Lock, TryDoesNotWait) {
  Lock away, here(true);
  EXPECT_FALSE(away.try_acquire(Ticket(1)));
  EXPECT_EQ(away.state(), LockState::away);
  EXPECT_TRUE(here.try_acquire(Ticket(1)));
  EXPECT_FALSE(here.try_acquire(Ticket(2)));
}

TEST(Lock, AnIdleTokenLeavesAtOnceAndAHeldOneAtItsRelease) {
  Lock idle(true);
  EXPECT_TRUE(idle.forwarded(NodeId(3)).leave);
  EXPECT_EQ(idle.leaving_to(), NodeId(3));
  EXPECT_EQ(idle.left(), LockStep{});
  EXPECT_EQ(idle.state(), LockState::away);

  Lock held(true);
  held.acquire(Ticket(1));
  EXPECT_EQ(held.forwarded(NodeId(3)), LockStep{});
  EXPECT_TRUE(held.release().leave);
}

TEST(Lock, OnLoanItComesBackBeforeAnyoneElseHasIt) {
  Lock lock(true);
  lock.lend();
  EXPECT_EQ(lock.state(), LockState::lent);
  EXPECT_FALSE(lock.try_acquire(Ticket(1))) << "the caller tried the loan before it asked";
  const LockStep asked = lock.acquire(Ticket(2));
  EXPECT_TRUE(asked.recall);
  EXPECT_FALSE(asked.holder);
  EXPECT_EQ(lock.forwarded(NodeId(3)), LockStep{}) << "it is recalled once";
  EXPECT_EQ(lock.returned(true), LockStep{});
  EXPECT_TRUE(lock.is_held());
  EXPECT_EQ(lock.release().holder, Ticket(2));
  EXPECT_TRUE(lock.release().leave);

  Lock free(true);
  free.lend();
  EXPECT_TRUE(free.forwarded(NodeId(3)).recall);
  EXPECT_TRUE(free.returned(false).leave);
}

// The thread that has it on loan finds it recalled, and says that it is done before anyone says
// that it holds it.
TEST(Lock, AReleaseMayComeBeforeTheLoanIsBack) {
  Lock lock(true);
  lock.lend();
  EXPECT_TRUE(lock.acquire(Ticket(2)).recall);
  EXPECT_TRUE(lock.is_held());
  EXPECT_EQ(lock.release(), LockStep{});
  EXPECT_FALSE(lock.is_held());
  EXPECT_EQ(lock.returned(true).holder, Ticket(2));
}

// The manager's forward may overtake the grant that it is about.
TEST(Lock, AForwardBeforeTheGrantWaitsForIt) {
  Lock lock;
  lock.acquire(Ticket(1));
  EXPECT_EQ(lock.forwarded(NodeId(2)), LockStep{});
  lock.granted();
  EXPECT_EQ(lock.entered().holder, Ticket(1));  // whoever it was brought for is served first
  EXPECT_TRUE(lock.release().leave);
}

TEST(Lock, WhoeverComesWhileTheTokenLeavesAsksAgain) {
  Lock lock(true);
  EXPECT_TRUE(lock.forwarded(NodeId(2)).leave);
  EXPECT_EQ(lock.acquire(Ticket(1)), LockStep{});
  EXPECT_TRUE(lock.left().ask);
  EXPECT_EQ(lock.state(), LockState::asked);
}

TEST(Lock, AnotherNodeIsNotStarvedByThreadsOfThisOne) {
  Lock lock(true);
  lock.acquire(Ticket(0));
  for (std::uint64_t t = 1; t <= 20; ++t) lock.acquire(Ticket(t));
  lock.forwarded(NodeId(1));
  std::uint32_t turns = 0;
  while (!lock.release().leave) ++turns;
  EXPECT_EQ(turns, local_turns_max);
}

TEST(Lock, WhoHasWaitedLongEnoughGoesAndTheOthersStay) {
  Lock lock;
  lock.acquire(Ticket(1));
  lock.acquire(Ticket(2));
  EXPECT_TRUE(lock.cancel(Ticket(1)));
  EXPECT_FALSE(lock.cancel(Ticket(1)));
  lock.granted();
  EXPECT_EQ(lock.entered().holder, Ticket(2));
  EXPECT_FALSE(lock.cancel(Ticket(2))) << "it holds the lock";
}

TEST(Lock, ATokenThatComesForNobodyStaysOrGoesOn) {
  for (const bool wanted_elsewhere : {false, true}) {
    Lock lock;
    lock.acquire(Ticket(1));
    if (wanted_elsewhere) lock.forwarded(NodeId(2));
    EXPECT_TRUE(lock.cancel(Ticket(1)));
    lock.granted();
    EXPECT_EQ(lock.entered().leave, wanted_elsewhere);
    EXPECT_EQ(lock.state(), wanted_elsewhere ? LockState::leaving : LockState::idle);
  }
}

TEST(Lock, NobodyAsksAgainForOneWhoGaveUpWhileTheTokenLeft) {
  Lock lock(true);
  lock.forwarded(NodeId(2));
  lock.acquire(Ticket(1));
  EXPECT_TRUE(lock.cancel(Ticket(1)));
  EXPECT_EQ(lock.left(), LockStep{});
  EXPECT_EQ(lock.state(), LockState::away);
}

// n nodes, messages delivered in any order: everyone gets the lock, one at a time.
TEST(Lock, EveryoneIsServedWhateverOvertakesWhat) {
  struct Message {
    enum { request, forward, grant } kind;
    std::uint32_t to, who;
  };
  for (std::uint32_t seed = 0; seed < 500; ++seed) {
    std::mt19937 random(seed);
    const std::uint32_t nodes = 2 + seed % 5, each = 4;
    std::vector<Lock> locks(nodes);
    locks[0] = Lock(true);
    LockQueue queue(NodeId(0));
    std::vector<Message> wire;
    std::vector<std::uint32_t> wanted(nodes, each);
    std::uint32_t taken = 0, holders = 0;
    const auto obey = [&](std::uint32_t node, LockStep step) {
      if (step.ask) wire.push_back({Message::request, 0, node});
      if (step.holder) {
        ++taken;
        ASSERT_EQ(++holders, 1u);
      }
      if (step.leave) {
        wire.push_back({Message::grant, locks[node].leaving_to().value, 0});
        if (locks[node].left().ask) wire.push_back({Message::request, 0, node});
      }
    };
    for (int guard = 0; guard < 100000 && (taken < nodes * each || holders > 0); ++guard) {
      const std::uint32_t node = static_cast<std::uint32_t>(random()) % nodes;
      if (random() % 3 != 0 && !wire.empty()) {
        std::swap(wire[random() % wire.size()], wire.back());
        const Message m = wire.back();
        wire.pop_back();
        if (m.kind == Message::request) {
          wire.push_back({Message::forward, queue.append(NodeId(m.who)).value, m.who});
        } else if (m.kind == Message::forward) {
          obey(m.to, locks[m.to].forwarded(NodeId(m.who)));
        } else {
          locks[m.to].granted();
          obey(m.to, locks[m.to].entered());
        }
      } else if (locks[node].state() == LockState::held) {
        --holders;
        obey(node, locks[node].release());
      } else if (wanted[node] > 0) {
        obey(node, locks[node].acquire(Ticket(wanted[node]--)));
      }
    }
    ASSERT_EQ(taken, nodes * each) << "seed " << seed;
  }
}

}  // namespace
}  // namespace dsm::sync
