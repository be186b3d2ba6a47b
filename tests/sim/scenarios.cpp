#include "sim/scenarios.hpp"

#include <utility>

namespace dsm::sim {
namespace {

using core::Bug;

// Lock 0 has its manager at node 0, lock 1 at node 1. Page 0 has its home at node 0 and so on,
// unless the script says otherwise.

Program home_writes_while_a_reader_comes() {
  Script s(2, {0});
  s.node(0).acquire(0).write(0, 0, 8).release(0).acquire(0).write(0, 0, 8).release(0);
  s.node(1).read(0, 32, 1).acquire(0).read(0, 0, 8).release(0).acquire(0).read(0, 0, 8).release(0);
  return s.finish();
}

// The reader's mark is younger than the writer's scope and older than its end; the page was private
// when it was written.
Program a_page_becomes_shared_within_a_scope() {
  Script s(2, {0});
  s.node(0).acquire(0).write(0, 0, 8).write(0, 8, 8).write(0, 0, 8).release(0);
  s.node(1).read(0, 32, 1).acquire(0).read(0, 0, 8).read(0, 8, 8).release(0);
  return s.finish();
}

// Two threads of node 1 write one page under two locks; the first lock's flush of the page has
// begun, and its write protection has not taken hold, when the second thread's scope opens.
Program a_scope_opens_while_a_flush_begins() {
  Script s(3, {0});
  s.node(1, 0);
  s.node(1, 1);
  s.node(0).read(0, 32, 1).acquire(0).read(0, 0, 8).release(0).acquire(0).read(0, 0, 8).release(0);
  s.node(1, 0).acquire(0).write(0, 0, 8).release(0).acquire(0).write(0, 0, 8).release(0);
  s.node(1, 1).acquire(1).write(0, 8, 8).release(1).acquire(1).write(0, 8, 8).release(1);
  s.node(2)
      .acquire(1)
      .read(0, 8, 8)
      .release(1)
      .acquire(1)
      .read(0, 8, 8)
      .release(1)
      .acquire(1)
      .read(0, 8, 8)
      .release(1);
  return s.finish();
}

// Thread 0 of node 1 has trapped and its page is being made writable; thread 1 writes to it before
// anyone hears that it is.
Program another_thread_writes_through_an_opening() {
  Script s(2, {0});
  s.node(1, 0);
  s.node(1, 1);
  s.node(0).acquire(0).read(0, 8, 8).release(0).acquire(0).read(0, 8, 8).release(0);
  s.node(1, 0).acquire(1).write(0, 0, 8).release(1).acquire(1).write(0, 0, 8).release(1);
  s.node(1, 1).acquire(0).write(0, 8, 8).release(0).acquire(0).write(0, 8, 8).release(0);
  return s.finish();
}

// Home and writer store to bytes of one word.
Program two_nodes_write_one_word() {
  Script s(2, {0});
  for (int i = 0; i < 4; ++i) {
    s.node(0).acquire(0).write(0, 0, 1).release(0);
    s.node(1).acquire(1).write(0, 1, 1).release(1);
  }
  return s.finish();
}

// The same page is flushed twice, and a scope opens between: both flushes must be in the log.
Program a_scope_opens_between_two_flushes() {
  Script s(2, {1});
  s.node(1, 0);
  s.node(1, 1);
  for (int i = 0; i < 3; ++i) {
    s.node(0).acquire(0).read(0, 0, 8).write(0, 0, 8).release(0);
    s.node(1, 0).acquire(0).read(0, 0, 8).write(0, 0, 8).release(0);
    s.node(1, 1).acquire(1).write(0, 8, 8).release(1);
  }
  s.node(0).acquire(1).read(0, 8, 8).release(1);
  return s.finish();
}

// A waiter and a notifier that counts it under the lock; the condition's manager is a third node.
Program a_waiter_is_notified_under_the_lock() {
  Script s(3, {0});
  for (std::uint32_t round = 1; round <= 6; ++round) {
    s.node(1).acquire(1).wait(1).release(1);
    s.node(2).await_waits(round).acquire(1).notify_one().release(1);
  }
  return s.finish();
}

// One of two waiters has a time-out, which the only notification may cross: it then passes it on.
Program a_notification_crosses_a_time_out() {
  Script s(3, {0});
  for (std::uint32_t round = 1; round <= 6; ++round) {
    s.node(1).acquire(1).wait(1, 8000, 1).notify_one().release(1).arrive();
    s.node(2).acquire(1).wait(1).release(1).arrive();
    s.node(0).await_waits(2 * round).acquire(1).notify_one().release(1).arrive();
  }
  return s.finish();
}

// All wait, some of them for a while; what is written before the notification is seen behind it.
Program many_wait_for_one() {
  Script s(4, {0, 1});
  for (std::uint32_t round = 1; round <= 4; ++round) {
    for (std::uint32_t node = 1; node < 4; ++node) {
      s.node(node).acquire(0).wait(0, node == 3 ? 6000 : 0).read(1, 8, 8).release(0).arrive();
    }
    s.node(0).await_waits(3 * round).acquire(0).write(1, 8, 8).notify_all().release(0).arrive();
  }
  return s.finish();
}

// Node 2 is first out of a barrier of the job and in its team's with node 0, which is still in the
// former: what node 2 wrote before is told by that one alone.
Program a_team_overtakes_a_barrier() {
  Script s(3, {1});
  const std::uint32_t team = s.team({0, 2});
  s.node(0, 0);
  s.node(0, 1).read(0, 56, 1);
  for (std::uint32_t word = 0; word < 6; ++word) {
    s.node(0, 0).arrive();
    s.node(0, 1).team_arrive(team).read(0, 8 * word, 8).team_arrive(team);
    s.node(1).arrive();
    s.node(2).write(0, 8 * word, 8).arrive().team_arrive(team).team_arrive(team);
  }
  return s.finish();
}

// As ABarrierTellsOfADiffUnderWay, of a team: the threads of node 1 meet before the second barrier,
// so that what the other one wrote is written before it.
Program a_team_tells_of_a_diff_under_way() {
  Script s(3, {0, 0});
  const std::uint32_t team = s.team({1, 2});
  s.node(1, 0);
  s.node(1, 1);
  s.node(2).read(0, 56, 1);
  for (std::uint32_t round = 0; round < 24; ++round) {
    const std::uint32_t at = 8 * (round % 6);
    s.node(1, 0).write(1, at, 8).team_arrive(team).team_join(team);
    s.node(1, 1).acquire(0).write(0, at, 8).release(0).team_join(team);
    s.node(0).acquire(0).release(0).acquire(1).release(1).acquire(0).release(0);
    s.node(2).team_arrive(team).read(0, 56, 1).team_join(team).read(0, at, 8);
  }
  return s.finish();
}

// Node 2 is first out of a barrier and hands its lock to node 0, which is still in it: what node 2
// wrote before is told by the barrier alone, no longer by the token.
Program a_token_overtakes_a_barrier() {
  Script s(3, {1});
  s.node(0, 0);
  s.node(0, 1);
  s.node(0, 0).read(0, 32, 1).arrive();
  s.node(0, 1)
      .acquire(0)
      .read(0, 8, 8)
      .release(0)
      .acquire(0)
      .read(0, 8, 8)
      .release(0)
      .acquire(0)
      .read(0, 8, 8)
      .release(0);
  s.node(1).arrive();
  s.node(2).acquire(0).write(0, 8, 8).release(0).arrive();
  return s.finish();
}

// Node 1 arrives with nothing unsent of page 0; then its other thread writes page 0 and the diff is
// still under way when node 1's part of the barrier leaves. Node 2 hears of page 0 at the barrier,
// fetches it too early, and must hear of it again by the lock.
Program a_barrier_tells_of_a_diff_under_way() {
  Script s(3, {0, 0});
  s.node(1, 0);
  s.node(1, 1);
  s.node(1, 0).write(1, 0, 8).arrive();
  for (int i = 0; i < 3; ++i)
    s.node(1, 1).acquire(0).write(0, 0, 8).release(0).acquire(1).write(0, 16, 1).release(1);
  s.node(0).acquire(1).release(1).arrive().acquire(1).release(1);
  s.node(2).read(0, 32, 1).acquire(1).release(1).arrive().read(0, 32, 1);
  s.node(2).acquire(0).read(0, 0, 8).release(0).acquire(0).read(0, 0, 8).release(0);
  return s.finish();
}

// Node 1 is back at the page behind a barrier that its home, node 0, has not left, though it reads
// its marks for a lock meanwhile.
Program a_reader_is_back_before_the_home_leaves() {
  Script s(3, {0});
  s.node(0, 0);
  s.node(0, 1);
  s.node(0, 1).acquire(0).release(0).acquire(0).release(0).acquire(0).release(0).acquire(0).release(
      0);
  for (int i = 0; i < 3; ++i) {
    s.node(0).write(0, 0, 8).arrive().arrive();
    s.node(1).arrive().read(0, 0, 8).acquire(0).release(0).acquire(0).release(0).arrive();
    s.node(2).arrive().acquire(0).release(0).arrive();
  }
  return s.finish();
}

// Node 2 may have given up when the lock that it asked for comes; node 1 wants it after.
Program a_lock_comes_for_nobody() {
  Script s(3, {0});
  s.node(0).acquire(0).write(0, 0, 8).release(0).acquire(0).write(0, 0, 8).release(0);
  s.node(2).timed_acquire(0, 2).read(0, 0, 8).release(0);
  s.node(1).acquire(0).read(0, 0, 8).release(0).acquire(0).read(0, 0, 8).release(0);
  return s.finish();
}

// Node 1 writes while it only reads in the lock's scope; node 2, which has a copy, is the writer
// after it.
Program a_reader_writes_what_is_its_own() {
  Script s(3, {0});
  for (int i = 0; i < 3; ++i) {
    s.node(1).lock_shared(0).write(0, 0, 8).unlock_shared(0);
    s.node(2).read(0, 32, 1).lock_exclusive(0).read(0, 0, 8).unlock_exclusive(0);
  }
  return s.finish();
}

// Shared lock 1 has its manager at node 1, which is out of the barrier before node 0 and gives it a
// permission whose token no longer tells what the barrier does.
Program a_permission_overtakes_a_barrier() {
  Script s(3, {1});
  s.node(0, 0);
  s.node(0, 1);
  s.node(0, 0).read(0, 32, 1).arrive();
  for (int i = 0; i < 4; ++i) s.node(0, 1).lock_shared(1).read(0, 8, 8).unlock_shared(1);
  s.node(1).arrive();
  s.node(2).lock_exclusive(1).write(0, 8, 8).unlock_exclusive(1).arrive();
  s.lock_exclusive(1).unlock_exclusive(1);
  return s.finish();
}

// Semaphore n has its manager at node n.

// Node 1's thread 1 has released when it lays its baton down; that of thread 0, which may have told
// what thread 1 wrote, may still be on its way to the manager.
Program a_release_overtakes_another() {
  Script s(3, {0, 0, 0, 0, 0, 0, 0, 0}, 3);
  const std::uint32_t semaphore = s.semaphore(2, 0);
  s.node(1, 0);
  s.node(1, 1);
  for (std::uint32_t i = 0; i < 8; ++i) {
    const std::uint32_t baton = s.baton(1, 1);
    s.node(1, 0).write(i, 0, 8).release_semaphore(semaphore);
    s.node(1, 1).write(i, 8, 8).release_semaphore(semaphore);
    s.acquire(2).give(baton, 2).release(2);
    s.node(2).read(i, 56, 1);
    for (int tries = 0; tries < 8; ++tries) s.acquire(2).take(baton, 2).release(2);
    s.if_has(baton, 3).acquire_semaphore(semaphore).read(i, 8, 8);
  }
  return s.finish();
}

// As ALockTellsOfADiffUnderWay: thread 0 of node 1 releases while thread 1's diff is under way, and
// what it tells of that page is told too early.
Program a_release_tells_of_a_diff_under_way() {
  Script s(3, {0, 0}, 3);
  const std::uint32_t semaphore = s.semaphore(2, 0);
  s.node(1, 0);
  s.node(1, 1);
  for (std::uint32_t i = 0; i < 6; ++i) {
    const std::uint32_t baton = s.baton(1, 1), word = 8 * i;
    s.node(1, 0).write(1, word, 8).release_semaphore(semaphore, 2);
    s.node(1, 1).write(0, word, 8).release_semaphore(semaphore);
    s.acquire(2).give(baton, 2).release(2);
    s.node(2).acquire_semaphore(semaphore).read(0, 56, 1);
    for (int tries = 0; tries < 6; ++tries) s.acquire(2).take(baton, 2).release(2);
    s.if_has(baton, 3).acquire_semaphore(semaphore).read(0, word, 8);
  }
  return s.finish();
}

// Node 1 is out of a barrier before node 0, and lets its thread in with a token that no longer
// tells what the barrier does.
Program a_count_overtakes_a_barrier() {
  Script s(3, {1});
  const std::uint32_t semaphore = s.semaphore(1, 0);
  s.node(0, 0);
  s.node(0, 1).read(0, 56, 1);
  for (std::uint32_t word = 0; word < 56; word += 8) {
    s.node(0, 0).arrive();
    s.node(0, 1).acquire_semaphore(semaphore).read(0, word, 8);
    s.node(1).arrive();
    s.node(2).write(0, word, 8).release_semaphore(semaphore).arrive();
  }
  return s.finish();
}

// Three chunks are wanted where two fit, and what goes is dirty.
Program a_small_cache_is_written_through() {
  Script s(2, {0, 0, 0, 0, 0, 0});
  s.config().chunk_pages = 2;
  s.config().cache_chunks = 2;
  for (std::uint32_t round = 0; round < 2; ++round)
    for (std::uint32_t page = 0; page < 6; ++page)
      s.node(1).write(page, 8 * round, 8).read(page, 8 * round, 8);
  s.join_all();
  for (std::uint32_t page = 0; page < 6; ++page) s.node(0).read(page, 0, 8).read(page, 8, 8);
  return s.finish();
}

// Locks go to and fro while a region goes: an own page of it may be on its way to a lock's next
// holder.
Program a_region_goes_while_locks_are_handed_over() {
  Script s(2, {0}, 3);
  const std::uint32_t page = 1, other = s.region({0});
  for (std::uint32_t node = 0; node < 2; ++node) {
    s.node(node, 0);
    s.node(node, 1);
    for (int i = 0; i < 8; ++i) s.acquire(0).release(0).acquire(1).release(1).acquire(2).release(2);
    s.node(node, 0).add_region(other).arrive();
  }
  s.node(0, 0).write(page, 0, 8).arrive().arrive().drop_region(other).arrive();
  s.node(1, 0).read(page, 8, 8).arrive().read(page, 0, 8).arrive().drop_region(other).arrive();
  return s.finish();
}

// Node 1's thread 0 hands lock 0 over while the diff of its thread 1 is under way: lock 0 may tell
// of the page before it is home, and then lock 1 must tell of it again.
Program a_lock_tells_of_a_diff_under_way() {
  Script s(3, {0, 0, 2, 2}, 2, core::Policy::release);
  s.config().chunk_pages = 1;
  s.node(1, 0);
  s.node(1, 1);
  for (int i = 0; i < 6; ++i) {
    s.node(1, 0).acquire(0).write(1, 0, 8).release(0);
    s.node(1, 1).acquire(1).write(0, 0, 8).write(2, 0, 8).release(1);
    for (const std::uint32_t node : {0u, 2u}) {
      const std::uint32_t page = node == 0 ? 2 : 0;  // at home at the other one
      s.node(node).acquire(0).release(0).read(page, 32, 1);
      s.node(node).acquire(1).read(page, 0, 8).release(1);
    }
  }
  return s.finish();
}

// Data first, then a flag under a lock; and on through a second lock.
Program a_message_is_passed_on() {
  Script s(3, {0, 1}, 2, core::Policy::release);
  s.node(2).read(0, 0, 8).read(1, 0, 8);
  s.node(1).read(0, 0, 8).read(1, 0, 8);
  s.node(0).read(1, 0, 8);
  s.join_all();
  const std::uint32_t baton = s.baton(0);
  s.node(0).write(0, 0, 8).write(1, 0, 8).acquire(0).give(baton, 0).release(0);
  for (int i = 0; i < 4; ++i) {
    s.node(1).acquire(0).take(baton, 0).release(0).if_has(baton, 4);
    s.acquire(1).give(baton, 1).release(1);
    s.node(2).acquire(1).take(baton, 1).release(1).if_has(baton, 3).read(0, 0, 8).read(1, 0, 8);
  }
  return s.finish();
}

Program two_nodes_write_one_byte() {
  Script s(3, {0});
  s.find_races(1);
  for (const std::uint8_t node : {std::uint8_t{1}, std::uint8_t{2}}) s.node(node).set(0, 3, node);
  return s.finish();
}

Program a_word_is_used_atomically_and_plainly() {
  Script s(3, {0});
  s.find_races(1);
  s.node(1).atomic_swap(0, 0, true);
  s.node(2).set(0, 3, 7);
  return s.finish();
}

// Node 2 has left the barrier behind which it writes node 1's bytes, and the home has not.
Program a_byte_changes_hands_at_a_barrier() {
  Script s(3, {0});
  s.find_races(0);
  for (int i = 0; i < 6; ++i) {
    s.node(1 + i % 2).write(0, 0, 8);
    s.join_all();
    s.node(2 - i % 2).acquire(1).write(0, 0, 8).release(1);
    s.node(1 + i % 2).acquire(1).release(1);
    s.join_all();
  }
  return s.finish();
}

// Thread 1's operation is asked for before thread 0 arrives, and takes effect when the barrier has
// been left and the page fetched.
Program an_atomic_operation_crosses_a_barrier() {
  Script s(2, {0});
  s.node(1, 0);
  s.node(1, 1);
  s.node(0).arrive();
  s.node(1, 0).arrive().read(0, 32, 8);
  s.node(1, 1).atomic_add(0, 0);
  s.join_all();
  s.node(1, 0).read(0, 0, 8);
  return s.finish();
}

// One entry a ring: every fetch but the first waits for the home to read.
Program a_mark_ring_of_one() {
  Script s(2, {0, 0, 0, 0});
  s.config().mark_ring_slots = 1;
  s.config().chunk_pages = 1;
  s.config().cache_chunks = 2;
  for (std::uint32_t page = 0; page < 4; ++page) s.node(1).write(page, 0, 8);
  s.join_all();
  for (std::uint32_t page = 0; page < 4; ++page) s.node(0).write(page, 0, 8);
  s.join_all();
  for (std::uint32_t page = 0; page < 4; ++page) s.node(1).read(page, 0, 8);
  return s.finish();
}

// Two words lie across the same border of two sequential pages, and each node needs both pages at
// once for its own.
Program two_nodes_want_two_pages_at_once() {
  Script s(2, {0, 1}, 1, core::Policy::sequential);
  for (std::uint32_t i = 0; i < 10; ++i)
    for (std::uint32_t node = 0; node < 2; ++node)
      s.node(node).write(0, 60, 8).read(0, 58, 8).write(0, 61, 5);
  return s.finish();
}

// Node 1 writes a sequential page, node 0's reading leaves it a copy to read, and that has to make
// room: two messages home, of which the second has no content.
Program a_small_cache_gives_back_what_it_wrote() {
  Script s(2, {0, 0, 0, 0}, 1, core::Policy::sequential);
  s.config().chunk_pages = 1;
  s.config().cache_chunks = 2;
  for (std::uint32_t i = 0; i < 20; ++i) {
    s.node(1).write(0, 8 * (i % 4), 8).read(1 + i % 3, 0, 8).read(1 + (i + 1) % 3, 0, 8);
    s.node(0).read(0, 8 * (i % 4), 8).read(0, 0, 8);
  }
  return s.finish();
}

// Node 1 goes through the pages, and takes the lock when the one that node 0 writes has been
// fetched ahead, or is on its way. With few trips or many in between.
Program what_was_fetched_ahead_is_written(bool by_message) {
  Script s(2, {0, 0, 0, 0, 0, 0, 0, 0}, 1);
  s.config().fetch_window = 0;
  s.config().read_ahead = 4;
  s.config().marks_by_message = by_message;
  s.node(1, 0);
  s.node(1, 1);
  for (std::uint32_t round = 0; round < 4; ++round) {
    const std::uint32_t word = 8 * round;
    for (std::uint32_t page = 2; page < 8; ++page)
      s.node(0).acquire(0).write(page, word, 8).release(0);
    for (std::uint32_t page = 0; page < 3; ++page) s.node(1, 0).read(page, 56);
    s.node(1, 0).acquire(0).read(4 + round % 2, word, 8).read(7, word, 8).release(0);
    s.node(1, 1).read(3, 56).acquire(0).read(6, word, 8).release(0);
    s.join_all();
    for (std::uint32_t page = 0; page < 8; ++page) s.node(0).write(page, 56);
    s.join_all();
  }
  return s.finish();
}

// The thread is there before the pages.
Program a_reader_overtakes_its_pages() {
  Script s(3, {0, 0, 2, 2, 0, 0, 1, 0, 0, 0, 0, 0}, 1);
  s.config().fetch_window = 1;
  s.config().read_ahead = 4;
  for (std::uint32_t page = 0; page < 12; ++page) s.node(1).read(page, 0);
  for (std::uint32_t page = 0; page < 12; ++page) s.node(1).write(page, 8);
  return s.finish();
}

// Two chunks, of which one is for whoever asks; the ring of marks has room for few.
Program a_small_cache_is_gone_through() {
  Script s(2, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 1);
  s.config().read_ahead = 16;
  s.config().cache_chunks = 2;
  s.config().mark_ring_slots = 4;
  s.node(1, 0);
  s.node(1, 1);
  for (std::uint32_t round = 0; round < 2; ++round) {
    for (std::uint32_t page = 0; page < 12; ++page) s.node(1, 0).read(page, 0);
    for (std::uint32_t page = 0; page < 12; ++page) s.node(1, 1).write(page, 8);
  }
  return s.finish();
}

std::vector<Scenario> all() {
  return {
      {"HomeWritesWhileAReaderComes", Bug::missing_fence, home_writes_while_a_reader_comes()},
      {"APageBecomesSharedWithinAScope", Bug::shared_not_written,
       a_page_becomes_shared_within_a_scope()},
      {"AScopeOpensWhileAFlushBegins", Bug::log_at_flush_start,
       a_scope_opens_while_a_flush_begins()},
      {"AnotherThreadWritesThroughAnOpening", Bug::opening_page_not_flushed,
       another_thread_writes_through_an_opening()},
      {"TwoNodesWriteOneWord", Bug::diff_by_blend, two_nodes_write_one_word()},
      {"AScopeOpensBetweenTwoFlushes", Bug::none, a_scope_opens_between_two_flushes()},
      {"ATokenOvertakesABarrier", Bug::grant_overtakes_barrier, a_token_overtakes_a_barrier()},
      {"AWaiterIsNotifiedUnderTheLock", Bug::condition_unregistered,
       a_waiter_is_notified_under_the_lock()},
      {"ANotificationCrossesATimeOut", Bug::notification_lost, a_notification_crosses_a_time_out()},
      {"TwoNodesWriteOneByte", Bug::races_unseen, two_nodes_write_one_byte()},
      {"AWordIsUsedAtomicallyAndPlainly", Bug::races_unseen,
       a_word_is_used_atomically_and_plainly()},
      {"AByteChangesHandsAtABarrier", Bug::clock_of_barrier_lost,
       a_byte_changes_hands_at_a_barrier()},
      {"AnAtomicOperationCrossesABarrier", Bug::atomic_under_way_forgotten,
       an_atomic_operation_crosses_a_barrier()},
      {"ManyWaitForOne", Bug::none, many_wait_for_one()},
      {"ATeamOvertakesABarrier", Bug::team_overtakes_barrier, a_team_overtakes_a_barrier()},
      {"ATeamTellsOfADiffUnderWay", Bug::team_tells_unsent, a_team_tells_of_a_diff_under_way()},
      {"ABarrierTellsOfADiffUnderWay", Bug::barrier_tells_unsent,
       a_barrier_tells_of_a_diff_under_way()},
      {"AReaderIsBackBeforeTheHomeLeaves", Bug::mark_cleared_by_next_epoch,
       a_reader_is_back_before_the_home_leaves()},
      {"ALockComesForNobody", Bug::grant_after_timeout_lost, a_lock_comes_for_nobody()},
      {"AReaderWritesWhatIsItsOwn", Bug::reader_release_not_published,
       a_reader_writes_what_is_its_own()},
      {"APermissionOvertakesABarrier", Bug::shared_grant_overtakes_barrier,
       a_permission_overtakes_a_barrier()},
      {"AReleaseOvertakesAnother", Bug::semaphore_told_once, a_release_overtakes_another()},
      {"AReleaseTellsOfADiffUnderWay", Bug::semaphore_tells_unsent,
       a_release_tells_of_a_diff_under_way()},
      {"ACountOvertakesABarrier", Bug::semaphore_grant_overtakes_barrier,
       a_count_overtakes_a_barrier()},
      {"ASmallCacheIsWrittenThrough", Bug::evicted_dirty_unsent,
       a_small_cache_is_written_through()},
      {"ARegionGoesWhileLocksAreHandedOver", Bug::none,
       a_region_goes_while_locks_are_handed_over()},
      {"ALockTellsOfADiffUnderWay", Bug::told_before_home, a_lock_tells_of_a_diff_under_way()},
      {"AMessageIsPassedOn", Bug::history_not_passed_on, a_message_is_passed_on()},
      {"TwoNodesWantTwoPagesAtOnce", Bug::no_tenure, two_nodes_want_two_pages_at_once()},
      {"ASmallCacheGivesBackWhatItWrote", Bug::return_overtakes_content,
       a_small_cache_gives_back_what_it_wrote()},
      {"AMarkRingOfOne", Bug::none, a_mark_ring_of_one()},
      {"WhatIsOnItsWayAheadIsWritten", Bug::ahead_not_poisoned,
       what_was_fetched_ahead_is_written(false)},
      {"WhatWasFetchedAheadIsWritten", Bug::unread_kept, what_was_fetched_ahead_is_written(false)},
      {"WhatWasFetchedAheadIsMarked", Bug::ahead_unmarked, what_was_fetched_ahead_is_written(true)},
      {"AReaderOvertakesItsPages", Bug::ahead_wakes_nobody, a_reader_overtakes_its_pages()},
      {"ASmallCacheIsGoneThrough", Bug::none, a_small_cache_is_gone_through()},
  };
}

}  // namespace

const std::vector<Scenario>& scenarios() {
  static const std::vector<Scenario> list = [] {
    std::vector<Scenario> every = all();
    for (Scenario& scenario : bound_scenarios()) every.push_back(std::move(scenario));
    for (Scenario& scenario : push_scenarios()) every.push_back(std::move(scenario));
    for (Scenario& scenario : watch_scenarios()) every.push_back(std::move(scenario));
    for (Scenario& scenario : move_scenarios()) every.push_back(std::move(scenario));
    return every;
  }();
  return list;
}

}  // namespace dsm::sim
