#include "model/litmus.hpp"

#include <algorithm>

namespace dsm::sim {
namespace {

using core::Policy;

// Each page has another home. Readers have copies of what they are going to read, so that an
// outcome is the policy's doing and not a fetch's.

// Data and flag in one scope.
Script message_in_a_scope(Policy policy) {
  Script s(2, {0, 1}, 1, policy);
  s.node(1).observe(0, 0, 2);
  s.join_all();
  s.node(0).acquire(0).set(0, 0, 1).set(1, 0, 1).release(0);
  s.node(1).acquire(0).observe(1, 0, 0).observe(0, 0, 1).release(0);
  return s;
}

// Data under lock 0, which node 2 wants too, then the flag under lock 1; the reader takes lock 1
// alone.
Script message_by_a_flag(Policy policy) {
  Script s(3, {0, 1}, 2, policy);
  s.node(1).observe(0, 0, 2);
  s.join_all();
  s.node(0).acquire(0).set(0, 0, 1).release(0).acquire(1).set(1, 0, 1).release(1);
  s.node(2).acquire(0).release(0);
  s.node(1).acquire(1).observe(1, 0, 0).release(1).observe(0, 0, 1);
  return s;
}

// Data under one lock, the flag under another; the reader takes both.
Script message_through_two_locks(Policy policy) {
  Script s(2, {0, 1}, 2, policy);
  s.node(1).observe(0, 0, 2);
  s.join_all();
  s.node(0).acquire(0).set(0, 0, 1).release(0).acquire(1).set(1, 0, 1).release(1);
  s.node(1).acquire(1).observe(1, 0, 0).release(1).acquire(0).observe(0, 0, 1).release(0);
  return s;
}

// Node 0 tells node 1 by lock 0, node 1 tells node 2 by lock 1.
Script told_by_a_third(Policy policy) {
  Script s(3, {0, 1, 2}, 2, policy);
  s.node(2).observe(0, 0, 3);
  s.join_all();
  s.node(0).acquire(0).set(0, 0, 1).set(1, 0, 1).release(0);
  s.node(1).acquire(0).observe(1, 0, 0).release(0).acquire(1).set(2, 0, 1).release(1);
  s.node(2).acquire(1).observe(2, 0, 1).release(1).observe(0, 0, 2);
  return s;
}

// Each node stores to one word and loads the other's.
Script store_buffering(Policy policy) {
  Script s(2, {0, 1}, 1, policy);
  s.node(0).observe(1, 0, 2);
  s.node(1).observe(0, 0, 3);
  s.join_all();
  s.node(0).set(0, 0, 1).observe(1, 0, 0);
  s.node(1).set(1, 0, 1).observe(0, 0, 1);
  return s;
}

// Two readers see two independent writes in different orders.
Script independent_reads(Policy policy) {
  Script s(4, {0, 1}, 1, policy);
  s.node(2).observe(1, 0, 4);
  s.node(3).observe(0, 0, 5);
  s.join_all();
  s.node(0).set(0, 0, 1);
  s.node(1).set(1, 0, 1);
  s.node(2).observe(0, 0, 0).observe(1, 0, 1);
  s.node(3).observe(1, 0, 2).observe(0, 0, 3);
  return s;
}

// Neighbouring bytes of one page, written by two nodes under two locks.
Script false_sharing(Policy policy) {
  Script s(2, {0}, 2, policy);
  s.node(0).acquire(0).set(0, 0, 1).release(0);
  s.node(1).acquire(1).set(0, 1, 1).release(1);
  s.join_all();
  s.node(0).observe(0, 1, 0);
  s.node(1).observe(0, 0, 1);
  return s;
}

// The same word and the same barrier, round after round.
Script barrier_reuse(Policy policy) {
  Script s(2, {0}, 1, policy);
  for (std::uint8_t round = 0; round < 2; ++round) {
    s.node(round % 2u).set(0, 0, static_cast<std::uint8_t>(round + 1));
    s.join_all();
    s.node(1 - round % 2u).observe(0, 0, round);
    s.join_all();
  }
  return s;
}

// The waiter gives the lock away; whoever gets it changes what was waited for, and says so.
Script lost_wake_up(Policy policy) {
  Script s(2, {0, 1}, 1, policy);
  s.node(1).observe(0, 0, 1);
  s.join_all();
  s.node(1).acquire(0).wait(0).observe(0, 0, 0).release(0);
  s.node(0).await_waits(1).acquire(0).set(0, 0, 1).notify_one().release(0);
  return s;
}

// A writer alone, then a reader that shares the lock.
Script message_under_a_shared_lock(Policy policy) {
  Script s(2, {0, 1}, 1, policy);
  s.node(1).observe(0, 0, 2);
  s.join_all();
  s.node(0).lock_exclusive(0).set(0, 0, 1).set(1, 0, 1).unlock_exclusive(0);
  s.node(1).lock_shared(0).observe(1, 0, 0).observe(0, 0, 1).unlock_shared(0);
  return s;
}

// Two of three nodes meet.
Script message_by_a_team(Policy policy) {
  Script s(3, {0}, 1, policy);
  const std::uint32_t team = s.team({0, 1});
  s.node(1).observe(0, 0, 1);
  s.join_all();
  s.node(0).set(0, 0, 1).team_join(team);
  s.node(1).team_join(team).observe(0, 0, 0);
  return s;
}

const std::vector<Policy> all{Policy::scope, Policy::release, Policy::sequential};
const std::vector<Policy> stronger{Policy::release, Policy::sequential};
const std::vector<Policy> strongest{Policy::sequential};

}  // namespace

bool Litmus::forbidden(Policy policy) const {
  return std::find(forbidden_by.begin(), forbidden_by.end(), policy) != forbidden_by.end();
}

const std::vector<Litmus>& litmus_tests() {
  static const std::vector<Litmus> list = {
      {"message in a scope", "r0=1 r1=0", [](const Registers& r) { return r[0] == 1 && r[1] == 0; },
       all, message_in_a_scope},
      {"message through two locks", "r0=1 r1=0",
       [](const Registers& r) { return r[0] == 1 && r[1] == 0; }, all, message_through_two_locks},
      {"message by a flag", "r0=1 r1=0", [](const Registers& r) { return r[0] == 1 && r[1] == 0; },
       stronger, message_by_a_flag},
      {"told by a third", "r0=1 r1=1 r2=0",
       [](const Registers& r) { return r[0] == 1 && r[1] == 1 && r[2] == 0; }, stronger,
       told_by_a_third},
      {"store buffering", "r0=0 r1=0", [](const Registers& r) { return r[0] == 0 && r[1] == 0; },
       strongest, store_buffering},
      {"independent reads", "r0=1 r1=0 r2=1 r3=0",
       [](const Registers& r) { return r[0] == 1 && r[1] == 0 && r[2] == 1 && r[3] == 0; },
       strongest, independent_reads},
      {"false sharing", "r0=0 or r1=0", [](const Registers& r) { return r[0] == 0 || r[1] == 0; },
       all, false_sharing},
      {"barrier reuse", "not r0=1 r1=2", [](const Registers& r) { return r[0] != 1 || r[1] != 2; },
       all, barrier_reuse},
      {"lost wake-up", "for ever, or r0=0", [](const Registers& r) { return r[0] == 0; }, all,
       lost_wake_up},
      {"message under a shared lock", "r0=1 r1=0",
       [](const Registers& r) { return r[0] == 1 && r[1] == 0; }, all, message_under_a_shared_lock},
      {"message by a team", "r0=0", [](const Registers& r) { return r[0] == 0; }, all,
       message_by_a_team},
  };
  return list;
}

const std::vector<Policy>& litmus_policies() {
  return all;
}

const char* name_of(Policy policy) {
  switch (policy) {
    case Policy::scope:
      return "scope";
    case Policy::release:
      return "release";
    case Policy::bound:
      return "bound";
    case Policy::sequential:
      return "sequential";
  }
  return "?";
}

}  // namespace dsm::sim
