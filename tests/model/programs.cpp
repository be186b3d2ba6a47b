#include "model/programs.hpp"

#include <algorithm>

#include "base/check.hpp"

namespace dsm::sim {
namespace {

// A word goes from its home to a reader that had the page before.
Script home_to_reader() {
  Script s(2, {0}, 1);
  s.node(0).acquire(0).write(0, 0).release(0);
  s.node(1).read(0, 8).acquire(0).read(0, 0).release(0);
  return s;
}

// ... and from a writer to the home.
Script writer_to_home() {
  Script s(2, {0}, 1);
  s.node(1).acquire(0).write(0, 0).release(0);
  s.node(0).acquire(0).read(0, 0).release(0);
  return s;
}

// Two nodes write neighbouring bytes of one page between two barriers, and read each other's.
Script two_writers_and_a_barrier() {
  Script s(2, {0}, 1);
  s.node(0).write(0, 0);
  s.node(1).write(0, 1);
  s.join_all();
  s.node(0).read(0, 1);
  s.node(1).read(0, 0);
  return s;
}

// What the home writes between the first barrier and the second comes with that.
Script a_page_is_pushed() {
  Script s(2, {0}, 0);
  s.config().push_after = 1;
  s.node(1).read(0, 8);
  s.join_all();
  s.node(1).read(0, 8);
  s.node(0).write(0, 0);
  s.join_all();
  s.node(1).read(0, 0);
  return s;
}

// One thread's READ is under way when another's lock says that the page is old.
Script a_notice_meets_a_fetch() {
  Script s(2, {0}, 1);
  s.node(1, 0);
  s.node(1, 1);
  s.node(0).acquire(0).write(0, 0).release(0);
  s.node(1, 0).read(0, 8);
  s.node(1, 1).acquire(0).read(0, 0).release(0);
  return s;
}

// The home of one page reads the other.
Script two_pages_and_two_homes() {
  Script s(2, {0, 1}, 1);
  s.node(0).acquire(0).write(0, 0).read(1, 0).release(0);
  s.node(1).acquire(0).write(1, 0).read(0, 0).release(0);
  return s;
}

// The token goes around three nodes.
Script three_nodes_and_a_lock() {
  Script s(3, {0}, 1);
  s.node(1).acquire(0).write(0, 0).release(0);
  s.node(2).acquire(0).read(0, 0).release(0);
  return s;
}

// A message of the second barrier meets a node that is in the first.
Script three_nodes_and_two_barriers() {
  Script s(3, {0}, 0);
  s.join_all();
  s.join_all();
  return s;
}

// Two locks of one manager, lent and recalled.
Script two_locks_on_loan() {
  Script s(2, {0}, 3);
  s.node(0).acquire(0).release(0).acquire(2).release(2);
  s.node(1).acquire(0).release(0).acquire(2).release(2);
  return s;
}

// A sequential page: each stores a word and looks at the other's, without a lock.
Script two_nodes_race() {
  Script s(2, {0}, 0, core::Policy::sequential);
  s.node(0).write(0, 0).read(0, 8);
  s.node(1).write(0, 8).read(0, 0);
  return s;
}

// ... on two pages, with two homes.
Script two_nodes_race_on_two_pages() {
  Script s(2, {0, 1}, 0, core::Policy::sequential);
  s.node(0).write(0, 0).read(1, 8);
  s.node(1).write(1, 8).read(0, 0);
  return s;
}

// Two nodes that are not its home.
Script three_nodes_race() {
  Script s(3, {0}, 0, core::Policy::sequential);
  s.node(1).write(0, 0);
  s.node(2).read(0, 0);
  return s;
}

// One needs two pages at once.
Script two_nodes_across_a_border() {
  Script s(2, {0, 1}, 0, core::Policy::sequential);
  s.node(0).write(0, 60, 8);
  s.node(1).write(1, 8);
  return s;
}

// One has neither page; its processor looks at the lower first, or at the higher.
Script three_nodes_across_a_border() {
  Script s(3, {0, 1}, 0, core::Policy::sequential);
  s.node(1).write(1, 8);
  s.node(2).write(0, 60, 8);
  return s;
}
Script three_nodes_across_a_border_from_above() {
  return three_nodes_across_a_border().trap_at_the_higher();
}

constexpr std::uint32_t nodes = 3, pages = 2, locks = 2;

// The word of a lock in each page, and a node's own.
constexpr std::uint32_t word_of_lock(std::uint32_t lock) {
  return 8 * lock;
}
constexpr std::uint32_t word_of_node(std::uint32_t node) {
  return 32 + 8 * node;
}

// Node 0 and 1 write in different pages to begin with; each round is shifted by one.
void write_own(Script& s, std::uint32_t round) {
  for (std::uint32_t n = 0; n < nodes; ++n) s.node(n).write((n + round) % pages, word_of_node(n));
}

void barrier(Script& s, std::uint32_t round) {
  write_own(s, round);
  s.join_all();
}

void barrier_and_read(Script& s, std::uint32_t round) {
  write_own(s, round);
  s.join_all();
  const std::uint32_t reader = round % nodes, writer = (reader + 1) % nodes;
  s.node(reader).read((writer + round) % pages, word_of_node(writer));
}

void one_lock(Script& s, std::uint32_t round) {
  const std::uint32_t n = round % nodes, lock = 0;
  s.node(n).acquire(lock).write(round % pages, word_of_lock(lock)).release(lock);
  s.node((n + 1) % nodes).acquire(lock).read(round % pages, word_of_lock(lock)).release(lock);
}

void two_locks(Script& s, std::uint32_t round) {
  for (std::uint32_t n = 0; n < nodes; ++n) {
    const std::uint32_t lock = (n + round) % nodes;
    if (lock < locks) s.node(n).acquire(lock).write(lock, word_of_lock(lock)).release(lock);
  }
}

void lock_each(Script& s, std::uint32_t round) {
  for (std::uint32_t n = 0; n < nodes; ++n) {
    const std::uint32_t lock = (n + round) % locks;
    s.node(n).acquire(lock).write((n + round) % pages, word_of_lock(lock));
    s.read((n + round + 1) % pages, word_of_lock(lock)).release(lock);
  }
}

void locks_and_barrier(Script& s, std::uint32_t round) {
  two_locks(s, round);
  s.join_all();
}

// Page 0 has its home at node 0, and node 1 writes it too.
void exchange(Script& s, std::uint32_t) {
  s.node(0).write(0, word_of_node(0));
  s.node(1).write(0, word_of_node(1));
  s.join_all();
}

// ... or only reads what node 0 wrote, behind the barrier.
void write_and_read(Script& s, std::uint32_t) {
  s.node(0).write(0, word_of_node(0));
  s.node(1).read(0, word_of_node(2));
  s.join_all();
  s.node(1).read(0, word_of_node(0));
  s.join_all();
}

}  // namespace

const std::vector<Rounds>& round_kinds() {
  static const std::vector<Rounds> list = {
      {"barriers", "all write their words; a barrier", barrier},
      {"barriers and a reader", "all write; a barrier; one reads another's", barrier_and_read},
      {"one lock", "one writes under lock 0, another reads under it", one_lock},
      {"two locks", "two write under locks 0 and 1, one rests", two_locks},
      {"two locks and a barrier", "the same, and a barrier", locks_and_barrier},
      {"a page for two, pushed", "the home and another write; a barrier", exchange, 1},
      {"a page read, pushed", "the home writes; a barrier; another reads; a barrier", write_and_read, 1},
      {"a lock each", "all take a lock, write a page and read the other", lock_each},
  };
  return list;
}

Program rounds_of(const Rounds& kind, std::uint32_t rounds, core::Policy policy) {
  Script script(nodes, {0, 1}, locks, policy);
  script.config().push_after = kind.push_after;
  for (std::uint32_t round = 0; round < rounds; ++round) kind.append(script, round);
  return script.finish();
}

const std::vector<Named>& small_programs() {
  static const std::vector<Named> list = {
      {"home to reader", home_to_reader},
      {"writer to home", writer_to_home},
      {"two writers and a barrier", two_writers_and_a_barrier},
      {"a page is pushed", a_page_is_pushed},
      {"a notice meets a fetch", a_notice_meets_a_fetch},
      {"two pages and two homes", two_pages_and_two_homes},
      {"three nodes and a lock", three_nodes_and_a_lock},
      {"three nodes and two barriers", three_nodes_and_two_barriers},
      {"two locks on loan", two_locks_on_loan},
      {"two nodes race", two_nodes_race},
      {"two nodes race on two pages", two_nodes_race_on_two_pages},
      {"three nodes race", three_nodes_race},
      {"two nodes across a border", two_nodes_across_a_border},
      {"three nodes across a border", three_nodes_across_a_border},
      {"three nodes across a border from above", three_nodes_across_a_border_from_above},
  };
  return list;
}

const Named& small_program(const std::string& name) {
  const auto& list = small_programs();
  const auto it =
      std::find_if(list.begin(), list.end(), [&](const Named& n) { return n.name == name; });
  DSM_CHECK(it != list.end(), "a program of that name exists");
  return *it;
}

// Two threads of a node and two locks share a page that another node is home to.
Script two_threads_and_two_locks() {
  Script s(2, {0}, 2);
  s.node(1, 0);
  s.node(1, 1);
  s.node(1, 0).acquire(0).write(0, 0).release(0);
  s.node(1, 1).acquire(1).write(0, 8).release(1);
  s.node(0).acquire(1).read(0, 8).release(1);
  return s;
}

}  // namespace dsm::sim
