// Films of what is bound to locks. Lock 0 has its manager at node 0.
#include "sim/scenarios.hpp"

namespace dsm::sim {
namespace {

using core::Bug;
using core::Policy;
using core::Refresh;

// Node 0's thread 1 keeps evicting, and the lock is back and offered anew before node 0 hears that
// what it offered last has been read.
Program an_answer_is_late() {
  Script s(2, {1, 1, 1, 1, 1}, 2, Policy::bound);
  s.config().chunk_pages = 1;
  s.config().cache_chunks = 2;
  s.bind(0, 0, 0, 8, Refresh::pull).bind(0, 0, 16, 8, Refresh::pull);
  s.node(0, 0);
  s.node(0, 1);
  for (int i = 0; i < 16; ++i)
    for (std::uint32_t node = 0; node < 2; ++node)
      s.node(node, 0).acquire(0).write(0, 0, 8).write(0, 16, 8).release(0);
  for (std::uint32_t i = 0; i < 48; ++i) s.node(0, 1).read(1 + i % 4, 0, 8);
  return s.finish();
}

// The lock is at node 0, and what is bound to it at its home.
Program an_owner_has_evicted_what_it_has() {
  Script s(3, {1, 1, 1, 1, 1}, 1, Policy::bound);
  s.config().chunk_pages = 1;
  s.config().cache_chunks = 2;
  s.bind(0, 0, 0, 8, Refresh::pull);
  s.node(0).acquire(0).write(0, 0, 8).release(0);
  for (std::uint32_t page = 1; page < 5; ++page) s.node(0).read(page, 0, 8);
  s.join_all();
  s.node(2).acquire(0).read(0, 0, 8).release(0);
  return s.finish();
}

// The same, and the new owner has a copy from before.
Program a_new_owner_has_an_old_copy() {
  Script s(3, {1, 1, 1, 1, 1}, 2, Policy::bound);
  s.config().chunk_pages = 1;
  s.config().cache_chunks = 2;
  s.bind(0, 0, 0, 8, Refresh::pull);
  s.node(2).read(0, 16, 8);
  s.join_all();
  s.node(0).acquire(0).write(0, 0, 8).release(0);
  for (std::uint32_t page = 1; page < 5; ++page) s.node(0).read(page, 0, 8);
  for (int i = 0; i < 6; ++i) s.node(2).acquire(1).release(1);
  s.node(2).acquire(0).read(0, 0, 8).release(0);
  return s.finish();
}

// Node 1 has given up waiting when the lock comes, while the region that is bound to it goes; and
// it comes back, with the same binding.
Program a_lock_comes_while_its_region_goes(Refresh refresh) {
  Script s(3, {0}, 1);
  const std::uint32_t page = 1, other = s.region({2, 2}, Policy::bound);
  s.config().chunk_pages = 1;
  s.bind(0, page, 0, 8, refresh).bind(0, page + 1, 8, 8, refresh);
  for (std::uint32_t node = 0; node < 3; ++node) s.node(node).add_region(other);
  s.join_all();
  s.node(0).acquire(0).write(page, 0, 8).write(page + 1, 8, 8);
  s.node(1).timed_acquire(0, 2).read(page, 0, 8).release(0);
  s.join_all();
  s.node(0).release(0);
  for (std::uint32_t node = 0; node < 3; ++node) s.node(node).drop_region(other);
  s.join_all();
  for (std::uint32_t node = 0; node < 3; ++node) s.node(node).add_region(other);
  s.join_all();
  for (std::uint32_t node = 0; node < 3; ++node)
    s.node(node).acquire(0).read(page, 0, 8).write(page, 0, 8).write(page + 1, 8, 8).release(0);
  return s.finish();
}

// The same while something is bound to it: no grant has it, and its new owner has it all the same.
Program a_lock_comes_while_it_is_bound(Refresh refresh) {
  Script s(3, {0}, 1);
  const std::uint32_t page = 1, other = s.region({2}, Policy::bound);
  s.bind(0, page, 0, 8, refresh);
  s.node(0).acquire(0);
  s.node(1).timed_acquire(0, 1).release(0);
  s.join_all();
  s.node(0).release(0);
  for (std::uint32_t node = 0; node < 3; ++node) s.node(node).add_region(other);
  s.join_all();
  s.node(1).acquire(0).write(page, 0, 8).release(0);
  s.join_all();
  for (std::uint32_t node = 0; node < 3; ++node) s.node(node).read(page, 0, 8);
  return s.finish();
}

// Before the lock was ever here, and under another lock. What is lost is written again before
// anyone looks.
Program bound_memory_is_written_without_its_lock(Refresh refresh) {
  Script s(2, {0}, 2, Policy::bound);
  s.find_forbidden(2).bind(0, 0, 0, 8, refresh);
  s.node(1).set(0, 0, 7).write(0, 16, 8);
  s.join_all();
  s.node(0).acquire(0).write(0, 0, 8).release(0);
  s.join_all();
  s.node(1).acquire(1).set(0, 3, 9).release(1);
  s.join_all();
  s.node(1).acquire(0).write(0, 0, 8).release(0);
  return s.finish();
}

}  // namespace

std::vector<Scenario> bound_scenarios() {
  return {
      {"BoundMemoryIsWrittenWithoutItsLock", Bug::bound_writes_unseen,
       bound_memory_is_written_without_its_lock(Refresh::push)},
      {"PulledMemoryIsWrittenWithoutItsLock", Bug::bound_writes_unseen,
       bound_memory_is_written_without_its_lock(Refresh::pull)},
      {"AnAnswerIsLate", Bug::bound_taken_mistaken, an_answer_is_late()},
      {"AFrameIsWantedWhileItIsRead", Bug::bound_not_kept_for_reader, an_answer_is_late()},
      {"AFrameIsOfferedWhileItLeaves", Bug::bound_read_while_leaving, an_answer_is_late()},
      {"AnOwnerHasEvictedWhatItHas", Bug::bound_read_from_absent,
       an_owner_has_evicted_what_it_has()},
      {"ANewOwnerHasAnOldCopy", Bug::bound_stale_copy_kept, a_new_owner_has_an_old_copy()},
      {"ALockComesWhileItsRegionGoes", Bug::none,
       a_lock_comes_while_its_region_goes(Refresh::push)},
      {"ALockComesWhileItsPulledRegionGoes", Bug::none,
       a_lock_comes_while_its_region_goes(Refresh::pull)},
      {"ALockComesWhileItIsBound", Bug::none, a_lock_comes_while_it_is_bound(Refresh::push)},
      {"ALockComesWhileItIsBoundToPull", Bug::none, a_lock_comes_while_it_is_bound(Refresh::pull)},
  };
}

}  // namespace dsm::sim
