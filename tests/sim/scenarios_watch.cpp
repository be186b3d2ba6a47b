// Films of own pages that are watched without traps. Node 0 is the home of all pages.
#include "sim/scenarios.hpp"

namespace dsm::sim {
namespace {

using core::Bug;
using core::Watching;

constexpr int rounds = 8;

Script watching(std::uint32_t nodes, std::uint32_t pages, Watching watching) {
  Script s(nodes, std::vector<std::uint32_t>(pages, 0));
  s.config().watching = watching;
  s.config().stretch_pages_least = 1;
  s.config().watch_costs.change = s.config().watch_costs.told = 0;
  return s;
}

// What a home writes under a lock, to pages that others hold already.
Program a_home_writes_what_others_hold() {
  Script s = watching(3, 4, Watching::by_scans);
  for (int i = 0; i < rounds; ++i) {
    for (std::uint32_t page = 0; page < 4; ++page) {
      s.node(0).acquire(0).write(page, 0, 8).release(0);
      s.node(1).acquire(0).read(page, 0, 8).release(0);
      s.node(2).read(page, 32, 1).acquire(0).read(page, 0, 8).release(0);
    }
    if (i % 3 == 2)
      for (std::uint32_t node = 0; node < 3; ++node) s.node(node).arrive();
  }
  return s.finish();
}

// Two threads of the home tell of what they wrote at the same time; what one scan takes is the
// other's.
Program two_threads_scan() {
  Script s = watching(3, 4, Watching::by_scans);
  s.node(0, 0);
  s.node(0, 1);
  for (int i = 0; i < rounds; ++i) {
    s.node(0, 0).acquire(0).write(3, 0, 8).release(0);
    s.node(0, 1).acquire(1).write(3, 8, 8).write(0, 8, 8).release(1);
    s.node(1).acquire(0).read(3, 0, 8).release(0);
    s.node(2).read(0, 32, 1).acquire(1).read(3, 8, 8).read(0, 8, 8).release(1);
  }
  return s.finish();
}

// The way of watching changes by every publication, also while another thread's scans.
Program the_watch_changes_under_a_scan() {
  constexpr std::uint32_t last = 5;
  Script s = watching(3, last + 1, Watching::by_either);
  s.node(0, 0);
  s.node(0, 1);
  const std::uint32_t tick = s.semaphore(1, 0), told = s.semaphore(5, 0);
  s.node(0, 0).await_waits(1).acquire(0);
  s.node(1).acquire(0);
  for (int i = 0; i < 3 * rounds; ++i) {
    s.node(0, 0).write(last, 0, 8).notify_one().wait(0);
    s.node(1).wait(0).read(last, 0, 8);
    for (std::uint32_t page = 0; page < last; ++page) s.node(1).read(page, 32, 1);
    if (i % 2 == 0) {
      s.node(1).release_semaphore(tick);
      s.node(0, 1).acquire_semaphore(tick).release_semaphore(told);
    }
    s.node(1).notify_one();
  }
  s.node(0, 0).release(0);
  s.node(1).release(0);
  return s.finish();
}

// The kernel takes a mapping away between a home's write and its next read.
Program a_mapping_is_lost() {
  Script s = watching(2, 2, Watching::by_scans);
  for (int i = 0; i < 4 * rounds; ++i) {
    s.node(0).write(0, 0, 8).read(0, 32, 1).read(0, 40, 1).arrive().arrive();
    s.node(1).arrive().read(0, 0, 8).arrive();
  }
  return s.finish();
}

// A page is left by its readers, written, and read again.
Program readers_leave_and_come() {
  Script s = watching(2, 5, Watching::by_scans);
  s.config().chunk_pages = 1;
  s.config().cache_chunks = 2;
  for (int i = 0; i < rounds; ++i) {
    s.node(0).acquire(0).write(0, 0, 8).release(0).arrive();
    s.node(1).acquire(0).read(0, 0, 8).release(0);
    for (std::uint32_t page = 1; page < 5; ++page) s.node(1).read(page, 32, 1);
    s.node(1).acquire(0).read(0, 0, 8).release(0).arrive();
  }
  return s.finish();
}

}  // namespace

std::vector<Scenario> watch_scenarios() {
  return {
      {"AHomeWritesWhatOthersHold", Bug::told_before_scan, a_home_writes_what_others_hold()},
      {"TwoThreadsScan", Bug::scans_overlap, two_threads_scan()},
      {"TheWatchChangesUnderAScan", Bug::watch_changed_under_scan,
       the_watch_changes_under_a_scan()},
      {"AMappingIsLost", Bug::lost_mapping_protected, a_mapping_is_lost()},
      {"ReadersLeaveAndCome", Bug::none, readers_leave_and_come()},
  };
}

}  // namespace dsm::sim
