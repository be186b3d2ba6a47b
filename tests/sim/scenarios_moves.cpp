// Films of pages that get their home at the node that writes them. Node 0 is the first home of all
// pages, node 1 writes page 0 at one barrier after another.
#include "sim/scenarios.hpp"

namespace dsm::sim {
namespace {

using core::Bug;

constexpr int rounds = 8;

Script moving(std::uint32_t nodes, std::uint32_t pages = 1) {
  Script s(nodes, std::vector<std::uint32_t>(pages, 0));
  s.config().migrate_after = s.config().push_after = 1;
  return s;
}

// Another thread of node 1 sends the page home for a lock that node 2 wants, while its home leaves.
Program a_page_moves_while_it_is_sent_home() {
  Script s = moving(3);
  for (int i = 0; i < rounds; ++i) {
    s.node(0).arrive();
    s.node(1).write(0, 0, 8).arrive();
    s.node(1, 1).acquire(1).write(0, 8, 8).release(1);
    s.node(2).arrive();
    s.node(2, 1).acquire(1).read(0, 8, 8).release(1);
  }
  return s.finish();
}

// A thread of node 2 that does not come to the barriers goes on reading what nobody writes.
Program a_page_moves_while_it_is_read() {
  Script s = moving(3);
  for (int i = 0; i < rounds; ++i) {
    s.node(0).arrive();
    s.node(1).write(0, 0, 8).arrive();
    s.node(2).arrive();
    for (int k = 0; k < 6; ++k) s.node(2, 1).read(0, 32, 8);
  }
  return s.finish();
}

// One that does not come to the barriers operates on a word of the page, once.
Program a_page_moves_while_a_word_changes() {
  Script s = moving(3, 2);
  for (int i = 0; i < rounds; ++i) {
    s.node(0).arrive();
    s.node(1).write(0, 0, 8).arrive();
    s.node(2).arrive();
    s.node(2, 1).atomic_add(1, 0);
  }
  s.node(2, 1).atomic_add(0, 16);
  s.join_all();
  s.node(1).read(0, 16, 8);
  return s.finish();
}

// The cache of node 1 has room for two pages, and its other thread goes through four.
Program a_small_cache_is_gone_through_by_a_new_home() {
  Script s = moving(2, 5);
  s.config().chunk_pages = 1;
  s.config().cache_chunks = 2;
  for (int i = 0; i < rounds; ++i) {
    s.node(0).arrive();
    s.node(1).write(0, 0, 8).arrive();
    for (std::uint32_t page = 1; page < 5; ++page) s.node(1, 1).read(page, 0, 8);
  }
  return s.finish();
}

// Each node writes the page for some barriers, so that it goes back where it came from, and reads
// it when it has gone.
Program a_page_comes_back() {
  Script s = moving(2);
  for (int i = 0; i < 3; ++i)
    for (std::uint32_t writer = 2; writer-- > 0;)
      for (int k = 0; k < 6 << i; ++k) {
        s.node(writer).write(0, 0, 8);
        for (std::uint32_t node = 0; node < 2; ++node) s.node(node).arrive().read(0, 32, 8);
      }
  return s.finish();
}

// Who holds a lock waits for a page that moves, and those who come to its barriers for the lock.
Program a_holder_waits_for_a_page_that_moves() {
  Script s = moving(3, 2);
  for (int i = 0; i < rounds; ++i) {
    for (std::uint32_t node = 0; node < 3; ++node) {
      s.node(node).acquire(1).write(1, 8 * node, 8).read(0, 32, 8).release(1);
      if (node == 1) s.node(1).write(0, 0, 8);
      s.node(node).arrive();
    }
  }
  return s.finish();
}

// The region goes at once behind the barrier that tells of the move.
Program a_region_goes_while_its_page_moves() {
  Script s(2, {0});
  s.config().migrate_after = s.config().push_after = 1;
  const std::uint32_t region = s.region({0, 0});
  for (int i = 0; i < 3; ++i) {
    for (std::uint32_t node = 0; node < 2; ++node) s.node(node).add_region(region).arrive();
    for (int k = 0; k < 3 + i; ++k) {
      s.node(0).arrive();
      s.node(1).write(1, 0, 8).write(2, 8, 8).arrive();
    }
    for (std::uint32_t node = 0; node < 2; ++node) s.node(node).drop_region(region).arrive();
  }
  return s.finish();
}

}  // namespace

std::vector<Scenario> move_scenarios() {
  return {
      {"APageMovesWhileItIsSentHome", Bug::moved_under_diff, a_page_moves_while_it_is_sent_home()},
      {"APageMovesWhileItIsRead", Bug::moved_under_fetch, a_page_moves_while_it_is_read()},
      {"APageMovesWhileAWordChanges", Bug::moved_under_operation,
       a_page_moves_while_a_word_changes()},
      {"ASmallCacheIsGoneThroughByANewHome", Bug::arriving_frame_punched,
       a_small_cache_is_gone_through_by_a_new_home()},
      {"APageComesBack", Bug::fetched_while_punched, a_page_comes_back()},
      {"AHolderWaitsForAPageThatMoves", Bug::access_at_old_home,
       a_holder_waits_for_a_page_that_moves()},
      {"ARegionGoesWhileItsPageMoves", Bug::none, a_region_goes_while_its_page_moves()},
  };
}

}  // namespace dsm::sim
