// sync::SharedLock and sync::SharedQueue: readers together, writers alone, on one node and between
// nodes whose messages overtake one another.
#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "sync/shared_lock.hpp"

namespace dsm::sync {
namespace {

using Holders = std::vector<Ticket>;

SharedLock with(Mode mode) {
  SharedLock lock;
  SharedStep step;
  lock.try_acquire(mode, step);  // asks
  lock.granted(mode, 1);
  lock.entered();
  return lock;
}

TEST(SharedLock, APermissionIsKeptAndTakenAgainWithoutAMessage) {
  SharedLock lock;
  EXPECT_EQ(lock.acquire(Ticket(1), Mode::shared).ask, Mode::shared);
  lock.granted(Mode::shared, 1);
  EXPECT_EQ(lock.entered().holders, Holders{Ticket(1)});
  EXPECT_EQ(lock.release(Mode::shared), SharedStep{});
  EXPECT_EQ(lock.acquire(Ticket(2), Mode::shared).holders, Holders{Ticket(2)});
  EXPECT_EQ(lock.acquire(Ticket(3), Mode::shared).holders, Holders{Ticket(3)});
}

TEST(SharedLock, AReaderWaitsBehindAWriterThatWaits) {
  SharedLock lock = with(Mode::exclusive);
  lock.acquire(Ticket(1), Mode::shared);
  EXPECT_EQ(lock.acquire(Ticket(2), Mode::exclusive), SharedStep{});
  EXPECT_EQ(lock.acquire(Ticket(3), Mode::shared), SharedStep{});
  SharedStep step;
  EXPECT_FALSE(lock.try_acquire(Mode::shared, step));
  EXPECT_EQ(lock.release(Mode::shared).holders, Holders{Ticket(2)});
  EXPECT_EQ(lock.release(Mode::exclusive).holders, Holders{Ticket(3)});
}

TEST(SharedLock, WhenAWriterGivesUpTheReadersBehindItGoOn) {
  SharedLock lock = with(Mode::exclusive);
  lock.acquire(Ticket(1), Mode::shared);
  lock.acquire(Ticket(2), Mode::exclusive);
  lock.acquire(Ticket(3), Mode::shared);
  SharedStep step;
  EXPECT_TRUE(lock.cancel(Ticket(2), step));
  EXPECT_EQ(step.holders, Holders{Ticket(3)});
  EXPECT_FALSE(lock.cancel(Ticket(3), step)) << "it holds the lock";
}

TEST(SharedLock, ARevocationMayOvertakeItsPermission) {
  SharedLock lock;
  lock.acquire(Ticket(1), Mode::shared);
  EXPECT_EQ(lock.revoked(7), SharedStep{});
  lock.granted(Mode::shared, 7);
  EXPECT_EQ(lock.entered().holders, Holders{Ticket(1)}) << "whom it was brought for is served";
  EXPECT_TRUE(lock.release(Mode::shared).leave);
}

// The revocation is of what the node is about to get, not of what it has.
TEST(SharedLock, ARevocationOfAnUpgradeLeavesTheReaders) {
  SharedLock lock = with(Mode::shared);
  EXPECT_EQ(lock.acquire(Ticket(2), Mode::exclusive).ask, Mode::exclusive);
  EXPECT_FALSE(lock.revoked(2).leave);
  lock.granted(Mode::exclusive, 2);
  EXPECT_EQ(lock.entered().holders, Holders{Ticket(2)});
  EXPECT_TRUE(lock.release(Mode::exclusive).leave);
}

TEST(SharedLock, ThreadsOfOneNodeDoNotKeepARevokedPermission) {
  SharedLock lock = with(Mode::exclusive);
  for (std::uint64_t t = 0; t < 20; ++t) lock.acquire(Ticket(t), Mode::exclusive);
  EXPECT_FALSE(lock.revoked(1).leave);
  std::uint32_t turns = 0;
  while (!lock.release(Mode::exclusive).leave) ++turns;
  EXPECT_EQ(turns, revoked_turns_max);
}

TEST(SharedQueue, ASoleReaderBecomesTheWriterAtOnce) {
  SharedQueue queue;
  queue.ask(NodeId(1), Mode::shared, 1);
  const SharedOrders orders = queue.ask(NodeId(1), Mode::exclusive, 2);
  EXPECT_TRUE(orders.revokes.empty());
  ASSERT_EQ(orders.grants.size(), 1u);
  EXPECT_EQ(queue.holders().size(), 1u);
}

TEST(SharedQueue, AReaderBehindAWriterWaits) {
  SharedQueue queue;
  queue.ask(NodeId(1), Mode::shared, 1);
  EXPECT_EQ(queue.ask(NodeId(2), Mode::exclusive, 1).revokes.size(), 1u);
  EXPECT_TRUE(queue.ask(NodeId(3), Mode::shared, 1).grants.empty());
  const SharedOrders orders = queue.returned(NodeId(1));
  ASSERT_EQ(orders.grants.size(), 1u);
  EXPECT_EQ(orders.grants[0].to, NodeId(2));
  EXPECT_EQ(orders.revokes.size(), 1u) << "for the reader that waits";
}

TEST(SharedLock, WhoGivesUpWithdrawsWhatNobodyElseHereWants) {
  SharedLock lock = with(Mode::shared);
  lock.acquire(Ticket(1), Mode::exclusive);
  lock.acquire(Ticket(2), Mode::exclusive);
  const std::uint64_t request = lock.requests();
  SharedStep step;
  EXPECT_TRUE(lock.cancel(Ticket(1), step));
  EXPECT_FALSE(step.withdraw) << "another waits for it";
  EXPECT_TRUE(lock.cancel(Ticket(2), step));
  EXPECT_TRUE(step.withdraw);
  // Whoever wants it now asks again, when it is known that it will not come.
  EXPECT_EQ(lock.acquire(Ticket(3), Mode::exclusive), SharedStep{});
  EXPECT_EQ(lock.withdrawn(request).ask, Mode::exclusive);
  EXPECT_EQ(lock.requests(), request + 1);
}

TEST(SharedLock, AGrantThatCrossesAWithdrawalIsKept) {
  SharedLock lock;
  lock.acquire(Ticket(1), Mode::exclusive);
  SharedStep step;
  EXPECT_TRUE(lock.cancel(Ticket(1), step));
  EXPECT_TRUE(step.withdraw);
  lock.granted(Mode::exclusive, 1);
  EXPECT_EQ(lock.entered(), SharedStep{});
  EXPECT_EQ(lock.acquire(Ticket(2), Mode::shared).holders, Holders{Ticket(2)});
}

TEST(SharedQueue, AWithdrawnWriterLetsTheReadersBehindItIn) {
  SharedQueue queue;
  queue.ask(NodeId(1), Mode::shared, 1);
  queue.ask(NodeId(2), Mode::exclusive, 1);
  EXPECT_TRUE(queue.ask(NodeId(3), Mode::shared, 1).grants.empty());
  const SharedOrders orders = queue.withdraw(NodeId(2), 1);
  EXPECT_TRUE(orders.withdrawn);
  ASSERT_EQ(orders.grants.size(), 1u);
  EXPECT_EQ(orders.grants[0].to, NodeId(3));
}

TEST(SharedQueue, AWithdrawalMayOvertakeItsRequest) {
  SharedQueue queue;
  queue.ask(NodeId(1), Mode::shared, 1);
  EXPECT_FALSE(queue.withdraw(NodeId(2), 1).withdrawn);
  const SharedOrders orders = queue.ask(NodeId(2), Mode::exclusive, 1);
  EXPECT_TRUE(orders.withdrawn);
  EXPECT_TRUE(orders.revokes.empty());
  EXPECT_EQ(queue.waiting(), 0u);
  // One that comes when its request has been granted is of no consequence.
  EXPECT_EQ(queue.ask(NodeId(3), Mode::shared, 1).grants.size(), 1u);
  EXPECT_FALSE(queue.withdraw(NodeId(3), 1).withdrawn);
  queue.ask(NodeId(3), Mode::exclusive, 2);
  EXPECT_EQ(queue.waiting(), 1u);
}

// n nodes, messages delivered in any order: everyone gets the lock or gives up, writers alone.
TEST(SharedLock, EveryoneIsServedWhateverOvertakesWhat) {
  struct Message {
    enum { request, withdraw, withdrawn, grant, revoke, give_back } kind;
    std::uint32_t node = 0;
    Mode mode = Mode::none;
    std::uint64_t number = 0;
  };
  for (std::uint32_t seed = 0; seed < 500; ++seed) {
    std::mt19937 random(seed);
    const std::uint32_t nodes = 2 + seed % 4, each = 5;
    std::vector<SharedLock> locks(nodes);
    SharedQueue queue;
    std::vector<Message> wire;
    std::vector<std::uint32_t> wanted(nodes, each);
    std::uint32_t taken = 0, readers = 0, writers = 0;
    std::vector<Mode> mode_of(nodes * each);
    const auto obey = [&](std::uint32_t node, SharedStep step) {
      for (bool more = true; more;) {
        more = false;
        if (step.ask != Mode::none)
          wire.push_back({Message::request, node, step.ask, locks[node].requests()});
        if (step.withdraw)
          wire.push_back({Message::withdraw, node, Mode::none, locks[node].requests()});
        for (const Ticket t : step.holders) {
          ++taken;
          ++(mode_of[t.value] == Mode::exclusive ? writers : readers);
          ASSERT_TRUE(writers == 0 || (writers == 1 && readers == 0)) << "seed " << seed;
        }
        if (step.leave) {
          wire.push_back({Message::give_back, node, Mode::none, 0});
          step = locks[node].left();
          more = true;
        }
      }
    };
    const auto order = [&](const SharedOrders& orders) {
      for (const auto& r : orders.revokes)
        wire.push_back({Message::revoke, r.from.value, Mode::none, r.number});
      for (const auto& g : orders.grants)
        wire.push_back({Message::grant, g.to.value, g.mode, g.number});
    };
    for (int guard = 0; guard < 100000 && (taken < nodes * each || readers + writers > 0);
         ++guard) {
      const std::uint32_t node = static_cast<std::uint32_t>(random()) % nodes;
      if (random() % 3 != 0 && !wire.empty()) {
        std::swap(wire[random() % wire.size()], wire.back());
        const Message m = wire.back();
        wire.pop_back();
        switch (m.kind) {
          case Message::request:
          case Message::withdraw: {
            const SharedOrders orders = m.kind == Message::request
                                            ? queue.ask(NodeId(m.node), m.mode, m.number)
                                            : queue.withdraw(NodeId(m.node), m.number);
            if (orders.withdrawn)
              wire.push_back({Message::withdrawn, m.node, Mode::none, m.number});
            order(orders);
            break;
          }
          case Message::withdrawn:
            obey(m.node, locks[m.node].withdrawn(m.number));
            break;
          case Message::grant:
            locks[m.node].granted(m.mode, m.number);
            obey(m.node, locks[m.node].entered());
            break;
          case Message::revoke:
            obey(m.node, locks[m.node].revoked(m.number));
            break;
          case Message::give_back:
            order(queue.returned(NodeId(m.node)));
            break;
        }
      } else if (random() % 2 == 0 && wanted[node] > 0) {
        const std::uint32_t who = node * each + --wanted[node];
        mode_of[who] = random() % 2 == 0 ? Mode::shared : Mode::exclusive;
        obey(node, locks[node].acquire(Ticket(who), mode_of[who]));
      } else if (random() % 8 == 0) {
        SharedStep step;
        const auto who = static_cast<std::uint32_t>(node * each + random() % each);
        if (!locks[node].cancel(Ticket(who), step)) continue;
        ++taken;  // it has had its turn
        obey(node, step);
      } else {
        for (const Mode mode : {Mode::shared, Mode::exclusive}) {
          if (!locks[node].holds(mode)) continue;
          --(mode == Mode::exclusive ? writers : readers);
          obey(node, locks[node].release(mode));
          break;
        }
      }
      ASSERT_EQ(queue.broken_invariant(), "");
      ASSERT_EQ(locks[node].broken_invariant(), "");
    }
    EXPECT_EQ(taken, nodes * each) << "seed " << seed;
  }
}

}  // namespace
}  // namespace dsm::sync
