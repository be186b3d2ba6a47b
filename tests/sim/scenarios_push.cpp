// Films of pages that a barrier brings to their readers. Node 0 is the home of page 0.
#include "sim/scenarios.hpp"

namespace dsm::sim {
namespace {

using core::Bug;

constexpr int rounds = 8;

Script pushing(std::uint32_t nodes, std::uint32_t pages = 1) {
  Script s(nodes, std::vector<std::uint32_t>(pages, 0));
  s.config().push_after = 1;
  return s;
}

// The page's reader has evicted it when its home writes, and writes over that behind the barrier.
Program a_base_has_no_reader_for_a_while() {
  Script s = pushing(2, 5);
  s.config().chunk_pages = 1;
  s.config().cache_chunks = 2;
  for (int i = 0; i < rounds; ++i) {
    s.node(0).write(0, 0, 8).arrive().arrive().arrive();
    s.node(1).arrive().read(0, 0, 8).write(0, 0, 8).arrive();
    for (std::uint32_t page = 1; page < 5; ++page) s.node(1).read(page, 0, 8);
    s.node(1).arrive();
  }
  return s.finish();
}

// Home and reader write one word by turns, a barrier apart.
Program a_word_is_written_by_turns() {
  Script s = pushing(2);
  for (int i = 0; i < 2 * rounds; ++i) {
    s.node(0).write(0, 0, 8).arrive().read(0, 32, 1).arrive();
    s.node(1).read(0, 32, 1).arrive().write(0, 0, 8).arrive();
    for (std::uint32_t node = 0; node < 2; ++node) s.node(node).read(0, 0, 8).arrive();
  }
  return s.finish();
}

// Each has a word of the page, and writes it in every round; what the home's was before must not
// come back with the other's.
Program two_share_a_page() {
  Script s = pushing(2);
  for (int i = 0; i < rounds; ++i) {
    s.node(0).write(0, 0, 8).arrive();
    s.node(1).write(0, 8, 8).arrive();
  }
  s.node(0).read(0, 0, 8).read(0, 8, 8).arrive();
  s.node(1).read(0, 0, 8).read(0, 8, 8).arrive();
  return s.finish();
}

// What node 2 wrote is at the home, and node 1 writes over it behind a barrier.
Program a_third_node_writes_before() {
  Script s = pushing(3);
  for (int i = 0; i < rounds; ++i) {
    s.node(0).write(0, 16, 8).arrive().write(0, 24, 8).arrive().arrive();
    s.node(1).read(0, 32, 1).arrive().write(0, 0, 8).arrive().read(0, 0, 8).read(0, 24, 8).arrive();
    s.node(2).write(0, 0, 8).arrive().arrive().arrive();
  }
  return s.finish();
}

// Nobody writes, or reads, for long: bases go. Then both do again.
Program a_page_is_forgotten_for_a_while() {
  Script s = pushing(3, 2);
  for (int i = 0; i < 3; ++i) {
    for (int round = 0; round < 4; ++round) {
      for (std::uint32_t page = 0; page < 2; ++page) s.node(0).write(page, 0, 8);
      s.node(0).arrive().arrive();
      s.node(1).arrive().read(0, 0, 8).read(1, 0, 8).arrive();
      s.node(2).arrive().read(0, 0, 8).arrive();
    }
    for (int round = 0; round < 20; ++round) {
      s.node(0).write(1, 8, 8).arrive();
      s.node(1).arrive();
      s.node(2).arrive();
    }
  }
  return s.finish();
}

// A copy is taken away to see whether it is read still, and is on its way back when the next push
// comes.
Program a_push_meets_a_fetch() {
  Script s = pushing(2);
  s.config().push_samples = 1;
  for (int i = 0; i < 3 * rounds; ++i) {
    s.node(0).write(0, 0, 8).arrive();
    s.node(1).read(0, 32, 1).arrive().read(0, 32, 1);
  }
  s.node(0).arrive();
  s.node(1).arrive().read(0, 0, 8);
  return s.finish();
}

// Node 1 sends its word home, by a lock that node 2 wants, after the home has compared the page.
Program a_reader_has_newer_bytes() {
  Script s = pushing(3);
  for (int i = 0; i < rounds; ++i) {
    s.node(0).write(0, 0, 8).arrive().read(0, 8, 8).arrive();
    s.node(1).read(0, 32, 1).acquire(1).write(0, 8, 8).release(1).read(0, 8, 8).arrive();
    s.node(1).read(0, 8, 8).read(0, 0, 8).arrive();
    s.node(2).acquire(1).release(1).arrive().arrive();
  }
  return s.finish();
}

// A word is operated on, perhaps behind its home's comparing, and written behind the barrier.
Program a_word_is_written_behind_atomics() {
  Script s = pushing(3);
  for (int i = 0; i < rounds; ++i) {
    s.node(0).write(0, 0, 8).arrive().write(0, 0, 8).arrive().arrive();
    s.node(1)
        .read(0, 32, 1)
        .arrive()
        .write(0, 16, 8)
        .arrive()
        .read(0, 16, 8)
        .read(0, 0, 8)
        .arrive();
    s.node(2).atomic_add(0, 16).arrive().arrive().arrive();
  }
  return s.finish();
}

// The same, written by the thread that operated on it.
Program a_thread_writes_over_its_atomics() {
  Script s = pushing(2);
  for (int i = 0; i < rounds; ++i) {
    s.node(0).write(0, 0, 8).arrive().arrive();
    s.node(1).read(0, 32, 1).atomic_add(0, 16).write(0, 16, 8).arrive();
    s.node(1).read(0, 16, 8).read(0, 0, 8).arrive();
  }
  return s.finish();
}

}  // namespace

std::vector<Scenario> push_scenarios() {
  return {
      {"ABaseHasNoReaderForAWhile", Bug::base_not_renewed, a_base_has_no_reader_for_a_while()},
      {"AWordIsWrittenByTurns", Bug::byte_sent_twice, a_word_is_written_by_turns()},
      {"TwoShareAPage", Bug::pushed_not_in_twin, two_share_a_page()},
      {"AThirdNodeWritesBefore", Bug::diff_not_in_base, a_third_node_writes_before()},
      {"APageIsForgottenForAWhile", Bug::none, a_page_is_forgotten_for_a_while()},
      {"APushMeetsAFetch", Bug::push_into_fetch, a_push_meets_a_fetch()},
      {"AReaderHasNewerBytes", Bug::whole_lines_over_newer, a_reader_has_newer_bytes()},
      {"AWordIsWrittenBehindAtomics", Bug::atomics_not_in_base, a_word_is_written_behind_atomics()},
      {"AThreadWritesOverItsAtomics", Bug::push_over_atomic, a_thread_writes_over_its_atomics()},
  };
}

}  // namespace dsm::sim
