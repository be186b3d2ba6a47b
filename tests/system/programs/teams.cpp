// Teams: splits, barriers of theirs, collectives in them, several at once.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <thread>

#include "heard.hpp"
#include "scenario.hpp"

using namespace scenario;  // NOLINT: a test program

namespace {

void splits() {
  const dsm::Team all = dsm::Team::all();
  same(all.size(), nodes(), "the size of the team of all");
  same(all.rank(), me(), "the rank in the team of all");
  // Odd and even; in the order of the job, and backwards.
  for (const int direction : {1, -1}) {
    const dsm::Team team = dsm::Team::split(me() % 2, direction * me());
    const int size = (nodes() + 1 - me() % 2) / 2, place = me() / 2;
    same(team.size(), size, "the size of the team");
    same(team.rank(), direction > 0 ? place : size - 1 - place, "the rank in the team");
    same(team.node(team.rank()), me(), "this member's rank in the job");
    check(!team.empty(), "a member's team has members");
  }
  // Equal keys: in order of rank. A negative colour: in no team.
  const dsm::Team others = dsm::Team::split(me() == 0 ? -1 : 7);
  same(others.empty(), me() == 0, "being in no team");
  same(others.rank(), me() - 1, "the rank among the others");
  same(others.size(), me() == 0 ? 0 : nodes() - 1, "the size of the others");
  same(dsm::Team().size(), 0, "the size of nobody");
  if (me() != 0) same(others.all_reduce(1), nodes() - 1, "the others, counted");
}

// What a member writes before its team's barrier the others see after it, and a barrier of all
// shows everything to everyone.
void barriers() {
  const dsm::Team team = dsm::Team::split(me() % 2);
  auto word = dsm::allocate<std::uint64_t>(static_cast<std::size_t>(nodes()) * 2,
                                           dsm::Placement::on(nodes() - 1));
  const auto next = static_cast<std::size_t>(team.node((team.rank() + 1) % team.size()));
  const auto self = static_cast<std::size_t>(me());
  for (std::uint64_t round = 1; round <= 200; ++round) {
    word[self] = mix(round, self);
    team.barrier();
    same_at(word[next], mix(round, next), "word of node", next);
    team.barrier();
    if (round % 50 != 0) continue;
    dsm::barrier();
    for (std::size_t n = 0; n < static_cast<std::size_t>(nodes()); ++n)
      same_at(word[n], mix(round, n), "word, seen by all, of node", n);
    dsm::barrier();
  }
}

void collectives() {
  const dsm::Team team = dsm::Team::split(me() % 3 == 0 ? 0 : 1, -me());
  std::vector<int> members;
  for (int n = nodes() - 1; n >= 0; --n)
    if ((n % 3 == 0) == (me() % 3 == 0)) members.push_back(n);
  same(team.all_gather(me()) == members, true, "that the members are gathered by rank");
  for (int root = 0; root < team.size(); ++root) {
    std::uint64_t value = mix(static_cast<unsigned>(me()));
    team.broadcast(value, root);
    same(value, mix(static_cast<unsigned>(members[static_cast<std::size_t>(root)])), "the value");
  }
  long difference = members[0], before = 1000;
  for (std::size_t i = 1; i < members.size(); ++i) difference -= members[i];
  for (int i = 0; i < team.rank(); ++i) before -= members[static_cast<std::size_t>(i)];
  same(team.all_reduce(static_cast<long>(me()), std::minus<>()), difference, "the difference");
  same(team.reduce(static_cast<long>(me()), team.size() - 1, std::minus<>()).value_or(-77),
       team.rank() == team.size() - 1 ? difference : -77, "the difference at its root");
  same(team.exclusive_scan(static_cast<long>(me()), 1000L, std::minus<>()), before, "the scan");
  std::vector<int> words{team.rank(), 1};
  team.all_reduce(std::span(words));
  same(words[0], team.size() * (team.size() - 1) / 2, "the sum of ranks");
  same(words[1], team.size(), "the sum of ones");
}

// Each node has two threads, each in its own team's barriers, while a third takes locks; the main
// thread passes barriers of all.
void at_once() {
  constexpr std::uint64_t rounds = 100;
  const dsm::Team halves = dsm::Team::split(me() % 2), twos = dsm::Team::split(me() / 2);
  const auto count = static_cast<std::size_t>(nodes());
  auto word = dsm::allocate<std::uint64_t>(count * 2);
  auto counter = dsm::allocate<std::uint64_t>(1);
  dsm::Lock lock;
  const auto exchange = [&](const dsm::Team& team, std::size_t first) {
    const auto next = static_cast<std::size_t>(team.node((team.rank() + 1) % team.size()));
    for (std::uint64_t round = 1; round <= rounds; ++round) {
      word[first + static_cast<std::size_t>(me())] = mix(round, first);
      team.barrier();
      same_at(word[first + next], mix(round, first), "word of node", next);
      same(team.all_reduce(1), team.size(), "the members, counted");
    }
  };
  in_threads(4, [&](int thread) {
    if (thread == 0) exchange(halves, 0);
    if (thread == 1) exchange(twos, count);
    if (thread == 2) {
      for (std::uint64_t i = 0; i < rounds; ++i) {
        const std::scoped_lock hold(lock);
        ++counter[0];
      }
    }
    if (thread == 3)
      for (std::uint64_t i = 0; i < rounds / 4; ++i) dsm::barrier();
  });
  dsm::barrier();
  same(counter[0], rounds * static_cast<std::uint64_t>(nodes()), "the counter");
}

void threads() {
  constexpr int per_node = 3;
  const dsm::Team team = dsm::Team::split(me() == 0 ? 0 : 1);
  const auto all = static_cast<std::size_t>(nodes() * per_node);
  auto slot = dsm::allocate<std::uint64_t>(all);
  dsm::Barrier together(team, per_node);
  in_threads(per_node, [&](int t) {
    const auto self = static_cast<std::size_t>(me() * per_node + t);
    for (std::uint64_t round = 1; round <= 60; ++round) {
      slot[self] = mix(round, self);
      together.arrive_and_wait();
      const int member = static_cast<int>(round) % team.size();
      const auto other =
          static_cast<std::size_t>(team.node(member) * per_node + (t + 1) % per_node);
      same_at(slot[other], mix(round, other), "slot", other);
      together.arrive_and_wait();
    }
  });
}

void misuse() {
  const dsm::Team nobody;
  refused([&] { nobody.barrier(); }, {"barrier()", "not a member"});
  refused([&] { (void)nobody.all_reduce(1); }, {"all_reduce()", "not a member"});
  refused([&] { const dsm::Barrier wrong(nobody, 1); }, {"Barrier", "not a member"});
  const dsm::Team team = dsm::Team::split(0, -me());
  refused([&] { (void)team.node(nodes()); }, {"Team::node()", "members, numbered from 0"});
  refused([&] { (void)team.reduce(1, nodes()); }, {"reduce()", "its team has members 0 to"});
  if (nodes() > 1) {
    refused(
        [&] {
          if (me() == 0) {
            team.barrier();
          } else {
            (void)team.all_gather(1);
          }
        },
        {"collective calls differ", "barrier() at ", "all_gather() at ", "teams.cpp:"});
    refused([&] { (void)team.reduce(1, me() == 0 ? 1 : 0); },
            {"collective calls differ", "reduce() has other sizes or arguments", "teams.cpp:"});
    refused(
        [&] {
          if (me() == 0) {
            (void)dsm::Team::split(0);
          } else {
            dsm::barrier();
          }
        },
        {"collective calls differ", "Team::split() at ", "barrier() at "});
  }
  same(team.all_reduce(1), nodes(), "the members, counted");
  same(dsm::all_reduce(1), nodes(), "the nodes, counted");
}

// Node 0 is at another barrier than its fellows, and each waits for the other: both say so. Another
// thread of each node then makes up for it.
void crossed() {
  ::setenv("DSM_DEBUG", "1", 1);
  dsm::Session session;
  const dsm::Team first = dsm::Team::split(0), second = dsm::Team::split(0);
  const dsm::Team& here = me() == 0 ? first : second;
  const dsm::Team& there = me() == 0 ? second : first;
  auto count = dsm::allocate<std::uint64_t>(1);
  const dsm::Atomic heard_by(count[0]);
  const auto others = static_cast<std::uint64_t>(nodes() - 1);
  const Heard heard;
  const int site = __LINE__ + 1;
  std::thread waits([&] { here.barrier(); });
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  const auto heard_all = [&] {
    return me() == 0 ? heard_by.load() == others : !heard.text().empty();
  };
  while (!heard_all() && std::chrono::steady_clock::now() < end)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const std::string text = heard.text();
  if (me() != 0) heard_by.fetch_add(1);
  there.barrier();
  waits.join();
  if (me() == 0) return;
  for (const std::string& word : {"teams.cpp:" + std::to_string(site), std::string("of a team"),
                                  std::string("no word of node")})
    check(text.find(word) != std::string::npos, "no '" + word + "' in: " + text);
}

// Node 0 comes to the end of its Session while the others meet, or before.
void leaving() {
  const dsm::Team team = dsm::Team::split(0, -me()), others = dsm::Team::split(me() == 0 ? 1 : 2);
  team.barrier();
  if (me() == 0) return;
  const int here = __LINE__;
  const std::string site = "teams.cpp:" + std::to_string(here + 2);
  refused([&] { team.barrier(); },
          {"barrier() at ", site.c_str(), "nodes ", " 0)", "node 0", "end of its Session"});
  refused([&] { (void)team.all_reduce(1); }, {"all_reduce() at ", "node 0", "end of its Session"});
  same(others.all_reduce(1), nodes() - 1, "those who are there, counted");
}

}  // namespace

int main(int argc, char** argv) {
  return run(argc, argv,
             {{"splits", splits},
              {"barriers", barriers},
              {"collectives", collectives},
              {"at_once", at_once},
              {"threads", threads},
              {"misuse", misuse},
              {"crossed", crossed, false},
              {"leaving", leaving}});
}
